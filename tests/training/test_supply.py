"""How many processes make batches, where a config leaves that open."""

from types import SimpleNamespace

import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data.compact import most_bytes
from ppocr_jax.data.pipeline import CHOOSE, Supply
from ppocr_jax.training import supply as module
from ppocr_jax.training.supply import choose_supply, fitting

OPEN = Supply(CHOOSE, CHOOSE)
BATCH = most_bytes(32, 640)
GIB = 2**30


def mesh(platform):
    own = SimpleNamespace(size=1)
    return SimpleNamespace(
        local_devices=[SimpleNamespace(platform=platform)], local_mesh=own, size=1
    )


@pytest.fixture
def config(tmp_path):
    return load_config(write_config(tmp_path, draw_data(tmp_path / "data", train=4, val=1)))


@pytest.mark.parametrize(
    ("cores", "memory", "workers"),
    [
        (16, 120 * GIB, 14),
        (16, None, 14),
        (2, 120 * GIB, 1),
        (4, 120 * GIB, 3),
        (1, 120 * GIB, 1),
        (200, 900 * GIB, 64),
        (16, 6 * GIB, 4),  # 3 GiB for workers of 0.25 and four batches of 0.09 each
        (16, GIB // 4, 1),
    ],
)
def test_workers_by_cores_and_memory(cores, memory, workers):
    found = fitting(OPEN, BATCH, cores, memory)
    assert found.workers == workers
    assert found.prefetch_mb == -(-2 * workers * BATCH // 2**20)


def test_what_is_named_counts(config):
    assert fitting(Supply(3, CHOOSE), BATCH, 16, None).workers == 3
    assert fitting(Supply(CHOOSE, 77), BATCH, 16, None) == Supply(14, 77)
    config.data.workers, config.data.prefetch_mb = 3, 77
    lines = []
    assert choose_supply(config, mesh("gpu"), lines.append) == Supply(3, 77) and lines == []


def test_what_is_chosen_is_said(config, monkeypatch):
    lines = []
    config.data.workers = config.data.prefetch_mb = CHOOSE
    assert choose_supply(config, mesh("cpu"), lines.append) == Supply(0, 512) == Supply.of(config)
    monkeypatch.setattr(module, "usable_cores", lambda: 16)
    monkeypatch.setattr(module, "free_memory", lambda: 64 * GIB)
    config.batch_size, config.crop = 32, 640
    assert choose_supply(config, mesh("gpu"), lines.append).workers == 14
    monkeypatch.setattr(module, "processes_here", lambda: 4)  # one for each of four cards
    assert choose_supply(config, mesh("gpu"), lines.append).workers == 3
    assert lines == [
        "images are prepared by threads of this process, and up to 512 MiB of finished batches "
        "wait (data.workers, data.prefetch_mb)",
        "images are prepared by 14 processes, and up to 2.5 GiB of finished batches wait, for 16 "
        "cores and 64.0 GiB of free memory (data.workers, data.prefetch_mb)",
        "images are prepared by 3 processes, and up to 558 MiB of finished batches wait, for 16 "
        "cores and 64.0 GiB of free memory (data.workers, data.prefetch_mb)",
    ]
