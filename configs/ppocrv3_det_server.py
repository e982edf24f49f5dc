"""The teacher network alone, trained on labels.

python -m ppocr_jax.train --config configs/ppocrv3_det_server.py --workdir runs/server \
    --config.data.root=icdar2015 \
    --config.init_from.teacher=ResNet50_vd_ssld_pretrained.pdparams
"""

from ml_collections import ConfigDict

from configs import parts


def get_config() -> ConfigDict:
    """The config of this run."""
    config = parts.base(epochs=500)
    config.roles = dict(teacher=parts.large())
    config.trainable = ("teacher",)
    config.best.role = "teacher"
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(labels=config.trainable)
    config.data.augment.paste = True
    return config
