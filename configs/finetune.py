"""Fine-tunes the published student on about fifty to five thousand images, in minutes.

ppocr-jax prepare-data photos/ --output data --val 0.2
ppocr-jax train --config configs/finetune.py --workdir runs/mine --config.data.root=data

It starts from the published student for Chinese and English, which is downloaded if necessary;
`--config.init_from.student=` takes other weights: a path, or `en_PP-OCRv3_det_distill_train`. On a
GPU, larger batches and more steps give better results:
`--config.batch_size=32 --config.learning_rate=2e-3 --config.steps=2000`. The values were chosen on
held-out images: experiments/finetune_sizes.
"""

from ml_collections import ConfigDict

from configs import parts


def get_config() -> ConfigDict:
    """The config of this run."""
    config = parts.base(epochs=1)
    config.roles = dict(student=parts.small())
    config.trainable = ("student",)
    config.init_from = parts.init_from(config.roles)
    config.init_from.student = "ch_PP-OCRv3_det_distill_train"
    config.loss = parts.losses(labels=("student",))
    config.data.train, config.data.val = "train.txt", "val.txt"  # as prepare-data writes them
    config.crop = 640
    config.batch_size = 4
    config.steps = 600
    config.learning_rate = 1e-3
    config.warmup_steps = 20  # in steps, because an epoch of few images is shorter than that
    config.eval.every_steps = config.save.every_steps = 100
    return config
