"""The learning rate by step, and the chain of optax transformations that uses it."""

import jax.numpy as jnp
import numpy as np
import optax


def warmup_cosine(base, total_steps, warmup_steps):
    """Linear from 0 to `base`, then a half cosine whose period is the whole run.

    step < w: base step / w, so that the very first update has rate 0: moments and statistics
    move, weights do not. Else 0.5 base (1 + cos(pi (step - w) / total)): the period counts the
    warm-up twice, so the rate ends slightly above 0, as in the original.

    Args:
        base: rate after the warm-up.
        total_steps: updates of the whole run.
        warmup_steps: updates of the warm-up.

    Returns:
        `step -> rate`; `step` is the number of updates already done: an int gives a float64,
        a traced int32 a float32 on device.
    """

    def rate(step):
        lib = np if isinstance(step, int | np.integer) else jnp
        warm = base * step / max(warmup_steps, 1)
        cosine = 0.5 * base * (1.0 + lib.cos(np.pi * (step - warmup_steps) / total_steps))
        return lib.where(step < warmup_steps, warm, cosine)

    return rate


def make_schedule(config, steps, steps_per_epoch):
    """`warmup_cosine` with a config's numbers; the warm-up is rounded half to even."""
    warmup = round(config.warmup_epochs * steps_per_epoch)
    return warmup_cosine(config.learning_rate, steps, warmup)


def make_optimizer(config, schedule):
    """Adam with coupled L2: the decay joins the gradient before the moments.

    It applies to every parameter, biases and batch norms too. `config` is `config.optimizer`.
    All tensors go through it as one vector, in the order of the tree's leaves: a few large
    operations to compile and to run in the place of several for each of hundreds of tensors.
    """
    adam = optax.chain(
        optax.add_decayed_weights(config.l2),
        optax.scale_by_adam(config.b1, config.b2, config.eps),
        optax.scale_by_learning_rate(schedule),
    )
    return optax.flatten(adam)
