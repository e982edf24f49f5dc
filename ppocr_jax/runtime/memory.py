"""Free memory: of this machine for this process, and of a device."""

import contextlib
import pathlib
import resource
from collections.abc import Iterator
from typing import Any

PROC, CGROUP = pathlib.Path("/proc"), pathlib.Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # cgroups v1 write a number above this for "no limit"


def free_memory() -> int | None:
    """Bytes that this process can still allocate; None if unknown.

    The minimum of the system's available memory, of what the cgroups allow (containers and batch
    systems such as Slurm set them) and of what `ulimit -v` allows.
    """
    known = [_of_system(), *_of_groups(), _of_limit()]
    return min((value for value in known if value is not None), default=None)


def resident_memory() -> int:
    """Resident memory of this process, bytes; 0 if unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):  # not Linux
        pages = (PROC / "self" / "statm").read_text(encoding="utf-8").split()[1]
        return int(pages) * resource.getpagesize()
    return 0


def device_memory(device: Any) -> int | None:
    """Free memory of a JAX device, bytes; None if unknown, as on CPU."""
    facts = device.memory_stats() or {}
    if "bytes_limit" not in facts:
        return None
    return facts["bytes_limit"] - facts.get("bytes_in_use", 0)


def _of_system():
    with contextlib.suppress(OSError, StopIteration, ValueError):  # not Linux
        facts = (PROC / "meminfo").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(f.split()[1] for f in facts if f.startswith("MemAvailable")))
    return None


def _of_limit():
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    with contextlib.suppress(OSError, ValueError):
        used = int((PROC / "self" / "statm").read_text(encoding="utf-8").split()[0])
        return limit - used * resource.getpagesize()
    return None


def _of_groups():
    """Yields what each cgroup of this process still allows; cached files count as free."""
    for version, group in groups("memory"):
        names = ("memory.max", "memory.current")
        limit, usage = names if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        with contextlib.suppress(OSError, ValueError):  # "max", or no such file
            most = int((group / limit).read_text())
            if most < UNLIMITED:
                yield most - int((group / usage).read_text()) + _droppable(group)


def groups(kind: str) -> Iterator[tuple[int, pathlib.Path]]:
    """Yields `(version, folder)` of the cgroups of this process; version 1 or 2.

    Args:
        kind: the controller, "memory" or "cpu".
    """
    try:
        lines = (PROC / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, place = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        root = CGROUP / kind if kinds else CGROUP
        folder = root / place.strip("/")
        # In a container the path may be that on the host, while only its own group is mounted.
        for group in {folder, *folder.parents, root}:
            if root == group or root in group.parents:
                yield 1 if kinds else 2, group


def _droppable(group):
    with contextlib.suppress(OSError, StopIteration, ValueError):
        facts = (group / "memory.stat").read_text().splitlines()
        wanted = ("total_inactive_file ", "inactive_file ")
        return int(next(f.split()[1] for name in wanted for f in facts if f.startswith(name)))
    return 0
