"""Makes this process one of several in a run."""

import contextlib
import ctypes
import errno
import functools
import importlib.util
import inspect
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

import jax

from ppocr_jax.errors import UserError, first_line, tell
from ppocr_jax.processes import company

JOIN_S = 60  # processes started by hand wait this long for each other
LAUNCHED_S = 300  # those of a launcher wait longer: its machines may have to boot
# JAX's own heartbeats, for what ours cannot detect.
TIMES = {"heartbeat_timeout_seconds": 24, "shutdown_timeout_seconds": 20}


@contextlib.contextmanager
def joined(
    address: str | None = None, count: int | None = None, index: int | None = None
) -> Iterator[None]:
    """A block that all processes of a run execute together; also for a single process.

    Slurm, Open MPI and TPU pods are detected; elsewhere all three arguments are needed. If one
    process fails or disappears, all end within 30 s.

    Args:
        address: `host:port` of the first process.
        count: number of processes.
        index: of this one, from 0.

    Raises:
        UserError: incomplete or invalid arguments, or the other processes do not come.
    """
    with company.telling():
        join(address, count, index)
        yield
    here = company.current()
    if here:
        here.finish()


def join(address: str | None = None, count: int | None = None, index: int | None = None) -> None:
    """Joins the processes of a run, see `joined`; call it before JAX looks for devices."""
    given = [value is not None for value in (address, count, index)]
    if any(given) and not all(given):
        raise UserError("--coordinator_address, --num_processes and --process_id belong together")
    if address is not None and count is not None and index is not None:
        host, port = _checked(address, count, index)
        if count > 1:
            _initialize(
                f"the first process at {address}", JOIN_S, host, port, address, count, index
            )
    elif _launched():
        _initialize("the processes that were launched with it", LAUNCHED_S)
    elif importlib.util.find_spec("libtpu"):
        _initialize("the hosts of this pod", LAUNCHED_S, alone=True)
    _found_company()


def _launched():
    """Whether a launcher has started several processes for this run."""
    if int(os.environ.get("OMPI_COMM_WORLD_SIZE") or 1) > 1:
        return True
    tasks = int(os.environ.get("SLURM_NTASKS") or 1)
    # A batch script sees the number of tasks too, but is a single process: only `srun` starts them.
    by_srun = "SLURM_STEP_NODELIST" in os.environ
    if tasks > 1 and not by_srun:
        tell(f"warning: started without srun in a job of {tasks} tasks: this process runs alone")
    return tasks > 1 and by_srun


def _checked(address, count, index):
    """Splits an address into host and port. Raises UserError for invalid arguments."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(
            f"--coordinator_address={address}: should be HOST:PORT of the first process, "
            "with a port from 1 to 65535"
        )
    if not 0 <= index < count:
        raise UserError(
            f"--process_id={index} with --num_processes={count}: should be from 0 to "
            f"{max(count - 1, 0)}"
        )
    return host.strip("[]"), int(port)


def _initialize(others, seconds, host=None, port=None, *arguments, alone=False):
    """Joins JAX's service; ends the process if the others do not come in time."""
    started = time.monotonic()
    if arguments and arguments[-1] == 0:
        _require_free(port)
    elif arguments:
        _reach(host, port, seconds)
    left = max(10, int(seconds - (time.monotonic() - started)))
    known = inspect.signature(jax.distributed.initialize).parameters
    times = {"initialization_timeout": left, **TIMES}
    failure = f"not all processes of this run came within {seconds} s to {others}"
    try:
        with _own_ending(failure):
            jax.distributed.initialize(*arguments, **{k: v for k, v in times.items() if k in known})
    except (RuntimeError, ValueError) as error:
        if alone and "coordinator_address" in str(error):
            return  # a machine with a TPU that is not part of a pod
        reason = "" if "bad_cast" in str(error) else f" ({first_line(error)})"
        _end(f"{failure}{reason}")


def _require_free(port):
    """Checks that a port is free: JAX's service would crash on a used one."""
    family = socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET
    try:
        with socket.create_server(("", port), family=family):
            pass
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # a machine without IPv6
            return
        raise UserError(
            f"--coordinator_address: port {port} of this machine cannot be used "
            f"({error.strerror}): use another one"
        ) from None


def _reach(host, port, seconds):
    """Waits until something answers at an address. Raises UserError after `seconds`."""
    started, said = time.monotonic(), False
    while True:
        try:
            with socket.create_connection((host, port), timeout=5):
                return
        except socket.gaierror as error:
            raise UserError(
                f"--coordinator_address={host}:{port}: unknown host name ({error.strerror})"
            ) from None
        except OSError as error:
            waited = time.monotonic() - started
            if waited > seconds:
                raise UserError(
                    f"--coordinator_address={host}:{port}: no process answers there within "
                    f"{seconds} s ({error.strerror or error}): start the one with --process_id=0 "
                    "there, or correct the address"
                ) from None
        if waited > 5 and not said:
            said = True
            tell(f"waiting for the first process at {host}:{port}, {seconds} s at most")
        time.sleep(0.5)


@contextlib.contextmanager
def _own_ending(failure):
    """Makes a lost connection to JAX's service end in one line rather than a C++ stack trace.

    The service ends a process that has lost the others, from a thread of its own. It takes a
    callback to call instead, but JAX has no public way to set it. If the compiled part cannot pass
    the status to the callback, it calls the C++ terminate handler, so that one is set as well.
    """
    try:
        from jax._src.lib import _jax

        make = _jax.get_distributed_runtime_client
    except (ImportError, AttributeError):  # an unknown version of JAX: keep its own behaviour
        yield
        return
    _set_last_handler(failure)
    _jax.get_distributed_runtime_client = functools.partial(
        make, missed_heartbeat_callback=lambda *_: _lost(failure)
    )
    try:
        yield
    finally:
        _jax.get_distributed_runtime_client = make


def _lost(failure):
    here = company.current()
    if here:
        here.lost()
        time.sleep(60)  # the process is ending already, in another thread
    _end(failure)


def _end(line: str) -> NoReturn:
    """Ends a process that has not joined at once: at exit JAX would wait for the others."""
    print(f"error: {line}: check the others, and start all of them again", file=sys.stderr)
    sys.stderr.flush()
    os._exit(2)


def _set_last_handler(failure):
    """Sets the terminate handler of C++, if its library is the usual one."""
    global _handler  # kept alive: C++ holds its address
    _handler = ctypes.CFUNCTYPE(None)(lambda: _lost(failure))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libstdc++.so.6")._ZSt13set_terminatePFvvE(_handler)


def _found_company():
    """Creates the company of the processes that JAX has joined, if there are several."""
    try:
        from jax._src.distributed import global_state

        client, index, count = (
            global_state.client, global_state.process_id, global_state.num_processes,
        )  # fmt: skip
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"this version of jax joins processes in an unknown way ({error}): use a version from "
            "requirements.txt"
        ) from None
    if client is None or not count or count < 2:
        return
    company.found(client, index, count)
    # Before JAX looks for devices: it would wait forever for a process on another platform.
    here = f"--num_processes={count} on {jax.config.jax_platforms or 'any platform'}"
    for other, there in enumerate(company.exchange("joined", here)):
        if there != here:
            raise UserError(f"process {index} has {here}, process {other} has {there}: they differ")
    if jax.default_backend() == "cpu":
        # On CPU, programs read from the cache do not keep the order of their collectives.
        jax.config.update("jax_enable_compilation_cache", False)
