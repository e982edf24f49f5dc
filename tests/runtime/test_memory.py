"""Free memory: the least of what the system, control groups and the process's limit leave."""

import pytest

from ppocr_jax.runtime import memory


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Writes files of a made-up machine: `machine("proc/meminfo", text)`."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "group")

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    4000 kB\n")
    return write


def test_the_system_alone(machine):
    assert memory.free_memory() == 4000 * 1024


def test_a_container_s_limit_of_version_2(machine):
    machine("proc/self/cgroup", "0::/user/job\n")
    machine("group/user/memory.max", "3000000\n")
    machine("group/user/memory.current", "2500000\n")
    machine("group/user/memory.stat", "anon 9\ninactive_file 100000\n")
    machine("group/user/job/memory.max", "max\n")
    assert memory.free_memory() == 600_000
    machine("proc/self/cgroup", "0::/only/outside\n")  # the container sees its own group as root
    machine("group/memory.max", "1000000\n")
    machine("group/memory.current", "400000\n")
    assert memory.free_memory() == 600_000


def test_a_limit_of_version_1(machine):
    machine("proc/self/cgroup", "3:cpu:/\n4:memory:/job\n0::/\n")
    machine("group/memory/job/memory.limit_in_bytes", "900000\n")
    machine("group/memory/job/memory.usage_in_bytes", "800000\n")
    machine("group/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert memory.free_memory() == 100_000


def test_no_linux(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PROC", tmp_path / "none")
    assert memory.free_memory() is None


def test_a_device_that_says_what_it_has():
    class Device:
        def memory_stats(self):
            return {"bytes_limit": 100, "bytes_in_use": 30}

    assert memory.device_memory(Device()) == 70
    assert memory.device_memory(type("Cpu", (), {"memory_stats": lambda self: None})()) is None
