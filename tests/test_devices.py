"""Four simulated devices against one, for the same global batch."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny import ROOT


def worker(*arguments):
    """Starts `devices_worker.py`; call the result for what it printed."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "devices_worker.py"), *map(str, arguments)],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def result():
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        printed = json.loads(out.strip().splitlines()[-1])
        return {**printed, "moved": np.array(printed["moved"])}

    return result


@pytest.fixture(scope="module")
def float32_runs():
    one, four = worker(1, 10, "float32"), worker(4, 10, "float32")
    runs = one(), four()
    return *runs, worker(1, 10, "float32", "permuted")()


def test_first_step(float32_runs):
    one, four, _ = float32_runs
    for name, value in one["losses"].items():
        np.testing.assert_allclose(four["losses"][name], value, rtol=1e-5, err_msg=name)
    largest = max(one["norms"])  # a tensor whose gradient is rounding alone has no digits
    for ours, theirs in zip(four["norms"], one["norms"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * largest)


def test_ten_steps_are_as_near_as_a_permuted_batch(float32_runs):
    one, four, permuted = float32_runs

    def distance(a, b):
        return np.linalg.norm(a["moved"] - b["moved"])

    assert distance(one, four) <= 10 * distance(one, permuted)
    for name, value in one["last"].items():
        apart = abs(permuted["last"][name] - value)
        assert abs(four["last"][name] - value) <= 10 * apart + 1e-6 * abs(value), name


def test_ten_steps_in_double_precision():
    one, four = worker(1, 10, "float64"), worker(4, 10, "float64")
    one, four = one(), four()
    np.testing.assert_allclose(four["moved"], one["moved"], rtol=0, atol=1e-9)
    for name, value in one["last"].items():
        np.testing.assert_allclose(four["last"][name], value, rtol=1e-9, err_msg=name)
    assert abs(one["moved"]).max() > 5e-4  # ten updates at 1e-4 went somewhere
