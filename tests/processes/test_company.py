"""Processes of one run: how they join, what they compare, and that all end when one does."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from tiny import ROOT, draw_data, load_config, write_config

from ppocr_jax.data.labels import Sample
from ppocr_jax.errors import UserError
from ppocr_jax.processes import company, joining
from ppocr_jax.training import agreement


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


PAIRS = {
    ("ends", "ends"): ("", ""),
    ("stays", "fails"): ("process 1 has ended: its disk is full; goes on at step 7", "is full"),
    ("fails", "stays"): ("is full", "process 0 has ended: its disk is full; goes on at step 7"),
    ("stays", "dies"): ("process 1 is gone: nothing was heard of it for", ""),
    ("dies", "stays"): ("", "process 0 is gone: the connection to it broke off; goes on at step 7"),
    ("stays", "is elsewhere"): ("`elsewhere` and process 0 at `home`", "`home` and process 1 at"),
}


@pytest.fixture(scope="module")
def pairs():
    """Two processes per pair of deeds, all started at once: they wait most of the time."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    started = {}
    for deeds in PAIRS:
        command = [sys.executable, str(ROOT / "tests" / "company_worker.py"), str(free_port())]
        started[deeds] = [
            subprocess.Popen([*command, str(i), deed], env=env, text=True, stderr=subprocess.PIPE)
            for i, deed in enumerate(deeds)
        ]
    return started


@pytest.mark.parametrize("deeds", PAIRS, ids=" and ".join)
def test_all_end_together_and_say_why(pairs, deeds):
    for process, deed, line in zip(pairs[deeds], deeds, PAIRS[deeds], strict=True):
        err = process.communicate(timeout=120)[1]
        assert process.returncode == {"dies": -9, "ends": 0}.get(deed, 2), err
        assert line in err.strip().rpartition("\n")[2]
        assert "Traceback" not in err and "Check failure" not in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("127.0.0.1:1", None, 0), "belong together"),
        (("abc", 2, 0), "abc: should be HOST:PORT"),
        (("127.0.0.1:99999", 2, 1), "port from 1 to 65535"),
        (("127.0.0.1:x", 2, 1), "should be HOST:PORT"),
        (("127.0.0.1:1", 2, 2), "process_id=2 with --num_processes=2: should be from 0 to 1"),
    ],
)
def test_options_that_no_process_can_have(options, message):
    with pytest.raises(UserError, match=message):
        joining.join(*options)


def test_an_absent_first_process_and_a_taken_port(monkeypatch):
    monkeypatch.setattr(joining, "JOIN_S", 1)
    port, started = free_port(), time.monotonic()
    with pytest.raises(UserError, match="no process answers there within 1 s .*refused"):
        joining.join(f"127.0.0.1:{port}", 2, 1)
    assert time.monotonic() - started < 10
    with socket.create_server(("", 0), family=socket.AF_INET6) as taken:
        with pytest.raises(UserError, match="port .* cannot be used .*use another"):
            joining.join(f"127.0.0.1:{taken.getsockname()[1]}", 2, 0)


def test_a_host_that_nobody_knows_is_refused_at_once():
    started = time.monotonic()
    with pytest.raises(UserError, match="nowhere.invalid:4000: unknown host name"):
        joining._reach("nowhere.invalid", 4000, 60)
    assert time.monotonic() - started < 30


@pytest.fixture
def say(monkeypatch):
    """`say(function, *arguments)` gives what process 1 says at each place, without any other."""
    said = {}

    def record(function, *arguments):
        said.clear()
        with monkeypatch.context() as patched:
            patched.setattr(company, "exchange", lambda place, text="": [
                said.setdefault(place, text), text])  # fmt: skip
            function(*arguments)
        return dict(said)

    class One:
        index, count = 0, 2

    monkeypatch.setattr(company, "current", lambda: One)
    return record


def answer(monkeypatch, theirs):
    monkeypatch.setattr(company, "exchange", lambda place, text="": [text, theirs[place]])


@pytest.fixture(scope="module")
def config_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("company")
    return write_config(folder, draw_data(folder / "data", train=1, val=1))


