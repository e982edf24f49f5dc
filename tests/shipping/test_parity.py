"""Which images a proof takes: those that can be read, none larger than a network is given."""

import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data import resize
from ppocr_jax.shipping import parity


@pytest.fixture
def config(tmp_path):
    draw_data(tmp_path / "data", val=3)
    return load_config(write_config(tmp_path, tmp_path / "data"))


def test_a_broken_validation_image_is_passed_over(config, tmp_path):
    (tmp_path / "data" / "val_0.png").write_bytes(b"x")
    images, what = parity.choose_images(config, [])
    assert sorted(name[-9:] for name, _ in images) == ["val_1.png", "val_2.png"]
    assert "2 validation images" in what
    for index in (1, 2):
        (tmp_path / "data" / f"val_{index}.png").write_bytes(b"x")
    assert "synthetic scenes" in parity.choose_images(config, [])[1]


def test_large_images_are_kept_at_the_size_that_the_network_is_given(config, tmp_path, monkeypatch):
    for module in (parity, resize):
        monkeypatch.setattr(module, "MOST_PIXELS", 5000)
    monkeypatch.setattr(resize, "REDUCED_PIXELS", 3000)
    images, _ = parity.choose_images(config, [str(tmp_path / "data")])
    assert images and all(np.prod(image.shape[:2]) <= 3000 for _, image in images)
