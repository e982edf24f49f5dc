"""Settings of a process, made before JAX looks for devices: platform, memory, program cache."""

import ctypes
import glob
import hashlib
import importlib.util
import inspect
import logging
import os
import pathlib
import platform
import sys
import warnings
from typing import Any

import jax

from ppocr_jax.errors import tell
from ppocr_jax.runtime.cache import cache_folder

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
PROGRAMS_BYTES = 2**30  # size of the program cache; the least recently used go first


def prepare() -> None:
    """Makes all settings. Every command calls it once, before it computes anything."""
    choose_platform()
    keep_freed_memory()
    keep_programs()
    ignore_late_ends()


def ignore_late_ends() -> None:
    """Silences the tracebacks of Orbax's pending reads and writes after one of them has failed.

    Their results go to tasks and coroutines that nothing awaits any more, or to a closed event
    loop; each would print a traceback or a warning. The failure itself still reaches the caller,
    who reports it in one line.
    """
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        closed = isinstance(unraisable.exc_value, RuntimeError) and (
            str(unraisable.exc_value) == "Event loop is closed"
        )
        interrupted = issubclass(unraisable.exc_type, KeyboardInterrupt)
        if interrupted or not (closed or inspect.iscoroutine(unraisable.object)):
            before(unraisable)

    sys.unraisablehook = hook


def choose_platform() -> None:
    """Uses the CPU, with a warning, if JAX has its CUDA plugin but the machine has no GPU."""
    if os.environ.get("JAX_PLATFORMS") or os.environ.get("JAX_PLATFORM_NAME"):
        return
    plugin = any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13))
    if plugin and not glob.glob("/dev/nvidia[0-9]*") and not os.path.exists("/dev/dxg"):
        os.environ["JAX_PLATFORMS"] = "cpu"  # for child processes
        jax.config.update("jax_platforms", "cpu")
        # JAX still initialises its plugins, and logs a traceback for the one that cannot work.
        logging.getLogger("jax._src.xla_bridge").addFilter(
            lambda record: "plugin configuration error" not in record.getMessage()
        )
        tell("warning: no GPU found, running on the CPU")


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory for the next update rather than return it to the system.

    By default glibc returns large blocks at once. On CPU every update would then get its feature
    maps as new pages, which costs a third of its time. Only the heap of the main thread can keep
    blocks of any size, so programs have to run in that thread (no asynchronous dispatch). Other
    threads keep heaps of their own: in a shared one, the fragments left by compilation would slow
    down every later allocation.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(option, value)


def keep_programs() -> None:
    """Caches compiled programs in the user's cache folder, so that the next start reads them.

    `JAX_COMPILATION_CACHE_DIR` sets another folder, or none if it is empty. If the folder is not
    writable there is a warning, and every start compiles.
    """
    chosen = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]  # made at run time
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or chosen:
        return
    folder = cache_folder() / "programs" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        tell(f"warning: cannot write to {folder}: compiled programs are not cached")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", PROGRAMS_BYTES)


def _processor():
    """A name for this type of CPU: a program compiled for one may not run on another."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
        facts = {line for line in text.splitlines() if line.startswith(("flags", "Features"))}
    except OSError:
        facts = {platform.processor()}
    digest = hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"
