"""How much memory there is: of this machine for this process, and of a device."""

import contextlib
import pathlib
import resource

PROC, CGROUP = pathlib.Path("/proc"), pathlib.Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # what version 1 of control groups writes for no limit is above this


def free_memory():
    """Bytes that this process can still get; None where nobody knows.

    The least of what the system has, what the limits of the control groups leave (those of
    containers and of batch systems such as Slurm), and what `ulimit -v` leaves.
    """
    known = [_of_system(), *_of_groups(), _of_limit()]
    return min((value for value in known if value is not None), default=None)


def resident_memory():
    """Bytes of the machine's memory that this process holds; 0 where nobody knows."""
    with contextlib.suppress(OSError, ValueError, IndexError):  # not Linux
        pages = (PROC / "self" / "statm").read_text(encoding="utf-8").split()[1]
        return int(pages) * resource.getpagesize()
    return 0


def device_memory(device):
    """Bytes that a device of JAX has left; None where it does not say, as a CPU."""
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
    """What each control group that this process is in leaves; files can be dropped from memory."""
    for version, group in groups("memory"):
        names = ("memory.max", "memory.current")
        limit, usage = names if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        with contextlib.suppress(OSError, ValueError):  # "max", or no such file
            most = int((group / limit).read_text())
            if most < UNLIMITED:
                yield most - int((group / usage).read_text()) + _droppable(group)


def groups(kind):
    """`(version, folder)` of the control groups of a kind that this process is in, 1 or 2."""
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
        # In a container the path may be the host's, while what is mounted is its own group.
        for group in {folder, *folder.parents, root}:
            if root == group or root in group.parents:
                yield 1 if kinds else 2, group


def _droppable(group):
    with contextlib.suppress(OSError, StopIteration, ValueError):
        facts = (group / "memory.stat").read_text().splitlines()
        wanted = ("total_inactive_file ", "inactive_file ")
        return int(next(f.split()[1] for name in wanted for f in facts if f.startswith(name)))
    return 0
