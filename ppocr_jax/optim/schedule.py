"""The learning rate by step."""

import jax.numpy as jnp
import numpy as np

from ppocr_jax.errors import UserError

MOST_STEPS = 2**31 - 1  # a state counts them in 32 bits


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
    """`warmup_cosine` with a config's numbers; the warm-up is rounded half to even.

    Raises:
        UserError: more updates than a state can count.
    """
    warmup = config.get("warmup_steps") or round(config.warmup_epochs * steps_per_epoch)
    for key, updates in (("epochs", steps), ("warmup_epochs", warmup)):
        if updates >= MOST_STEPS:
            raise UserError(
                f"config.{key}={config[key]}: with {steps_per_epoch} updates an epoch these are "
                f"{updates}, more than the {MOST_STEPS} that can be counted"
            )
    return warmup_cosine(config.learning_rate, steps, warmup)
