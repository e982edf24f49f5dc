"""How this process becomes one of several."""

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

import jax

from ppocr_jax.errors import UserError, first_line, tell
from ppocr_jax.processes import company

JOIN_S = 60  # that processes started by hand wait for each other
LAUNCHED_S = 300  # the same for those that a launcher starts, on machines that may have to boot
# JAX's own watch over the processes, for what ours cannot see.
TIMES = {"heartbeat_timeout_seconds": 24, "shutdown_timeout_seconds": 20}


@contextlib.contextmanager
def joined(address=None, count=None, index=None):
    """A block that several processes go through together, or one alone.

    Slurm, Open MPI and TPU pods are recognised; elsewhere all three arguments are needed. When one
    of them fails or is gone, all end within 30 s.

    Args:
        address: `host:port` of the first process.
        count: number of processes.
        index: of this one, from 0.

    Raises:
        UserError: some of the three but not all or not good, or the others do not come.
    """
    with company.telling():
        join(address, count, index)
        yield
    if company.current():
        company.current().finish()


def join(address=None, count=None, index=None):
    """Makes this process one of several, see `joined`, before JAX finds its devices."""
    given = [value is not None for value in (address, count, index)]
    if any(given) and not all(given):
        raise UserError("--coordinator_address, --num_processes and --process_id belong together")
    if all(given):
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
    """Whether a launcher has started several processes of this run."""
    if int(os.environ.get("OMPI_COMM_WORLD_SIZE") or 1) > 1:
        return True
    tasks = int(os.environ.get("SLURM_NTASKS") or 1)
    # The script of a job knows its number of tasks too, but is one process: `srun` starts the many.
    by_srun = "SLURM_STEP_NODELIST" in os.environ
    if tasks > 1 and not by_srun:
        tell(f"warning: started without srun in a job of {tasks} tasks: this process runs alone")
    return tasks > 1 and by_srun


def _checked(address, count, index):
    """Host and port of an address. Raises UserError: not one, or no such process."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(
            f"--coordinator_address={address}: should be HOST:PORT of the first process, "
            "with a port from 1 to 65535"
        )
    if not 0 <= index < count:
        raise UserError(
            f"--process_id={index} of --num_processes={count}: processes count from 0 to "
            f"{max(count - 1, 0)}"
        )
    return host.strip("[]"), int(port)


def _initialize(others, seconds, host=None, port=None, *arguments, alone=False):
    """Joins JAX's service. Raises UserError when the others do not come within that time."""
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
            return  # a machine with a TPU that is no part of a pod
        reason = "" if "bad_cast" in str(error) else f" ({first_line(error)})"
        _end(f"{failure}{reason}")


def _require_free(port):
    """Refuses a port that something else has; JAX's service would crash on it."""
    family = socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET
    try:
        with socket.create_server(("", port), family=family):
            pass
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # a machine without IPv6
            return
        raise UserError(
            f"--coordinator_address: port {port} of this machine cannot be used "
            f"({error.strerror}): take another one"
        ) from None


def _reach(host, port, seconds):
    """Returns when something answers at an address. Raises UserError after `seconds`."""
    started, said = time.monotonic(), False
    while True:
        try:
            with socket.create_connection((host, port), timeout=5):
                return
        except socket.gaierror as error:
            raise UserError(
                f"--coordinator_address={host}:{port}: no machine of that name is known here "
                f"({error.strerror})"
            ) from None
        except OSError as error:
            waited = time.monotonic() - started
            if waited > seconds:
                raise UserError(
                    f"--coordinator_address={host}:{port}: no process answers there within "
                    f"{seconds} s ({error.strerror or error}): start the one with --process_id=0 "
                    "there, or name its address"
                ) from None
        if waited > 5 and not said:
            said = True
            tell(f"waiting for the first process at {host}:{port}, {seconds} s at most")
        time.sleep(0.5)


@contextlib.contextmanager
def _own_ending(failure):
    """Within it JAX's service is joined so that its loss ends in a line and not in a C++ stack.

    The service of JAX ends a process that has lost the others from a thread of its own. There is
    an argument for a function to call instead, which JAX has no public way to give; and where the
    compiled part cannot hand that function what happened, it calls C++'s last handler instead.
    """
    try:
        from jax._src.lib import _jax

        make = _jax.get_distributed_runtime_client
    except (ImportError, AttributeError):  # another JAX than those we know: its own ending then
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
    if company.current():
        company.current().lost()
        time.sleep(60)  # it is ending already, in another thread
    _end(failure)


def _end(line):
    """A process that has not joined ends at once: JAX would wait for the others at its exit."""
    print(f"error: {line}: look at the others, and start all of them again", file=sys.stderr)
    sys.stderr.flush()
    os._exit(2)


def _set_last_handler(failure):
    """What C++ calls when it cannot go on, where its library is the usual one."""
    global _handler  # which C++ keeps the address of
    _handler = ctypes.CFUNCTYPE(None)(lambda: _lost(failure))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libstdc++.so.6")._ZSt13set_terminatePFvvE(_handler)


def _found_company():
    """The company of the processes that JAX has joined, if there are several."""
    try:
        from jax._src.distributed import global_state

        client, index, count = (
            global_state.client, global_state.process_id, global_state.num_processes,
        )  # fmt: skip
    except (ImportError, AttributeError) as error:
        raise UserError(f"this version of jax joins processes in another way ({error})") from None
    if client is None or not count or count < 2:
        return
    company.found(client, index, count)
    # Before JAX looks for devices: it would wait for those of another platform.
    here = f"--num_processes={count} on {jax.config.jax_platforms or 'any platform'}"
    for other, there in enumerate(company.exchange("joined", here)):
        if there != here:
            raise UserError(f"process {index} has {here}, process {other} has {there}: they differ")
    if jax.default_backend() == "cpu":
        # Programs that come out of the cache do not keep the order of their collectives there.
        jax.config.update("jax_enable_compilation_cache", False)
