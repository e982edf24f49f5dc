"""The student alone, trained on labels, from ImageNet weights or from a published student.

python -m ppocr_jax.train --config configs/ppocrv3_det_mobile.py --workdir runs/mobile \
    --config.data.root=icdar2015 --config.init_from.student=student.pdparams
"""

from ml_collections import ConfigDict

from configs import parts


def get_config() -> ConfigDict:
    """The config of this run."""
    config = parts.base(epochs=500)
    config.roles = dict(student=parts.small())
    config.trainable = ("student",)
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(labels=("student",))
    return config
