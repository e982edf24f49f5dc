"""After a power cut a run goes on from a whole state, and has every record that led to it."""

import json
import os
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import power
import pytest
from tiny import ROOT

from ppocr_jax.training.checkpoints import Checkpoints
from ppocr_jax.training.records import RunLog
from ppocr_jax.training.state import TrainState

STEPS, CUTS = 5, 51


def make_state(step=0):
    kernel = np.random.default_rng(step).standard_normal((40, 50)).astype(np.float32)
    return TrainState(jnp.asarray(step), {"student": {"kernel": kernel}}, {"student": {}}, ())


def save_all(workdir):
    """What a run does with its disk, without what it computes."""
    with Checkpoints(workdir) as checkpoints, RunLog(workdir, STEPS) as log:
        for step in range(1, STEPS + 1):
            log.record("train", step, {"total": 0.5})
            hmean = 0.9 if step == 2 else None if step % 2 else 0.1
            checkpoints.save(make_state(step), {"step": step}, hmean)
            print(f"{step} begins", flush=True)
        checkpoints.wait()


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """`(folder, events)` of such a run in `folder/run`."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    folder = tmp_path_factory.mktemp("power")
    (folder / "root").mkdir()
    command = [sys.executable, __file__, str(folder / "root" / "run")]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    recorded = power.record(command, folder / "log", env=environment, timeout=300)
    return folder / "root", recorded


def cuts(root, recorded):
    """`(disk, step)` at every point: what was asked of it, the step that was promised by then."""
    disk, promised = power.Disk(root), 0
    for event in recorded:
        if event.call == "write" and power.written(event).endswith(b" begins"):
            promised = int(power.written(event).split()[0]) - 1
        elif disk.apply(event):
            yield disk, promised


def test_the_record_has_seen_everything(events):
    root, recorded = events
    disk, promised = list(cuts(root, recorded))[-1]
    disk.leave(root.parent / "all", "torn")
    kept = root / "run" / "checkpoints"
    for path in kept.rglob("*"):
        again = root.parent / "all" / path.relative_to(root)
        assert path.is_dir() or path.read_bytes() == again.read_bytes()
    assert promised == STEPS - 1 and {path.name for path in kept.iterdir()} == {"2", "4", "5"}


@pytest.mark.parametrize("kind", ["lost", "named", "torn"])
def test_a_cut_at_any_point(events, tmp_path, kind):
    count = sum(1 for _ in cuts(*events))
    at = set(np.linspace(0, count - 1, CUTS // 3, dtype=int).tolist())
    for index, (disk, promised) in enumerate(cuts(*events)):
        if index in at:
            disk.leave(tmp_path / str(index), kind)
            resume(tmp_path / str(index) / "run", promised, goes_on=index % 5 == 0)


def resume(workdir, promised, goes_on):
    """Goes on in what a cut has left, and asserts that nothing promised is gone."""
    if (workdir / "checkpoints.json").exists():  # whole, and of states that are there
        named = json.loads((workdir / "checkpoints.json").read_text()).values()
        assert all((workdir / name["path"]).is_dir() for name in named if name)
    with Checkpoints(workdir, lambda line: None) as checkpoints:
        restored = checkpoints.restore(jax.eval_shape(make_state))
        step = int(restored[0].step) if restored else 0
        assert step >= promised
        if restored:
            jax.tree.map(np.testing.assert_array_equal, restored[0], make_state(step))
        with RunLog(workdir, STEPS, step) as log:
            lines = (workdir / "metrics.jsonl").read_text().splitlines()
            assert [json.loads(line)["step"] for line in lines] == list(range(1, step + 1))
            log.record("train", step + 1, {})
        if goes_on:
            checkpoints.save(make_state(step + 1), {"step": step + 1})


if __name__ == "__main__":
    save_all(sys.argv[1])
