"""Averages of networks: their values, how a run takes them up, and every command on such a role."""

import json
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax import config as configs
from ppocr_jax import evaluate, export, extract
from ppocr_jax.detection.network import load_network
from ppocr_jax.errors import UserError
from ppocr_jax.training import judge
from ppocr_jax.training.averaging import Averages
from ppocr_jax.training.checkpoints import Checkpoints
from ppocr_jax.training.loop import read_splits, train
from ppocr_jax.training.start import begin, set_up
from ppocr_jax.training.state import extract_role
from ppocr_jax.weights.meta import read_meta

ON = ("average.decay=0.75", "average.share=0.5", "best.role=student_average")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("averaging")
    return write_config(folder, draw_data(folder / "data"))


@pytest.fixture(scope="module")
def plain_run(path):
    """`(workdir, state)` of a run without an average."""
    workdir = path.parent / "plain"
    return workdir, jax.device_get(train(load_config(path), workdir)[0])


@pytest.fixture(scope="module")
def averaged(path):
    """`(workdir, {step: state})` of a run with one, with its state after every update."""
    states, save = {}, Checkpoints.save

    def spy(self, state, meta, hmean=None):
        states[int(state.step)] = jax.device_get(state)
        save(self, state, meta, hmean)

    workdir = path.parent / "averaged"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", spy)
        train(load_config(path, *ON, "save.every_steps=1"), workdir)
    return workdir, states


def follow(states, begin, decay, share):
    """The average after the last of some states, in plain float64, leaf by leaf."""
    steps = sorted(states)
    mean = [np.asarray(leaf, "f8") for leaf in jax.tree.leaves(begin)]
    for step in steps:
        span = min(1 / (1 - decay), 1 + share * (step - 1))
        values = jax.tree.leaves(extract_role(states[step], "student"))
        mean = [m * (1 - 1 / span) + v / span for m, v in zip(mean, values, strict=True)]
    return mean


def assert_near(tree, means):
    for leaf, mean in zip(jax.tree.leaves(tree), means, strict=True):
        assert leaf.dtype == np.float32
        np.testing.assert_allclose(leaf, mean, rtol=1e-5, atol=1e-7)


def test_values_are_those_of_the_formula(averaged):
    _, states = averaged
    begin = extract_role(states[1], "student_average")
    for step in range(2, 9):
        before = {s: states[s] for s in range(2, step + 1)}
        assert_near(extract_role(states[step], "student_average"), follow(before, begin, 0.75, 0.5))
    raw, mean = (extract_role(states[8], r)["params"] for r in ("student", "student_average"))
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (raw, mean)), strict=True))


def test_the_first_update_leaves_nothing_of_the_beginning():
    rates = [float(Averages(("a_average",), 0.9, 0.5).rate(np.int32(step))) for step in (1, 2, 99)]
    np.testing.assert_allclose(rates, [1.0, 1 / 1.5, 0.1], rtol=1e-6)


def test_the_network_itself_learns_the_same_bits(plain_run, averaged):
    one, other = plain_run[1], averaged[1][8]
    for part in (lambda s: extract_role(s, "student"), lambda s: s.opt_state):
        jax.tree.map(np.testing.assert_array_equal, part(one), part(other))


def test_it_is_scored_kept_and_chosen_by(averaged):
    workdir, _ = averaged
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    scored = [(line["step"], line["role"]) for line in lines if line["kind"] == "eval"]
    assert scored == [(s, r) for s in (4, 8) for r in ("student", "student_average")]
    meta = read_meta(workdir, 8)
    assert meta["roles"] == ["student", "student_average"] and meta["trainable"] == ["student"]
    hmeans = {r["step"]: r["hmean"] for r in lines if r.get("role") == "student_average"}
    assert meta["best"]["hmean"] == max(hmeans.values())
    assert hmeans[meta["best"]["step"]] == meta["best"]["hmean"]


def test_what_equals_its_network_is_not_scored_twice(path, tmp_path, monkeypatch):
    config, passes, records = load_config(path, *ON), [], []
    setup, (training, validation) = set_up(config), read_splits(config)
    state, progress = begin(setup, training)[:2]
    once = judge.evaluate
    monkeypatch.setattr(judge, "evaluate", lambda *a: passes.append(1) or once(*a))
    log = SimpleNamespace(
        say=lambda line: None, record=lambda *r: records.append(r[2]), takes_pictures=False
    )
    score = judge.Judge(setup, validation, log, training, tmp_path)
    score(state, progress)
    assert len(passes) == 1 and [r.pop("role") for r in records] == ["student", "student_average"]
    same = [{k: r[k] for k in progress.metrics["student"]} for r in records]
    assert same[0] == same[1] == progress.metrics["student_average"]
    moved = jax.tree.map(lambda leaf: leaf + 1, state.params["student"])
    score(state.replace(params={**state.params, "student": moved}), progress)
    assert len(passes) == 3


