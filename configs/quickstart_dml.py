"""The teacher of the small recipe, by DML: two small teacher networks learn from each other.

python -m experiments.recipe --config configs/quickstart_cml.py --workdir runs/recipe --alone
"""

from ml_collections import ConfigDict

from configs import parts, quickstart


def get_config() -> ConfigDict:
    """The config of this run."""
    config = quickstart.get_config()
    config.roles = dict(student=parts.narrow(), student2=parts.narrow())
    config.trainable = ("student", "student2")
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(labels=config.trainable, mutual=parts.all_pairs(config.trainable))
    config.optimizer.l2 = 0.0
    quickstart.shorten(config)
    # After the students' 240 steps a teacher is worse than they are: it starts more slowly.
    config.steps = 600
    config.eval.every_steps = config.save.every_steps = 300
    return config
