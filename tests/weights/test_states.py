"""Kept states and extracted folders: what is flipped, cut or lost is said, or changes nothing."""

import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppocr_jax.errors import UserError
from ppocr_jax.shipping.extraction import extract, write_folder
from ppocr_jax.training.checkpoints import Checkpoints
from ppocr_jax.training.state import TrainState
from ppocr_jax.weights import saved_config, sources
from ppocr_jax.weights.checks import require_finite
from ppocr_jax.weights.damage import Damaged
from ppocr_jax.weights.meta import EXTRACTED, METRICS, best_step, read_meta, seal

ROLE = "student"
CONFIG = {"form": 2, "best": {"role": ROLE}, "roles": {}, "trainable": [ROLE]}


def make_state(step=1):
    kernel = np.random.default_rng(step).normal(size=(64, 8)).astype(np.float32)
    return TrainState(jnp.asarray(step), {ROLE: {"conv": {"kernel": kernel}}}, {ROLE: {}}, ())


def make_meta(step, hmean):
    return {"step": step, "evaluated_step": step, "roles": [ROLE], "config": CONFIG,
            "metrics": {ROLE: {"hmean": hmean}}}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A workdir with the steps 1, the best, and 2."""
    workdir = tmp_path_factory.mktemp("run")
    with Checkpoints(workdir) as checkpoints:
        for step, hmean in ((1, 0.75), (2, 0.5)):
            checkpoints.save(make_state(step), make_meta(step, hmean), hmean)
            checkpoints.wait()
    return workdir


@pytest.fixture
def workdir(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def read(path):
    """The kernel that a path gives."""
    return sources.read_variables(sources.open_source(path), ROLE)["params"]["conv"]["kernel"]


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def damage(path, kind, rng):
    data = bytearray(path.read_bytes())
    if kind == "flip" and data:
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    elif kind == "cut":
        del data[int(rng.integers(len(data))) if data else 0 :]
    elif kind == "noise":
        data[:] = rng.bytes(len(data))
    path.unlink()
    if kind != "lose":
        path.write_bytes(data)


@pytest.mark.parametrize("kind", ["flip", "cut", "noise", "lose"])
def test_no_damage_of_a_state_is_silent(workdir, kind):
    """Every file, several times: the values are those that were saved, or one line says why not."""
    rng, wanted, said = (
        np.random.default_rng(0),
        np.asarray(make_state(1).params[ROLE]["conv"]["kernel"]),
        0,
    )
    for path in files_of(workdir / "checkpoints" / "1"):
        whole = path.read_bytes()
        for _ in range(4):
            damage(path, kind, rng)
            try:
                np.testing.assert_array_equal(read(workdir / "1"), wanted)
            except UserError as error:
                assert "damaged" in str(error) or "not readable" in str(error)
                assert f"name another state: {workdir}/2" in str(error)
                said += 1
            path.write_bytes(whole)
    assert said >= 8


@pytest.mark.parametrize("kind", ["flip", "cut", "noise", "lose"])
def test_no_damage_of_an_extracted_folder_is_silent(workdir, tmp_path, kind):
    folder, rng = tmp_path / "out", np.random.default_rng(1)
    source = sources.open_source(workdir)
    variables = sources.read_variables(source, ROLE)
    write_folder(folder, variables, {"roles": [ROLE], "config": None, "hash": None})
    wanted, said = read(folder), 0
    for path in files_of(folder):
        whole = path.read_bytes()
        for _ in range(4):
            damage(path, kind, rng)
            try:
                np.testing.assert_array_equal(read(folder), wanted)
            except UserError:
                said += 1
            path.write_bytes(whole)
    assert said >= 8


def test_an_extracted_folder_of_an_older_version_is_held_against_its_hash(workdir, tmp_path):
    extract(workdir, ROLE, tmp_path / "out")
    meta = json.loads((tmp_path / "out" / EXTRACTED).read_text())
    del meta["crc32"], meta["checksums"]
    path = tmp_path / "out" / EXTRACTED
    path.write_text(json.dumps(meta))
    assert sources.open_source(tmp_path / "out").unverified == EXTRACTED
    read(tmp_path / "out")
    path.write_text(json.dumps({**meta, "hash": "0123456789ab"}))
    with pytest.raises(Damaged, match="not those of hash 0123456789ab"):
        read(tmp_path / "out")


def test_meta_without_a_checksum_opens_and_says_so(workdir):
    path = workdir / "checkpoints" / "1" / "meta" / "metadata"
    meta = json.loads(path.read_text())
    del meta["crc32"]
    path.write_text(json.dumps(meta))
    assert sources.open_source(workdir).unverified == "meta"
    assert sources.open_source(workdir / "2").unverified == ""
    lines = []
    with Checkpoints(workdir, lines.append) as checkpoints:
        shutil.rmtree(workdir / "checkpoints" / "2" / "state")
        checkpoints.restore(jax.eval_shape(make_state))
    assert any("an older version wrote its meta, without a checksum" in line for line in lines)


def test_a_step_under_another_name_is_refused(workdir):
    (workdir / "checkpoints" / "2").rename(workdir / "checkpoints" / "7")
    with pytest.raises(Damaged, match="its meta is that of step 2"):
        read_meta(workdir, 7)


@pytest.mark.parametrize("kind", ["lose", "cut", "other"])
def test_the_best_is_kept_when_its_metrics_are_lost(workdir, kind):
    path = workdir / "checkpoints" / "1" / METRICS
    if kind == "lose":
        shutil.rmtree(path.parent)
    else:
        path.write_text('{"hm' if kind == "cut" else '{"hmean": 0.25}')
    assert best_step(workdir) == 1
    lines = []
    with Checkpoints(workdir, lines.append) as checkpoints:
        for step in (3, 4):
            checkpoints.save(make_state(step), make_meta(step, 0.5), 0.5)
            checkpoints.wait()
    assert "checkpoint 1: its metrics" in lines[0] and "its meta says hmean 0.75" in lines[0]
    assert best_step(workdir) == 1 and read_meta(workdir, 1)["step"] == 1


def test_nobody_guesses_which_is_the_best(workdir):
    for name in (METRICS, "meta/metadata"):
        (workdir / "checkpoints" / "1" / name).write_text("{")
    with pytest.raises(Damaged, match=f"the best is not known: name one of {workdir}/1, .*/2"):
        sources.open_source(workdir)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_neither_saved_nor_loaded(workdir, bad):
    state = make_state(3)
    state.params[ROLE]["conv"]["kernel"][5, 2] = bad
    name = f"params.{ROLE}.conv.kernel"
    with (
        Checkpoints(workdir) as checkpoints,
        pytest.raises(UserError, match=f"step 3: .*{name}; not saved; last good state: step 2"),
    ):
        checkpoints.save(state, make_meta(3, 0.5), 0.5)
    with pytest.raises(UserError, match="x: not finite .*: a, b, c and 2 more; take another file"):
        require_finite({name: np.full(2, bad) for name in "abcde"}, "x")
    require_finite({"a": np.ones(3), "b": np.ones(3, np.int32)}, "x")


def test_a_config_that_was_edited_is_named_key_by_key(workdir):
    from ppocr_jax import forms
    from ppocr_jax.defaults import base, init_from, losses, small

    config = base(epochs=1)
    config.roles, config.trainable = {ROLE: small()}, (ROLE,)
    config.init_from, config.loss = init_from([ROLE]), losses((ROLE,))
    tree = {"form": forms.FORM, **forms.plain(config)}
    path = workdir / "checkpoints" / "2" / "meta" / "metadata"
    path.write_text(json.dumps(seal({**make_meta(2, 0.5), "config": tree})))
    place = workdir / "config.json"
    for text, line in (
        (json.dumps(tree), ""),
        (json.dumps({**tree, "crop": 64}), "config.crop=64, but 960 in checkpoint 2, which is"),
        ("{", "not readable as JSON.*; the copy in checkpoint 2 is used"),
        ("null", "holds nothing, not a mapping; the copy in checkpoint 2 is used"),
        (None, "config.json is missing; the copy in checkpoint 2 is used"),
    ):
        place.unlink(missing_ok=True)
        if text is not None:
            place.write_text(text)
        assert saved_config.find(workdir) == str(place)
        copy, lines = saved_config.read_compared(place)
        assert copy == tree and len(lines) == bool(line)
        if line:
            assert re.search(line, lines[0]), lines


def test_a_state_that_its_run_lets_go_of_is_read_anew(workdir, monkeypatch):
    """The run prunes step 1 and saves step 3 between the two looks that a reader takes."""
    read_role, lost = sources.states.read_role, []

    def prune_first(folder, *args):
        if not lost:
            lost.append(shutil.rmtree(workdir / "checkpoints" / "1"))
            with Checkpoints(workdir) as checkpoints:
                checkpoints.save(make_state(3), make_meta(3, 0.9), 0.9)
        return read_role(folder, *args)

    monkeypatch.setattr(sources.states, "read_role", prune_first)
    source = sources.open_source(workdir)
    with pytest.raises(UserError, match="has continued and deleted that state: run the command ag"):
        sources.read_variables(source, ROLE)
    assert sources.is_gone(source) and sources.open_source(workdir).step == 3


def test_what_a_save_makes_anew_where_its_workdir_was_is_removed(workdir, tmp_path):
    """A library that is writing a state when the workdir is moved makes the folder again."""
    with (
        pytest.raises(UserError, match="no longer exists: the workdir was moved or deleted"),
        Checkpoints(workdir) as checkpoints,
    ):
        checkpoints.save(make_state(3), make_meta(3, 0.5), 0.5)
        checkpoints.wait()
        workdir.rename(tmp_path / "moved")
        (workdir / "checkpoints" / "3" / "state").mkdir(parents=True)
    assert not workdir.exists()
    assert read(tmp_path / "moved" / "3").shape == (64, 8)
