"""Figures of an update, and the batch that `batch_size=0` stands for."""

import json
import re
from types import SimpleNamespace

import jax
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax import config as configs
from ppocr_jax.errors import UserError
from ppocr_jax.training import footprint, loop
from ppocr_jax.training.footprint import Budget, Footprint, find_largest
from ppocr_jax.weights.meta import read_meta

MB = 2**20


class Machine:
    """Updates of `base + each * batch` bytes, with another slope above `bend`; counts them."""

    def __init__(self, base, each, bend=10**9, steeper=0.0):
        self.base, self.each, self.bend, self.steeper = base, each, bend, steeper
        self.compiled = []

    def __call__(self, batch):
        self.compiled.append(batch)
        over = max(0, batch - self.bend) * self.steeper
        return Footprint(int(self.base + self.each * batch + over), 5.0 * batch)


def find(machine, memory, unit=1, most=1000, lines=None):
    say = lines.append if lines is not None else lambda line: None
    return find_largest(machine, Budget(memory, "60% of it"), unit, most, say)


@pytest.mark.parametrize(
    ("memory", "unit", "most", "batch", "compiled"),
    [
        (1000, 1, 1000, 90, [2, 4, 90]),  # (1000 - 100) / 10
        (1009, 1, 1000, 90, [2, 4, 90]),
        (1000, 8, 1000, 88, [8, 16, 88]),
        (1000, 1, 32, 32, [2, 4, 32]),
        (1000, 8, 35, 32, [8, 16, 32]),
        (1000, 1, 3, 3, [2, 3]),
        (1000, 1, 1, 1, [1]),
        (140, 1, 1000, 4, [2, 4]),
        (139, 1, 1000, 3, [2, 4, 3]),
        (110, 1, 1000, 1, [2, 4, 1]),
    ],
)
def test_the_largest_batch_on_a_line(memory, unit, most, batch, compiled):
    machine = Machine(100, 10)
    assert find(machine, memory, unit, most) == (batch, Footprint(100 + 10 * batch, 5.0 * batch))
    assert machine.compiled == compiled


def test_a_bend_that_only_the_third_compilation_shows():
    machine, lines = Machine(100, 10, bend=50, steeper=10.0), []
    batch, found = find(machine, 1000, lines=lines)
    assert machine.compiled == [2, 4, 90]
    assert 4 < batch < 90 and machine(batch).memory <= 1000
    assert found.memory <= 1000  # by the line between 4 and 90
    assert len(lines) == 3 and "compiling an update of 90 images" in lines[2]


@pytest.mark.parametrize(("memory", "unit"), [(109, 1), (50, 1), (100, 2), (0, 8), (-5, 1)])
def test_what_never_fits_is_one_line(memory, unit):
    machine = Machine(100, 10)
    with pytest.raises(UserError, match=r"^config.batch_size=0: an update of \d+ images needs"):
        find(machine, memory, unit)
    assert len(machine.compiled) <= 3


def test_figures_that_do_not_grow_take_what_is_allowed():
    assert find(Machine(100, 0), 1000, most=32)[0] == 32


def test_a_step_that_needs_more_than_it_said_falls_back_to_what_fits():
    sizes = {2: 100, 4: 100, 32: 5000}
    assert find(lambda batch: Footprint(sizes[batch], 0.0), 99 + 1, most=32)[0] == 4


@pytest.mark.parametrize(
    ("free", "devices", "here", "share"), [(1000, 1, 1, 600), (1000, 2, 2, 150)]
)
def test_processors_leave_room_for_the_rest(monkeypatch, free, devices, here, share):
    """Devices and processes of one machine share its memory."""

    class Mesh:
        local_devices = [type("Device", (), {"memory_stats": lambda self: None})()]
        local_mesh = type("Local", (), {"size": devices})

    monkeypatch.setattr(footprint, "free_memory", lambda: free)
    monkeypatch.setattr(footprint, "processes_here", lambda: here)
    monkeypatch.setattr(footprint, "resident_memory", lambda: 50)
    assert footprint.find_budget(Mesh) == Budget(share, "60% of the free memory", 32, 50)


def test_programs_and_batches_are_of_the_same_memory(config_path, monkeypatch):
    config = load_config(config_path, "data.prefetch_mb=3")
    mesh = SimpleNamespace(local_mesh=SimpleNamespace(size=2))
    monkeypatch.setattr(footprint, "resident_memory", lambda: 14 * MB)
    budget = Budget(100 * MB, "60% of it", 32, 4 * MB)
    taken = footprint.taken_beside(config, budget, mesh)
    assert taken == (15 + 3) * MB // 2  # a third program is to come; two devices share
    assert footprint.taken_beside(config, budget._replace(resident=None), mesh) == 0
    machine, lines = Machine(10 * MB, MB), []
    assert find_largest(machine, budget, 1, 99, lines.append, beside=lambda: taken)[0] == 81
    assert (
        "is 100 MiB, of which programs and waiting batches take 9 MiB: enough for about 81"
        in (lines[1])
    )


