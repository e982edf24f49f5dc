"""The number of CPU cores that this process may use."""

import contextlib
import os

from ppocr_jax.runtime.memory import groups


def usable_cores() -> int:
    """The number of usable cores, at least 1, within CPU affinity and the limits of cgroups."""
    try:
        own = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        own = os.cpu_count() or 1
    return max(1, int(min([own, *_of_groups()])))


def _of_groups():
    """Yields the CPU quota of each cgroup, in cores; containers set it."""
    for version, group in groups("cpu"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # "max", or no such file
            if version == 2:
                quota, period = map(int, (group / "cpu.max").read_text().split()[:2])
            else:
                quota = int((group / "cpu.cfs_quota_us").read_text())
                period = int((group / "cpu.cfs_period_us").read_text())
            if quota > 0:  # -1: no limit
                yield quota / period