@pytest.mark.parametrize(
    "override",
    ["learning_rate=0.006", "seed=7", "steps=9", "data.val=other.txt", "batch_size=8",
     "optimizer.l2=0.5", "eval.every_steps=2", "data.augment.rotate=(0,1)"],
)  # fmt: skip
def test_another_config_is_said(say, monkeypatch, config_path, override):
    theirs = say(agreement.require_same_run, load_config(config_path, override))
    answer(monkeypatch, theirs)
    with pytest.raises(UserError, match=f"config.{override.partition('=')[0]}: .* in process 1"):
        agreement.require_same_run(load_config(config_path))


def test_what_may_differ_by_machine(say, monkeypatch, config_path):
    own = ["data.root=/x", "data.workers=3", "data.prefetch_mb=7", "init_from.student=/y"]
    answer(monkeypatch, say(agreement.require_same_run, load_config(config_path, *own)))
    agreement.require_same_run(load_config(config_path))


@pytest.mark.parametrize("name", ["__version__", "jax", "devices"])
def test_versions_and_devices(say, monkeypatch, config_path, name):
    theirs = say(agreement.require_same_run, load_config(config_path))
    facts = json.loads(theirs["config"])
    key = {"__version__": "version of ppocr_jax", "jax": "version of jax"}.get(name)
    key = key or "local devices"
    theirs["config"] = json.dumps({**facts, key: "another"})
    answer(monkeypatch, theirs)
    with pytest.raises(UserError, match=f"{key}: .* in process 0, another in process 1"):
        agreement.require_same_run(load_config(config_path))


class Split:
    total_steps, epoch_steps = 8, 2

    def __init__(self, samples):
        self.samples = samples


def samples(root="/a", name="2.png", ignore=False, x=3.0, count=4, turned=False):
    square = np.float32([[0, 0], [9, 0], [9, 9], [0, 9]])
    found = [Sample(f"{root}/{i}.png", (square,), (False,), "t.txt", i) for i in range(count)]
    found[2] = Sample(f"{root}/{name}", (square + np.float32(x),), (ignore,), "t.txt", 3)
    return found[::-1] if turned else found


@pytest.mark.parametrize("other", [{"name": "5.png"}, {"ignore": True}, {"x": 3.001},
                                   {"count": 5}, {"turned": True}])  # fmt: skip
@pytest.mark.parametrize("split", [0, 1])
def test_other_labels_are_said(say, monkeypatch, config_path, other, split):
    here, there = load_config(config_path, "data.root=/a"), load_config(config_path, "data.root=/b")
    same = [samples("/b"), samples("/b")]
    answer(monkeypatch, say(agreement.require_same_labels, there, Split(same[0]), same[1]))
    agreement.require_same_labels(here, Split(samples()), samples())
    same[split] = samples("/b", **other)
    answer(monkeypatch, say(agreement.require_same_labels, there, Split(same[0]), same[1]))
    number = "images of" if "count" in other else "image 1 " if "turned" in other else "image 3 "
    with pytest.raises(
        UserError, match=f"config.data.{('train', 'val')[split]}.*{number}|{number}"
    ):
        agreement.require_same_labels(here, Split(samples()), samples())


def test_other_weights_and_folders_are_said(say, monkeypatch, tmp_path):
    theirs = say(agreement.require_same_state, "save at step", 4, {"params/student": 1})
    answer(monkeypatch, theirs)
    agreement.require_same_state("save at step", 4, {"params/student": 1})
    with pytest.raises(UserError, match="params/student at step 4: 2 in process 0, 1 in process 1"):
        agreement.require_same_state("save at step", 4, {"params/student": 2})
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    answer(monkeypatch, {"workdir": "", "folder of the run": "False", "states": "{}"})
    with pytest.raises(UserError, match="--workdir of process 1 is not the folder"):
        agreement.require_same_folder(tmp_path / "one")
    assert not list((tmp_path / "one").iterdir())


@pytest.mark.parametrize(
    "variables, several",
    [
        ({}, False),
        ({"SLURM_NTASKS": "4"}, False),  # the script of a job, or a shell in one
        ({"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "n[1-4]"}, True),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "n1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
    ],
)
def test_only_what_a_launcher_started_waits_for_others(monkeypatch, capsys, variables, several):
    for name in ("SLURM_NTASKS", "SLURM_STEP_NODELIST", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert joining._launched() is several
    assert ("without srun" in capsys.readouterr().err) == (variables == {"SLURM_NTASKS": "4"})
