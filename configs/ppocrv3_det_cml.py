"""CML: two students learn from labels, from each other and from a frozen teacher.

python -m ppocr_jax.train --config configs/ppocrv3_det_cml.py --workdir runs/cml \
    --config.data.root=icdar2015 --config.init_from.teacher=teacher \
    --config.init_from.student=MobileNetV3_large_x0_5_pretrained.pdparams \
    --config.init_from.student2=MobileNetV3_large_x0_5_pretrained.pdparams

To start from a published distillation model: --config.init_from.all=best_accuracy.pdparams
"""

from ml_collections import ConfigDict

from configs import parts


def get_config() -> ConfigDict:
    """The config of this run."""
    config = parts.base(epochs=500)
    config.roles = dict(student=parts.small(), student2=parts.small(), teacher=parts.large())
    config.trainable = ("student", "student2")
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(
        labels=config.trainable,
        mutual=parts.all_pairs(config.trainable),
        teacher=tuple((student, "teacher") for student in config.trainable),
    )
    config.data.augment.paste = True
    return config
