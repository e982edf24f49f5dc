"""How many processor cores this process may use."""

import contextlib
import os

from ppocr_jax.runtime.memory import groups


def usable_cores():
    """Whole cores, at least 1: those that it may run on, within the limits of control groups."""
    try:
        own = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        own = os.cpu_count() or 1
    return max(1, int(min([own, *_of_groups()])))


def _of_groups():
    """Cores by the shares of time that control groups leave, those of containers among them."""
    for version, group in groups("cpu"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # "max", or no such file
            if version == 2:
                quota, period = map(int, (group / "cpu.max").read_text().split()[:2])
            else:
                quota = int((group / "cpu.cfs_quota_us").read_text())
                period = int((group / "cpu.cfs_period_us").read_text())
            if quota > 0:  # -1: no limit
                yield quota / period
