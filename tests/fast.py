"""The tests that `pytest -m fast` runs: the numbers, and what people type, in a minute or two."""

import pathlib

TESTS = pathlib.Path(__file__).resolve().parent
FAST = (
    "golden", "losses", "optim", "kernels",
    "models/test_detector.py", "models/test_initial.py",
    "data/test_augment.py", "data/test_geometry.py", "data/test_labels.py",
    "data/test_polygons.py", "data/test_resize.py", "data/test_targets.py",
    "detection/test_postprocess.py", "scoring/test_metrics.py",
    "training/test_cadence.py", "training/test_meter.py", "training/test_segments.py",
    "weights/test_pdparams.py",
    "test_cli.py", "test_config.py", "test_errors.py", "test_fast.py", "test_files.py",
    "test_forms.py", "test_hints.py", "test_main.py", "test_project.py", "test_quiet.py",
)  # fmt: skip


def is_fast(item):
    """Whether a test belongs to the subset: its file is in the list, and it is not `long`."""
    path = item.path.relative_to(TESTS) if item.path.is_relative_to(TESTS) else item.path
    listed = any(path == place or place in path.parents for place in map(pathlib.Path, FAST))
    return listed and not item.get_closest_marker("long")
