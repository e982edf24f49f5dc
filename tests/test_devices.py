"""Several devices and several processes against one, for the same global batch."""

import concurrent.futures
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
from ppocr_jax.weights.paddle import to_paddle
from ppocr_jax.weights.pdparams import write_pdparams


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def read_all(processes):
    """`(stdout, stderr)` of each. All are read at once: they wait for each other to end."""
    with concurrent.futures.ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(lambda process: process.communicate(timeout=900), processes))


RUNS = {
    "single": dict(recipe="single", devices=1, turned=True),
    "cml": dict(recipe="cml", devices=1, turned=True),
    "single, 4 devices": dict(recipe="single", devices=4),
    "cml, 8 devices": dict(recipe="cml", devices=8),
}
FROZEN = {"student": ["backbone"]}
IN_PARTS = {
    "in turn": dict(recipe="cml", devices=1, accumulate=2),
    "in turn, 2 devices": dict(recipe="cml", devices=2, accumulate=2),
    "apart": dict(recipe="cml", devices=2, norm_scope="device"),
    "frozen in turn": dict(recipe="single", devices=1, accumulate=2, frozen=FROZEN),
    "frozen apart": dict(recipe="single", devices=2, norm_scope="device", frozen=FROZEN),
}
# LLVM's own optimisations take longer than a few small updates do without them.
CHEAP = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes"}
SEVERAL = ["single, 4 devices", "cml, 8 devices", "cml, 2 processes"]


