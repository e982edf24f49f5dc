"""A first run without any download: trains the student on synthetic scenes, in minutes on a CPU.

python -m ppocr_jax.train --config configs/quickstart.py --workdir runs/quickstart

Creates 600 training and 100 validation scenes of 448 pixels, then trains from random weights.
"""

from ml_collections import ConfigDict

from configs import parts


def get_config() -> ConfigDict:
    """The config of this run."""
    config = parts.base(epochs=1)
    config.roles = dict(student=parts.small())
    config.trainable = ("student",)
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(labels=("student",))
    config.data.root = "runs/scenes"
    config.data.draw.update(train=600, val=100)
    config.data.augment.scale = (0.7, 1.3)  # scenes have words of the sizes to be found
    config.data.augment.min_crop_side = 0.5
    config.crop = 320
    config.batch_size = 4  # small: a first run needs many steps
    config.steps = 720
    config.learning_rate = 2e-3
    config.warmup_epochs = 0.4
    config.eval.limit_side = 448
    config.postprocess.box_thresh = 0.5  # after such short training scores are low
    config.eval.every_steps = 360
    config.save.every_steps = 360
    config.log.every_steps = 50
    return config


def shorten(config: ConfigDict) -> None:
    """Uses fewer and smaller steps, so that each stage of the small recipe takes minutes."""
    config.crop = 256
    config.steps = 240
    config.eval.every_steps = config.save.every_steps = 120
