"""The learning-rate schedule: a linear warm-up and a half cosine for every segment of a run.

A run starts with one segment and gets another whenever it is resumed with more steps or another
learning rate. The compiled train step takes a segment's parameters as arguments, so changing the
learning rate, the warm-up or the number of steps recompiles nothing.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float, Int

from ppocr_jax.errors import UserError

MOST_STEPS = 2**31 - 1  # a training state counts steps in an int32


@dataclasses.dataclass(frozen=True)
class Segment:
    """Linear warm-up from `start` to `rate`, then a half cosine down to almost 0.

    At step s of the segment with w warm-up steps, the learning rate is

        start + (rate - start) s / w                      for s < w
        0.5 rate (1 + cos(pi (s - w) / (end - begin)))    from then on

    In a run's first segment `start` is 0, so the very first step has a learning rate of 0: Adam's
    moments and the batch statistics change, the weights do not. The cosine's length includes the
    warm-up, so the learning rate ends slightly above 0. Both are as in PaddleOCR.

    Attributes:
        begin: steps that the run did before this segment.
        end: steps that the run has done when the segment ends.
        rate: learning rate after the warm-up.
        warmup: length of the warm-up, steps.
        start: learning rate at the start of the warm-up.
    """

    begin: int
    end: int
    rate: float
    warmup: int = 0
    start: float = 0.0

    @classmethod
    def read(cls, entry: Any) -> "Segment":
        """Builds a segment from the dict of its attributes that a checkpoint stores.

        Raises:
            UserError: `entry` is no dict, or has other keys or types.
        """
        kinds = {field.name: field.type for field in dataclasses.fields(cls)}
        good = isinstance(entry, dict) and entry.keys() == kinds.keys()
        if not good or not all(type(entry[name]) in (kind, int) for name, kind in kinds.items()):
            raise UserError(f"learning-rate segment {entry!r:.80} is not in this version's format")
        return cls(**entry)

    def __call__(self, step: int) -> float:
        """The learning rate of step `step`, counted from 0 over the run, in double precision."""
        done = step - self.begin
        if done < self.warmup:
            return float(self.start + (self.rate - self.start) * done / self.warmup)
        turned = np.pi * (done - self.warmup) / (self.end - self.begin)
        return float(0.5 * self.rate * (1.0 + np.cos(turned)))

    def numbers(self) -> dict[str, np.int32 | np.float32]:
        """The parameters that `rate_at` takes: int32 and float32 scalars by name.

        The factors are combined in float32, in the order in which XLA folds constants. That makes
        the learning rates equal, bit for bit, to those of a program with these numbers built in.
        """
        one = np.float32(1)
        return {
            "begin": np.int32(self.begin),
            "warmup": np.int32(self.warmup),
            "start": np.float32(self.start),
            "slope": np.float32(self.rate - self.start) * (one / np.float32(max(self.warmup, 1))),
            "half": np.float32(0.5 * self.rate),
            "turn": np.float32(np.pi) * (one / np.float32(self.end - self.begin)),
        }


def rate_at(count: Int[Array, ""], numbers: Mapping[str, Any]) -> Float[Array, ""]:
    """The learning rate of a step, for use inside a compiled program.

    Args:
        count: steps that the run has done so far.
        numbers: scalars, see `Segment.numbers`.

    Returns:
        float32.
    """
    done = count - numbers["begin"]
    warm = numbers["start"] + done * numbers["slope"]
    turned = (done - numbers["warmup"]) * numbers["turn"]
    return jnp.where(done < numbers["warmup"], warm, numbers["half"] * (1.0 + jnp.cos(turned)))


def name_warmup(config: ml_collections.ConfigDict) -> str:
    """The config key that sets the warm-up, with its value, such as `warmup_epochs=2`."""
    key = "warmup_steps" if config.get("warmup_steps") else "warmup_epochs"
    return f"{key}={config[key]:g}"


def first_segment(config: ml_collections.ConfigDict, steps: int, steps_per_epoch: int) -> Segment:
    """The first segment of a run, from its start to step `steps`.

    Args:
        config: a whole config; a warm-up in epochs is rounded half to even, in steps.
        steps: length of the run.
        steps_per_epoch: steps in one epoch.

    Raises:
        UserError: the run or its warm-up has more steps than a training state can count.
    """
    warmup = config.get("warmup_steps") or round(config.warmup_epochs * steps_per_epoch)
    for key, updates in (("epochs", steps), ("warmup_epochs", warmup)):
        if updates >= MOST_STEPS:
            raise UserError(
                f"config.{key}={config[key]}: at {steps_per_epoch} steps per epoch this is "
                f"{updates} steps; choose fewer than {MOST_STEPS}"
            )
    return Segment(0, steps, config.learning_rate, warmup)
