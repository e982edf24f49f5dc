"""`checkpoints.json`: names of states that are always there."""

import json

from ppocr_jax.weights.meta import seal
from ppocr_jax.weights.names import NAME, find_names, write_names


def make_state(workdir, step, hmean=None, meta=None):
    folder = workdir / "checkpoints" / str(step)
    (folder / "meta").mkdir(parents=True)
    found = {"step": step, "config": {"best": {"role": "student"}}, "roles": ["student"]}
    if hmean is not None:
        found |= {"evaluated_step": step, "metrics": {"student": {"hmean": hmean}}}
        (folder / "metrics").mkdir()
        (folder / "metrics" / "metrics").write_text(json.dumps({"hmean": hmean}))
    (folder / "meta" / "metadata").write_text(meta or json.dumps(seal(found)))


def test_names_of_states(tmp_path):
    assert find_names(tmp_path) == {"best": None, "latest": None}
    make_state(tmp_path, 8)
    assert find_names(tmp_path)["best"] is None
    make_state(tmp_path, 16, 0.5)
    make_state(tmp_path, 24, 0.25)
    make_state(tmp_path, 32)
    write_names(tmp_path)
    names = json.loads((tmp_path / NAME).read_text())
    assert names == {
        "best": {"step": 16, "hmean": 0.5, "path": "checkpoints/16"},
        "latest": {"step": 32, "path": "checkpoints/32"},
    }
    assert all((tmp_path / name["path"]).is_dir() for name in names.values())


def test_a_best_state_that_damage_hides_is_not_guessed(tmp_path):
    make_state(tmp_path, 16, 0.5, meta="{")
    (tmp_path / "checkpoints" / "16" / "metrics" / "metrics").write_text("{")
    assert find_names(tmp_path) == {"best": None, "latest": {"step": 16, "path": "checkpoints/16"}}
