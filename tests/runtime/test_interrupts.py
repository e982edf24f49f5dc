"""Ctrl-C at any time: one line, status 130, nothing else."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What `python -m ppocr_jax.X` does first; its heavy imports and its command follow.
START = """
import sys
sys.argv = ["-m"]
import ppocr_jax
import atexit, ctypes, time

def wait():
    print("there", flush=True)
    time.sleep(40)

class Forgotten:
    def __del__(self):
        wait()  # Python prints an exception that comes out of here, and goes on

def catch():
    try:
        wait()
    except BaseException:
        time.sleep(40)

def block():
    print("there", flush=True)
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):  # the second waits for ever, in C and whatever signal comes
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""
RUN = """
from ppocr_jax import cli
from ppocr_jax.runtime import interrupts
interrupts.PATIENCE_S = 0.3
cli.run(lambda argv: {}, [])
"""


def interrupt(code, **kwargs):
    """Runs code and sends SIGINT when it waits: `(status, stderr)`."""
    process = subprocess.Popen(
        [sys.executable, "-c", START + code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **kwargs,
    )
    assert process.stdout.readline() == "there\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("wait()", id="while modules load"),
        pytest.param(RUN.format("wait()"), id="in Python"),
        pytest.param(RUN.format("block()"), id="in C"),
        pytest.param(RUN.format("Forgotten() and None"), id="where exceptions are forgotten"),
        pytest.param(RUN.format("catch()"), id="where all are caught"),
        pytest.param(RUN.format("atexit.register(wait) and 0"), id="when all is done"),
    ],
)
def test_one_line(code):
    assert interrupt(code) == (130, "interrupted\n")


def test_what_is_ignored_stays_ignored():
    def ignore():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    code = RUN.format("print('there', flush=True) or time.sleep(0.5) or 7")
    assert interrupt(code, preexec_fn=ignore) == (7, "")


def test_a_library_leaves_signals_alone():
    code = "import ppocr_jax, signal; print(signal.getsignal(2) is signal.default_int_handler)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.check_output([sys.executable, "-c", code], env=env) == b"True\n"
