"""Several devices and several processes against one, for the same global batch."""

import json
import os
import socket
import subprocess
import sys

import ml_collections
import numpy as np
import pytest
from tiny import ROOT, TEACHER, draw_data, run, start, write_config

from ppocr_jax import devices
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.pdparams import write_pdparams
from ppocr_jax.weights import to_paddle


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def worker(**options):
    """Starts `devices_worker.py`, twice for `processes=2`; call the result for what it printed."""
    processes, port = options.pop("processes", 1), free_port()
    command = [sys.executable, str(ROOT / "tests" / "devices_worker.py")]
    command += [f"--{name}={value}" for name, value in options.items()]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    started = [
        subprocess.Popen(
            command + [f"--port={port}", f"--index={index}"] * (processes > 1),
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for index in range(processes)
    ]

    def result():
        printed = []
        for process in started:
            out, err = process.communicate(timeout=600)
            assert process.returncode == 0, err
            printed.append(json.loads(out.strip().splitlines()[-1]))
        assert all(p["moved"] == printed[0]["moved"] for p in printed)
        return {**printed[0], "moved": np.array(printed[0]["moved"])}

    return result


SEVERAL = {
    "single, 4 devices": ("single", dict(devices=4)),
    "cml, 8 devices": ("cml", dict(devices=8)),
    "cml, 2 processes": ("cml", dict(devices=1, processes=2)),
}


@pytest.fixture(scope="module")
def alone():
    """Runs on one device, made when they are asked for and kept: `(recipe, **options)`."""
    kept = {}

    def make(recipe, **options):
        key = (recipe, *options.items())
        if key not in kept:
            kept[key] = worker(recipe=recipe, **options)()
        return kept[key]

    return make


@pytest.fixture(scope="module", params=SEVERAL)
def float32_runs(request, alone):
    recipe, options = SEVERAL[request.param]
    several = worker(recipe=recipe, **options)
    one = alone(recipe)
    several = several()
    assert several["devices"] == options["devices"] * options.get("processes", 1)
    return one, several, alone(recipe, order="reversed")


def test_first_step(float32_runs):
    one, several, _ = float32_runs
    for name, value in one["losses"].items():
        np.testing.assert_allclose(several["losses"][name], value, rtol=1e-5, err_msg=name)
    largest = max(one["norms"])  # a tensor whose gradient is rounding alone has no digits
    for ours, theirs in zip(several["norms"], one["norms"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * largest)


def test_ten_steps_are_as_near_as_a_permuted_batch(float32_runs):
    one, several, permuted = float32_runs

    def distance(a, b):
        return np.linalg.norm(a["moved"] - b["moved"])

    assert distance(one, several) <= 10 * distance(one, permuted)
    names = list(one["last"])  # one term may agree by chance, all of them do not
    here, there, turned = (np.array([r["last"][n] for n in names]) for r in float32_runs)
    assert np.max(abs(there - here) / abs(here)) <= 10 * np.max(abs(turned - here) / abs(here))
    assert several["frozen_kept"]


@pytest.mark.parametrize("name", SEVERAL)
def test_ten_steps_in_double_precision(name, alone):
    recipe, options = SEVERAL[name]
    several = worker(recipe=recipe, dtype="float64", **options)
    one = alone(recipe, dtype="float64")
    several = several()
    np.testing.assert_allclose(several["moved"], one["moved"], rtol=0, atol=1e-9)
    for name, value in one["last"].items():
        np.testing.assert_allclose(several["last"][name], value, rtol=1e-9, err_msg=name)
    assert abs(one["moved"]).max() > 5e-4  # ten updates at 1e-4 went somewhere


def test_the_scope_of_a_device_is_its_part_of_the_batch(alone):
    """Two devices that normalise alone do what two micro-batches do in turn on one."""
    apart = worker(recipe="cml", devices=2, norm_scope="device")
    in_turn = alone("cml", accumulate=2)
    apart = apart()
    for name, value in in_turn["losses"].items():
        if name != "grad_norm":
            np.testing.assert_allclose(apart["losses"][name], value, rtol=1e-5, err_msg=name)
    # `loss.total=sum` multiplies by the images of a device here, and of the whole batch there.
    largest = max(in_turn["norms"])
    for ours, theirs in zip(apart["norms"], in_turn["norms"], strict=True):
        np.testing.assert_allclose(2 * ours, theirs, rtol=1e-4, atol=1e-5 * largest)
    assert apart["losses"]["total"] != alone("cml")["losses"]["total"]


def test_micro_batches_spread_over_devices(alone):
    spread = worker(recipe="cml", devices=2, accumulate=2)()
    one = alone("cml", accumulate=2)
    for name, value in one["losses"].items():
        np.testing.assert_allclose(spread["losses"][name], value, rtol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def cml(tmp_path_factory):
    """`(folder, command line)` of a small CML run over five validation images."""
    folder = tmp_path_factory.mktemp("cml")
    data = draw_data(folder / "data", val=5)
    config = write_config(folder, data, ("student", "student2"), ("teacher",))
    import jax

    model = build_detector(TEACHER)
    teacher = jax.device_get(init_variables(model, jax.random.key(5)))
    write_pdparams(folder / "teacher.pdparams", to_paddle(teacher))
    weights = f"--config.init_from.teacher={folder / 'teacher.pdparams'}"
    return folder, ["--config", str(config), weights]


def records(workdir, kind):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    return [line for line in lines if line["kind"] == kind]


def test_two_processes_save_and_one_resumes(cml):
    folder, command = cml
    port, together = free_port(), folder / "together"
    started = [
        start("train", *command, "--workdir", together, "--config.steps=8",
              "--config.eval.every_steps=4", f"--coordinator_address=127.0.0.1:{port}",
              "--num_processes=2", f"--process_id={index}", "--config.save.every_steps=4")
        for index in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=600)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert said[1].count("step ") == 0  # the second one leaves the talking to the first
    assert len(records(together, "train")) == 4
    assert records(together, "start")[0]["processes"] == 2

    # What both found together is what one finds alone.
    status, out, err = run("evaluate", "--weights", together / "latest", "--role", "all")
    assert status == 0, err
    for line in map(json.loads, out.splitlines()):
        if line["role"] != "teacher":
            there = [r for r in records(together, "eval") if r["role"] == line["role"]][-1]
            for name in ("hmean", "boxes_found", "boxes_matched", "images", "map_max"):
                assert line[name] == there[name], name

    # The state of both goes on in one, as the run that was alone from the start.
    (together / "checkpoints" / "8").rename(folder / "later")
    status, _, err = run("train", *command, "--workdir", together, "--config.steps=8",
                         "--config.eval.every_steps=4", "--config.save.every_steps=4")  # fmt: skip
    assert status == 0 and "continuing from step 4" in err, err
    alone = folder / "alone"
    status, _, err = run("train", *command, "--workdir", alone, "--config.steps=8",
                         "--config.eval.every_steps=4", "--config.save.every_steps=4")  # fmt: skip
    assert status == 0, err
    for ours, theirs in zip(records(together, "train"), records(alone, "train"), strict=True):
        assert ours["step"] == theirs["step"]
        for name in ("total", "mutual/student-student2", "teacher/student2-teacher"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, err_msg=name)


def test_processes_need_all_three_flags(monkeypatch):
    with pytest.raises(UserError, match="belong together"):
        devices.join_processes("127.0.0.1:1", None, 0)


def test_a_batch_is_shared_evenly_or_refused():
    config = ml_collections.ConfigDict({"batch_size": 6, "accumulate": 4, "mesh": {"devices": 0}})
    mesh = devices.make_mesh(config)
    with pytest.raises(UserError, match=r"batch_size=6 does not divide .* take 4"):
        devices.require_even_shares(config, mesh)