def test_a_device_with_memory_of_its_own(monkeypatch):
    class Device:
        def memory_stats(self):
            return {"bytes_limit": 1000, "bytes_in_use": 100}

    mesh = type("Mesh", (), {"local_devices": [Device()]})
    assert footprint.find_budget(mesh)[::2] == (810, None)


@pytest.fixture(scope="module")
def config_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footprint")
    return write_config(folder, draw_data(folder / "data"))


def kinds(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype), str(leaf.sharding)), tree)


@pytest.mark.long
def test_a_run_with_a_batch_of_0(config_path, tmp_path, monkeypatch, capfd):
    """The number is written down, and kept by a run that goes on; the update is the run's own."""
    asked, given, compile_step = [], [], loop.compile_step

    def measured(config, batch):
        asked.append(batch)
        return Footprint(2**20 * batch, 1.0)

    def compiled(setup, *arguments):
        given.extend([setup.config, kinds(arguments[:2])])
        return compile_step(setup, *arguments)

    monkeypatch.setattr(footprint, "measure_update", measured)
    monkeypatch.setattr(footprint, "find_budget", lambda mesh: Budget(2**40, "all of it", 4))
    monkeypatch.setattr(loop, "compile_step", compiled)
    config = load_config(config_path, "batch_size=0")
    loop.train(config, tmp_path / "run")
    assert asked == [2, 4] and config.batch_size == 0
    said = capfd.readouterr().err
    assert "config.batch_size=0: using 4; an update of it needs 4 MiB of" in said
    assert "global batch 4," in said
    assert given[1] == kinds(tuple(footprint._update_of(given[0])[1:]))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["batch_size"] == 4
    assert read_meta(tmp_path / "run", 8)["config"]["batch_size"] == 4
    loop.train(load_config(config_path, "batch_size=0"), tmp_path / "run")
    assert asked == [2, 4]
    said = capfd.readouterr().err
    assert (
        "batch_size=0: 4, the batch size that the run in" in said
        and "continuing from step 8 of 8" in said
    )


@pytest.mark.long
def test_the_figure_is_that_of_the_program_that_runs(config_path, tmp_path, capfd):
    loop.train(load_config(config_path, "steps=2"), tmp_path / "run")
    [needed] = re.findall(r"needs (\d+) MiB", capfd.readouterr().err)
    found = footprint.measure_update(load_config(config_path), 4)
    assert abs(found.memory / 2**20 - int(needed)) <= 1


def test_several_processes_take_what_the_first_one_says(config_path, monkeypatch):
    """It has another compiler's figures; the smaller memory of the two counts."""
    firsts = {"memory": "900", "batch": "6"}

    def exchange(place, text=""):
        return [firsts[place], text]

    compiled = []

    def measured(config, batch):
        compiled.append(batch)
        return Footprint(100 + 10 * batch, 1.0)

    monkeypatch.setattr(footprint.company, "exchange", exchange)
    monkeypatch.setattr(footprint, "measure_update", measured)
    monkeypatch.setattr(footprint, "find_budget", lambda mesh: Budget(1000, "a part", 32))
    lines = []
    assert footprint.choose_batch(load_config(config_path), 100, lines.append) == 6
    assert compiled == [2, 4, 6]
    assert lines[1].startswith("2 need 0 MiB, 4 need 0 MiB; a part is") and "using 6" in lines[3]


def test_processes_of_one_machine_are_counted(monkeypatch):
    monkeypatch.setattr(footprint.socket, "gethostname", lambda: "a")
    monkeypatch.setattr(footprint.company, "exchange", lambda place, text: ["a", "b", text])
    assert footprint.processes_here() == 2


def test_a_machine_that_says_nothing(config_path, monkeypatch):
    monkeypatch.setattr(footprint, "find_budget", lambda mesh: Budget(None, "none of it"))
    with pytest.raises(UserError, match="batch_size=0: the free memory of this machine is unknown"):
        footprint.choose_batch(load_config(config_path), 10, print)


def test_a_batch_of_0_is_a_value_like_others(config_path):
    configs.check(load_config(config_path, "batch_size=0"))
    with pytest.raises(UserError, match=r"batch_size=-1: should be at least 0 \(0: the largest"):
        configs.check(load_config(config_path, "batch_size=-1"))
