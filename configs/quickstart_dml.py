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
    # More steps and larger crops than the students get, so that there is something to learn.
    # Its large kernels want a lower rate.
    config.steps = 600
    config.learning_rate = 1e-3
    config.eval.every_steps = config.save.every_steps = 300
    return config
