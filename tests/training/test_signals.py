"""Which signals stop a run, and what becomes of its lines when the terminal is gone."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from tiny import ROOT

from ppocr_jax.training.signals import StopOnSignal

WAITS = """
import sys, time
from ppocr_jax.training.signals import StopOnSignal
with StopOnSignal() as stop:
    print("there", flush=True)
    until = time.monotonic() + 20
    while not stop.number and time.monotonic() < until:
        time.sleep(0.02)
    print("a line for nobody", file=sys.stderr, flush=True)
    open(sys.argv[1], "w").write(str(stop.number))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_is_remembered(number):
    before = signal.getsignal(number)
    with StopOnSignal() as stop:
        assert stop.number == 0
        os.kill(os.getpid(), number)
        assert stop.number == number and signal.getsignal(number) is before


def test_nohup_keeps_a_run_going(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopOnSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_closed(tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, str(tmp_path / "end")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    assert os.read(ours, 5) == b"there"
    time.sleep(0.1)
    os.close(ours)  # from here on every write to the terminal is an error
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=30) == 0
    assert (tmp_path / "end").read_text() == str(int(signal.SIGHUP))
