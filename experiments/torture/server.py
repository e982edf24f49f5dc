"""Starts commands of a checkout quickly: imports the libraries once, then forks for each command.

It is run as a file, in the folder of the checkout. Each line on stdin is a JSON object with what to
start, and where output and result go. The server never waits: a second process per command, its
keeper, waits for it and writes the result.
"""

import contextlib
import importlib
import json
import os
import resource
import runpy
import signal
import sys
import time
from typing import Any

COMMANDS = ("train", "evaluate", "predict", "extract", "export", "check_data", "convert_config")
MOST_MEMORY = (
    12_000_000 << 10
)  # bytes of address space: a leaking command must not take the machine down


def warm_up() -> bool:
    """Imports the commands' libraries, except those that start threads: a fork has only one thread.

    Returns:
        Whether this process has no other threads, so that its forks behave like new interpreters.
    """
    sys.modules["onnxruntime"] = None  # type: ignore[assignment]  # blocks it: it starts a thread
    for name in COMMANDS:
        with contextlib.suppress(ImportError):
            importlib.import_module(f"ppocr_jax.{name}")
    del sys.modules["onnxruntime"]
    for name in COMMANDS:  # `python -m` runs a command's file itself
        sys.modules.pop(f"ppocr_jax.{name}", None)
    return len(os.listdir("/proc/self/task")) == 1


def serve(warm: bool) -> None:
    """Starts a command for every line on stdin, until it ends."""
    for line in iter(sys.stdin.readline, ""):
        if os.fork() == 0:
            return keep(json.loads(line), warm)
        with contextlib.suppress(ChildProcessError):  # collects keepers that have ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def keep(order: dict[str, Any], warm: bool) -> None:
    """Starts one command in a session of its own, waits for it and writes how it ended."""
    started = time.time()
    pid = os.fork()
    if pid == 0:
        return begin(order, warm)
    write(order["result"] + ".pid", pid)
    _, status, usage = os.wait4(pid, 0)
    write(order["result"], {
        "status": os.waitstatus_to_exitcode(status),
        "seconds": time.time() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    })  # fmt: skip
    os._exit(0)


def write(path: str, value: Any) -> None:
    """Writes a JSON file; readers see it complete or not at all."""
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.rename(path + ".tmp", path)


def begin(order: dict[str, Any], warm: bool) -> None:
    """Turns this process into the command, with streams, signals and limits as from a shell."""
    # A session, default signals, streams to files.
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for target, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, order["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        handle = os.open(path, flags)
        os.dup2(handle, target)
        os.close(handle)
    # Environment and limits.
    os.environ.update(order["env"])
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    if order["file_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"],) * 2)
    module = "ppocr_jax." + order["command"]
    fresh = order["fresh"] or not warm
    # The command: another program, a new interpreter, or this one.
    if order["program"] or fresh:  # Python ignores SIGPIPE, and `exec` would inherit that
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if order["program"]:
        os.execvp(order["program"], [order["program"], *order["argv"]])
    if fresh:
        os.execv(sys.executable, [sys.executable, "-m", module, *order["argv"]])
    sys.argv = ["-m", *order["argv"]]
    importlib.reload(sys.modules["ppocr_jax"])  # sets its Ctrl-C handler at the start of a command
    sys.argv[0] = module
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()
    sys.dont_write_bytecode = True
    is_warm = warm_up()
    print(json.dumps(is_warm), flush=True)
    serve(is_warm)
