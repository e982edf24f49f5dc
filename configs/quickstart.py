"""A first run without any download: the student learns to find drawn words, in minutes on a CPU.

python -m ppocr_jax.train --config configs/quickstart.py --workdir runs/quickstart

Draws 600 training and 100 validation scenes of 448 pixels, then trains from random weights.
"""

from configs import parts


def get_config():
    config = parts.base(epochs=1)
    config.roles = dict(student=parts.small())
    config.trainable = ("student",)
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(labels=("student",))
    config.data.root = "runs/scenes"
    config.data.draw.update(train=600, val=100)
    config.data.augment.scale = (0.7, 1.3)  # words are drawn at the sizes they are looked for
    config.data.augment.min_crop_side = 0.5
    config.crop = 320
    config.batch_size = 4  # small: many updates are what a first run needs
    config.steps = 720
    config.learning_rate = 2e-3
    config.warmup_epochs = 0.4
    config.eval.limit_side = 448
    config.postprocess.box_thresh = 0.5  # after minutes of training words score lower than later
    config.eval.every_steps = 360
    config.save.every_steps = 360
    config.log.every_steps = 50
    return config


def shorten(config):
    """Fewer and smaller updates: what the recipe's stages take, each in minutes."""
    config.crop = 256
    config.steps = 240
    config.eval.every_steps = config.save.every_steps = 120