def test_every_command_takes_the_role(averaged, path, tmp_path, capsys):
    workdir, states = averaged
    latest, wanted = str(workdir / "latest"), extract_role(states[8], "student_average")
    assert extract.main(["--weights", latest, "--output", str(tmp_path / "folder")]) == 0
    argv = ["--weights", latest, "--role", "student_average"]
    assert extract.main([*argv, "--output", str(tmp_path / "average.pdparams")]) == 0
    assert export.main([*argv, "--output", str(tmp_path / "average.onnx")]) == 0
    assert "parity of student_average" in "".join(capsys.readouterr())
    config = load_config(path)
    for form in ("folder", "average.pdparams"):
        _, variables, _ = load_network(config, tmp_path / form, "student")
        jax.tree.map(np.testing.assert_array_equal, variables, wanted)
    (last,) = [
        line
        for line in map(json.loads, (workdir / "metrics.jsonl").open())
        if line.get("role") == "student_average" and line["step"] == 8
    ]
    for weights in (latest, str(tmp_path / "average.onnx")):
        argv = ["--weights", weights, f"--config.data.root={path.parents[1] / 'data'}"]
        assert evaluate.main(argv) == 0
        found = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (found["role"], found["hmean"]) == ("student_average", last["hmean"])


def test_a_run_takes_one_up_and_lets_it_go(plain_run, path, tmp_path, capfd):
    workdir, state = tmp_path / "run", plain_run[1]
    shutil.copytree(plain_run[0], workdir)
    shutil.rmtree(workdir / "checkpoints" / "8")
    taken, _ = train(load_config(path, *ON), workdir)
    err = capfd.readouterr().err
    assert "changed since the run began: config.average.decay: 0.0 -> 0.75" in err
    assert "student_average starts at the current weights of student" in err
    assert "student_average: weights averaged over about the last 50% of the steps, at" in err
    for part in (lambda s: extract_role(s, "student"), lambda s: s.opt_state):
        jax.tree.map(np.testing.assert_array_equal, part(state), jax.device_get(part(taken)))
    again, _ = train(load_config(path), workdir)
    assert "student_average is dropped" in capfd.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, state, jax.device_get(again))


def test_weights_that_were_not_judged_are_named(averaged, path, tmp_path):
    """A run that was chosen by its average gives another run the network itself."""
    workdir, _ = averaged
    config = load_config(path, f"init_from.student={workdir}", "average.decay=0.5")
    training, _ = read_splits(config)
    begun = begin(set_up(config), training)
    assert any("was chosen by student_average, but these are" in note for note in begun.notes)
    for role in ("params", "batch_stats"):
        tree = jax.device_get(getattr(begun.state, role))
        jax.tree.map(np.testing.assert_array_equal, tree["student"], tree["student_average"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["average.decay=1.0"], "config.average.decay=1.0: should be at most 0.99999"),
        (["average.decay=-0.1"], r"average.decay=-0.1: should be at least 0 \(0: no average\)"),
        (["best.role=student_average"], "average.decay is 0, .* use --config.best.role=student$"),
        (
            ["average.decay=0.9", "trainable=('student_average',)"],
            "role student_average is not one of the roles student",
        ),
        (
            ["average.decay=0.9", "loss.labels=('student_average',)"],
            "role student_average is not one of the roles student",
        ),
    ],
)
def test_mistakes_have_one_line(path, overrides, message):
    with pytest.raises(UserError, match=message) as caught:
        configs.check(load_config(path, *overrides))
    assert "\n" not in str(caught.value)


def test_what_does_not_learn_cannot_be_best(tmp_path):
    config = load_config(write_config(tmp_path, tmp_path, teachers=("teacher",)))
    config.best.role = "teacher"
    with pytest.raises(
        UserError, match="config.best.role=teacher: this network does not learn.* be student"
    ):
        set_up(config)


def test_a_name_that_belongs_to_averages(path):
    config = load_config(path)
    with config.unlocked():
        config.roles.moving_average = config.roles.student
    with pytest.raises(UserError, match="config.roles.moving_average: names that end in _average"):
        configs.check(config)
