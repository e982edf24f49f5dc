"""A workdir of an older form goes on; lines name what its config lacks and has too much."""

import json

import pytest
from tiny import draw_data, load_config, run, write_config

from ppocr_jax.training.loop import train

NAMED = ("remat=false", "eval.pictures=8", 'loss.mutual_act="none"', "foo.bar=1")


def age(path, inside=None):
    """Takes three keys and the form out of a saved config and puts an unknown one in."""
    whole = json.loads(path.read_text())
    tree = whole[inside] if inside else whole
    del tree["form"], tree["remat"], tree["eval"]["pictures"], tree["loss"]["mutual_act"]
    tree["foo"] = {"bar": 1}
    for name in ("segments", "gain", "stale", "seconds"):  # of a state
        whole.pop(name, None)
    whole.pop("crc32", None)
    path.write_text(json.dumps(whole))


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """`(workdir, config path)` of 2 updates, as if an older version had made them."""
    folder = tmp_path_factory.mktemp("growth")
    path = write_config(folder, draw_data(folder / "data"))
    train(load_config(path, "steps=2"), folder / "run")
    age(folder / "run" / "config.json")
    metas = list((folder / "run" / "checkpoints").glob("*/meta/metadata"))
    assert metas
    for meta in metas:
        age(meta, "config")
    return folder / "run", path


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("evaluate", []),
        ("extract", ["--output", "{out}/student"]),
        ("export", ["--output", "{out}/student.onnx"]),
    ],
)
def test_its_weights_are_taken(old, tmp_path, command, options):
    options = [option.format(out=tmp_path) for option in options]
    status, _, err = run(command, "--weights", old[0], *options)
    assert status == 0, err
    if command == "extract":  # whose output is a saved config in turn
        status, _, err = run("evaluate", "--weights", tmp_path / "student")
        assert status == 0, err
    if command != "extract":
        assert all(part in err for part in NAMED), err


def test_it_resumes(old):
    workdir, path = old
    status, out, err = run("train", "--config", path, "--config.steps=2", "--workdir", workdir)
    assert status == 0, err
    assert all(part in out + err for part in NAMED), out + err
    assert json.loads((workdir / "config.json").read_text())["form"] == 2
