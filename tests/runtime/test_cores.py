"""Cores: those of the process, within the limits of control groups."""

import os

import pytest

from ppocr_jax.runtime import cores, memory


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Writes files of a made-up machine of 16 cores: `machine("group/cpu.max", text)`."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "group")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def test_a_limit_of_version_2(machine):
    assert cores.usable_cores() == 16
    machine("proc/self/cgroup", "0::/user/job\n")
    machine("group/user/cpu.max", "350000 100000\n")
    machine("group/user/job/cpu.max", "max 100000\n")
    assert cores.usable_cores() == 3
    machine("group/user/job/cpu.max", "50000 100000\n")
    assert cores.usable_cores() == 1


def test_a_limit_of_version_1(machine):
    machine("proc/self/cgroup", "3:cpu,cpuacct:/job\n4:memory:/\n")
    machine("group/cpu/job/cpu.cfs_quota_us", "-1\n")
    machine("group/cpu/job/cpu.cfs_period_us", "100000\n")
    assert cores.usable_cores() == 16
    machine("group/cpu/job/cpu.cfs_quota_us", "600000\n")
    assert cores.usable_cores() == 6