def start_worker(dtype, runs, processes=1, simulated=8):
    """Starts `devices_worker.py`, in two processes that share the work with `processes=2`."""
    command = [sys.executable, str(ROOT / "tests" / "devices_worker.py"), f"--dtype={dtype}"]
    command += [f"--devices={simulated}", f"--runs={json.dumps(runs)}"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    port = free_port()
    return [
        subprocess.Popen(
            command + [f"--port={port}", f"--index={index}"] * (processes > 1),
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for index in range(processes)
    ]


def results_of(started):
    """What the runs of a worker printed, by name; two processes have to agree."""
    printed = []
    for process, (out, err) in zip(started, read_all(started), strict=True):
        assert process.returncode == 0, err
        printed.append(json.loads(out.strip().splitlines()[-1]))
    assert all(other == printed[0] for other in printed)
    return {name: {**r, "moved": np.array(r["moved"])} for name, r in printed[0].items()}


@pytest.fixture(scope="module")
def results():
    """`{dtype: {run: result}}`: 8 simulated devices in one process, and two with one each."""
    together = {"cml, 2 processes": dict(recipe="cml")}
    single = start_worker("float32", {**RUNS, **IN_PARTS})
    double = start_worker("float64", {n: {**o, "turned": False} for n, o in RUNS.items()})
    found = {"float32": results_of(single), "float64": results_of(double)}
    for dtype in found:
        found[dtype] |= results_of(start_worker(dtype, together, processes=2, simulated=1))
    return found


@pytest.mark.parametrize("name", SEVERAL)
def test_first_step(results, name):
    one, several = results["float32"][name.split(",")[0]], results["float32"][name]
    assert several["devices"] == int(name.split()[1])
    for term, value in one["losses"].items():
        np.testing.assert_allclose(several["losses"][term], value, rtol=1e-5, err_msg=term)
    largest = max(one["norms"])  # a tensor whose gradient is rounding alone has no digits
    for ours, theirs in zip(several["norms"], one["norms"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * largest)


@pytest.mark.parametrize("name", SEVERAL)
def test_ten_steps_are_as_near_as_a_permuted_batch(results, name):
    recipe = name.split(",")[0]
    one, several = results["float32"][recipe], results["float32"][name]
    turned = results["float32"][f"{recipe}, turned"]

    def distance(a, b):
        return np.linalg.norm(a["moved"] - b["moved"])

    assert 0 < distance(one, several) <= 10 * distance(one, turned)
    # A loss of one step may agree to the last place by chance; not all losses of all steps do.
    terms = [term for term in one["every"] if term != "grad_norm"]
    here, there, other = (
        np.array([run["every"][term] for term in terms]) for run in (one, several, turned)
    )
    assert np.max(abs(there - here) / abs(here)) <= 10 * np.max(abs(other - here) / abs(here))
    assert several["frozen_kept"]


@pytest.mark.parametrize("name", SEVERAL)
def test_ten_steps_in_double_precision(results, name):
    one, several = results["float64"][name.split(",")[0]], results["float64"][name]
    np.testing.assert_allclose(several["moved"], one["moved"], rtol=0, atol=1e-9)
    for term, values in one["every"].items():
        np.testing.assert_allclose(several["every"][term], values, rtol=1e-9, err_msg=term)
    assert abs(one["moved"]).max() > 5e-4  # ten updates at 1e-4 went somewhere


def test_the_scope_of_a_device_is_its_part_of_the_batch(results):
    """Two devices that normalise alone do what two micro-batches do in turn on one."""
    found = results["float32"]
    apart, in_turn = found["apart"], found["in turn"]
    for name, value in in_turn["losses"].items():
        if name != "grad_norm":
            np.testing.assert_allclose(apart["losses"][name], value, rtol=1e-5, err_msg=name)
    # `loss.total=sum` multiplies by the images of a device here, and of the whole batch there.
    largest = max(in_turn["norms"])
    for ours, theirs in zip(apart["norms"], in_turn["norms"], strict=True):
        np.testing.assert_allclose(2 * ours, theirs, rtol=1e-4, atol=1e-5 * largest)
    assert apart["losses"]["total"] != found["cml"]["losses"]["total"]


def test_a_frozen_part_in_the_scope_of_a_device(results):
    found = results["float32"]
    apart, in_turn = found["frozen apart"], found["frozen in turn"]
    assert apart["devices"] == 2 and apart["frozen_kept"] and in_turn["frozen_kept"]
    for name, value in in_turn["losses"].items():
        np.testing.assert_allclose(apart["losses"][name], value, rtol=1e-5, err_msg=name)
    assert 0 < len(apart["norms"]) < len(found["single"]["norms"])  # no moments of what is frozen
    largest = max(in_turn["norms"])
    for ours, theirs in zip(apart["norms"], in_turn["norms"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * largest)


def test_micro_batches_spread_over_devices(results):
    spread, one = results["float32"]["in turn, 2 devices"], results["float32"]["in turn"]
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
    every = ["--config.eval.every_steps=4", "--config.save.every_steps=4"]
    every += ["--config.average.decay=0.9"]
    return folder, ["--config", str(config), weights, "--config.steps=8", *every]


def records(workdir, kind):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    return [line for line in lines if line["kind"] == kind]


def test_two_processes_save_and_one_resumes(cml):
    folder, command = cml
    port, together = free_port(), folder / "together"
    started = [
        start("train", *command, "--workdir", together, f"--coordinator_address=127.0.0.1:{port}",
              "--num_processes=2", f"--process_id={index}", env=CHEAP)
        for index in range(2)
    ]  # fmt: skip
    said = [err for _, err in read_all(started)]
    assert [process.returncode for process in started] == [0, 0], said
    assert said[1].count("step ") == 0  # the second one leaves the talking to the first
    assert len(records(together, "train")) == 4
    assert records(together, "start")[0]["processes"] == 2

    # What both found together is what one finds alone.
    status, out, err = run("evaluate", "--weights", together / "latest", "--role", "all", env=CHEAP)
    assert status == 0, err
    for line in map(json.loads, out.splitlines()):
        if line["role"] != "teacher":
            there = [r for r in records(together, "eval") if r["role"] == line["role"]][-1]
            for name in ("hmean", "boxes_found", "boxes_matched", "images", "map_max"):
                assert line[name] == there[name], name

    # The state of both goes on in one, as the run that was alone from the start.
    (together / "checkpoints" / "8").rename(folder / "later")
    status, _, err = run("train", *command, "--workdir", together, env=CHEAP)
    assert status == 0 and "continuing from step 4" in err, err
    alone = folder / "alone"
    status, _, err = run("train", *command, "--workdir", alone, env=CHEAP)
    assert status == 0, err
    for ours, theirs in zip(records(together, "train"), records(alone, "train"), strict=True):
        assert ours["step"] == theirs["step"]
        for name in ("total", "mutual/student-student2", "teacher/student2-teacher"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, err_msg=name)


def test_a_batch_is_shared_evenly_or_refused():
    config = ml_collections.ConfigDict({"batch_size": 6, "accumulate": 4, "mesh": {"devices": 0}})
    mesh = devices.make_mesh(config)
    with pytest.raises(UserError, match=r"batch_size=6 does not divide .* use 4"):
        devices.require_even_shares(config, mesh)
