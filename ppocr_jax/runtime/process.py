"""What a process settles before JAX finds its devices: platform, memory, compiled programs."""

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

import jax

from ppocr_jax.errors import tell
from ppocr_jax.runtime.cache import cache_folder

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
PROGRAMS_BYTES = 2**30  # of compiled programs that are kept; the longest unused go first


def prepare():
    """To be called by every command, once, before anything is computed."""
    choose_platform()
    keep_freed_memory()
    keep_programs()
    ignore_late_ends()


def ignore_late_ends():
    """Silences what Orbax says of reads and writes that end after the one that failed.

    Their results go to tasks and coroutines that nobody waits for any more, or never did, or to an
    event loop that is closed by then: a traceback or a warning each. The failure itself reaches the
    caller, who says it in one line.
    """
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    before = sys.unraisablehook

    def hook(unraisable):
        closed = isinstance(unraisable.exc_value, RuntimeError) and (
            str(unraisable.exc_value) == "Event loop is closed"
        )
        interrupted = issubclass(unraisable.exc_type, KeyboardInterrupt)
        if interrupted or not (closed or inspect.iscoroutine(unraisable.object)):
            before(unraisable)

    sys.unraisablehook = hook


def choose_platform():
    """Runs on the CPU, with one line, where JAX has its CUDA plugin but the machine no GPU."""
    if os.environ.get("JAX_PLATFORMS") or os.environ.get("JAX_PLATFORM_NAME"):
        return
    plugin = any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13))
    if plugin and not glob.glob("/dev/nvidia[0-9]*") and not os.path.exists("/dev/dxg"):
        os.environ["JAX_PLATFORMS"] = "cpu"  # for the processes that this one starts
        jax.config.update("jax_platforms", "cpu")
        # JAX looks at its plugins all the same, and logs a traceback of the one that cannot work.
        logging.getLogger("jax._src.xla_bridge").addFilter(
            lambda record: "plugin configuration error" not in record.getMessage()
        )
        tell("warning: no GPU found, running on the CPU")


def keep_freed_memory():
    """Lets the process keep freed memory for the next update, where the C library is glibc.

    By default glibc hands large blocks back at once. On CPU every update would then get its maps
    as fresh pages, which costs a third of its time. Only the main thread's heap can keep blocks of
    any size: programs run in that thread. The others keep heaps of their own. With one heap for
    all, the fragments that compilation leaves there would slow every later request down.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(option, value)


def keep_programs():
    """Keeps compiled programs in the user's cache folder: the next start need not compile them.

    `JAX_COMPILATION_CACHE_DIR` names another folder, or, when it is empty, none. Where the folder
    cannot be written, one line says so, and every start compiles.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or jax.config.jax_compilation_cache_dir:
        return  # somebody has chosen
    folder = cache_folder() / "programs" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        tell(f"warning: {folder} cannot be written: compiled programs are not kept")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", PROGRAMS_BYTES)


def _processor():
    """A name for this kind of processor: a program made for one may not run on another."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
        facts = {line for line in text.splitlines() if line.startswith(("flags", "Features"))}
    except OSError:
        facts = {platform.processor()}
    digest = hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"
