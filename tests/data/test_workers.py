"""Worker processes: their batches, their end, and that they leave nothing behind."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tiny import ROOT
from workers_job import Number, Unpackable

from ppocr_jax.data import slots
from ppocr_jax.data.workers import Workers
from ppocr_jax.errors import UserError

SHARED_MEMORY = pathlib.Path("/dev/shm")


def runs(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    except OSError:
        return False


def ends(pid, seconds=10):
    """Whether a process ends in time."""
    deadline = time.monotonic() + seconds
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not runs(pid)


def test_batches_come_in_order_from_workers_in_turn():
    batches = list(Workers(Number(), 7, 3, 1))
    for number, batch in enumerate(batches):
        np.testing.assert_array_equal(batch["image"], np.full((300, 1000), number, np.uint16))
        assert batch["image"].flags.writeable and not batch["loaded"]
    pids = [batch["pid"] for batch in batches]
    assert len(set(pids)) == 3 and pids[:3] == pids[3:6] and os.getpid() not in pids
    assert not any(map(runs, pids))


BYTES = 300 * 1000 * 2


def held(workers):
    """Number of slots in use in this process, over all workers."""
    return sum(len(worker._slots._lent) for worker in workers._workers)


@pytest.mark.parametrize("count", [1, 3])
def test_batches_lie_where_workers_wrote_them(count):
    workers = Workers(Number(), 40, count, 2, BYTES)
    for number in range(30):
        batch = next(workers)
        assert (batch["image"] == number).all() and batch["image"].flags.writeable
        assert batch["image"].ctypes.data % 64 == 0
        assert 1 <= held(workers) <= 2  # this one, and the one before it for a moment
    del batch
    assert held(workers) == 0
    workers.close()


def test_batches_that_are_kept_stay_as_they_are():
    """With fewer slots than batches, the batches without a slot are copied."""
    workers = Workers(Number(), 24, 2, 1, BYTES)
    kept = list(workers)
    assert [batch["image"][7, 7] for batch in kept] == list(range(24))
    assert all((batch["image"] == number).all() for number, batch in enumerate(kept))


@pytest.mark.parametrize("size", [BYTES - 64, 64])
def test_a_batch_that_no_slot_holds_comes_through_the_socket(size):
    images = [batch["image"] for batch in Workers(Number(), 6, 2, 1, size)]
    assert all((image == number).all() for number, image in enumerate(images))


def test_without_such_memory_batches_come_through_the_socket(monkeypatch):
    def refuse(size):
        raise OSError("over a limit")

    monkeypatch.setattr(slots, "open_memory", refuse)
    images = [batch["image"][0, 0] for batch in Workers(Number(), 3, 1, 1, BYTES)]
    assert images == [0, 1, 2]


def test_memory_without_memfd(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    images = [batch["image"][0, 0] for batch in Workers(Number(), 3, 1, 1, BYTES)]
    assert images == [0, 1, 2]


def test_what_a_worker_imports_is_little():
    """JAX and Grain would cost each worker 150 MB and seconds."""
    code = "import sys; import ppocr_jax.data.examples; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("kind", [UserError, KeyError])
def test_an_exception_comes_over_with_its_kind(kind):
    workers = Workers(Number(3, kind, "no such picture"), 6, 2, 1)
    assert [next(workers)["image"][0, 0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(kind, match="no such picture") as caught:
        next(workers)
    assert kind is UserError or "in __call__" in "".join(caught.value.__notes__)
    with pytest.raises(StopIteration):
        next(workers)


def test_an_exception_that_cannot_travel_is_told():
    with pytest.raises(RuntimeError, match="Unpackable: one two"):
        next(Workers(Number(0, Unpackable, "one", "two"), 6, 1, 1))


def test_a_killed_worker_is_one_line():
    workers = Workers(Number(), 9999, 2, 1)
    os.kill(next(workers)["pid"], signal.SIGKILL)
    with pytest.raises(UserError, match="ended by signal 9, as systems do when memory runs out"):
        for _ in workers:
            pass


def test_signals_are_left_to_the_parent():
    workers = Workers(Number(seconds=0.05), 9999, 1, 1)
    pid = next(workers)["pid"]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert all(next(workers)["pid"] == pid for _ in range(5))
    workers.close()
    assert not runs(pid)
    workers.close()  # nothing the second time


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="no shared memory with names to look at")
@pytest.mark.parametrize("when", ["started", "at work"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, "an end without close"])
def test_workers_end_with_their_parent_whatever_ends_it(when, how):
    before = set(SHARED_MEMORY.iterdir())
    stays = isinstance(how, signal.Signals)
    process = subprocess.Popen(
        [sys.executable, "tests/workers_job.py", when, "stays" if stays else "ends"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    pids = list(map(int, process.stdout.readline().split()))
    assert len(pids) == 2
    if stays:
        send = os.killpg if how == signal.SIGINT else os.kill  # a terminal sends it to all
        send(process.pid, how)
    _, err = process.communicate(timeout=60)
    assert all(map(ends, pids))
    assert {path for path in set(SHARED_MEMORY.iterdir()) - before if "mp-" in path.name} == set()
    # Of the processes that Ctrl-C reaches, the one that was started says so.
    assert err.count("Traceback") == (how == signal.SIGINT), err
