"""The folder of the images: who may generate scenes, and the message if it is missing."""

import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data.splits import prepare_root, read_validation
from ppocr_jax.errors import UserError

DRAWN = ("data.draw.train=1", "data.draw.val=2", "data.draw.side=96")


@pytest.fixture
def config(tmp_path):
    return load_config(write_config(tmp_path, tmp_path / "scenes"), *DRAWN)


def test_what_came_with_weights_draws_nothing(config, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="does not hold the 2 scenes.*check_data --config FILE"):
        prepare_root(config, draws=False)
    assert sorted(tmp_path.iterdir()) == before


def test_scenes_that_are_there_are_used(config, tmp_path):
    prepare_root(config)
    prepare_root(config, draws=False)
    assert len(read_validation(config)) == 2
    config.data.draw.train = 100  # of no meaning for what is read
    prepare_root(config, draws=False)
    config.data.draw.seed = 5
    with pytest.raises(UserError, match="seed 5"):
        prepare_root(config, draws=False)


def test_other_images_may_be_named(config, tmp_path):
    config.data.root = str(draw_data(tmp_path / "other"))
    prepare_root(config, draws=False)
    assert len(read_validation(config)) == 3
    with pytest.raises(UserError, match="holds files but no scenes.json"):
        prepare_root(config)
