"""The students of the small recipe, by CML: two learn from each other and from a teacher.

python -m experiments.recipe --config configs/quickstart_cml.py --workdir runs/recipe --alone
"""

from ml_collections import ConfigDict

from configs import parts, quickstart


def get_config() -> ConfigDict:
    """The config of this run."""
    config = quickstart.get_config()
    config.roles = dict(student=parts.small(), student2=parts.small(), teacher=parts.narrow())
    config.trainable = ("student", "student2")
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(
        labels=config.trainable,
        mutual=parts.all_pairs(config.trainable),
        teacher=tuple((student, "teacher") for student in config.trainable),
    )
    quickstart.shorten(config)
    return config
