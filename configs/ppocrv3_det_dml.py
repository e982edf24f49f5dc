"""DML: two teacher networks learn from labels and from each other; the better one is extracted.

python -m ppocr_jax.train --config configs/ppocrv3_det_dml.py --workdir runs/dml \
    --config.data.root=icdar2015 \
    --config.init_from.student=ResNet50_vd_ssld_pretrained.pdparams \
    --config.init_from.student2=ResNet50_vd_ssld_pretrained.pdparams

Both roles are teacher networks: in mutual learning each one is the student of the other.
"""

from ml_collections import ConfigDict

from configs import parts


def get_config() -> ConfigDict:
    """The config of this run."""
    config = parts.base(epochs=1200)
    config.roles = dict(student=parts.large(), student2=parts.large())
    config.trainable = ("student", "student2")
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(labels=config.trainable, mutual=parts.all_pairs(config.trainable))
    config.optimizer.l2 = 0.0  # as published, unlike the students' recipe
    config.data.augment.paste = True
    config.eval.every_steps = 2000
    config.save.every_steps = 2000
    config.log.every_steps = 2
    return config
