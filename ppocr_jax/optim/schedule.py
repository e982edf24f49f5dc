"""The learning rate by step: a linear warm-up and a half cosine, once for every segment of a run.

A run has one segment, and another one for every time that it was told to go on for more steps or
at another rate. What a segment is made of enters the compiled update as numbers, so that another
rate, warm-up or number of steps compiles nothing.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from ppocr_jax.errors import UserError

MOST_STEPS = 2**31 - 1  # a state counts them in 32 bits


@dataclasses.dataclass(frozen=True)
class Segment:
    """Linear from `start` to `rate`, then a half cosine whose period is the whole segment.

    s updates into it, s < w: start + (rate - start) s / w. In a run's first segment `start` is 0,
    so that the very first update has rate 0: moments and statistics move, weights do not. Else
    0.5 rate (1 + cos(pi (s - w) / length)): the period counts the warm-up twice, so the rate ends
    slightly above 0, as in the original.

    Attributes:
        begin: updates of the run before it.
        end: updates of the run when it is done.
        rate: after the warm-up.
        warmup: updates of the warm-up.
        start: rate that the warm-up begins at.
    """

    begin: int
    end: int
    rate: float
    warmup: int = 0
    start: float = 0.0

    @classmethod
    def read(cls, entry):
        """From a dict of its attributes, as a state keeps it.

        Raises:
            UserError: it is none, or has other attributes.
        """
        kinds = {field.name: field.type for field in dataclasses.fields(cls)}
        good = isinstance(entry, dict) and entry.keys() == kinds.keys()
        if not good or not all(type(entry[name]) in (kind, int) for name, kind in kinds.items()):
            raise UserError(
                f"a segment of the rate, {entry!r:.80}, has not the form of this version"
            )
        return cls(**entry)

    def __call__(self, step: int) -> float:
        """The rate of the update after `step` others of the run, in double precision."""
        done = step - self.begin
        if done < self.warmup:
            return float(self.start + (self.rate - self.start) * done / self.warmup)
        turned = np.pi * (done - self.warmup) / (self.end - self.begin)
        return float(0.5 * self.rate * (1.0 + np.cos(turned)))

    def numbers(self):
        """What `rate_at` reads: int32 and float32 scalars by name.

        Factors are joined in single precision and in the order in which XLA joins constants, so
        that the rates are to the bit those of a program that has the numbers inside it.
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


def rate_at(count, numbers):
    """The rate of an update inside a compiled program, float32 [].

    Args:
        count: int32 [], updates of the run before it.
        numbers: see `Segment.numbers`.
    """
    done = count - numbers["begin"]
    warm = numbers["start"] + done * numbers["slope"]
    turned = (done - numbers["warmup"]) * numbers["turn"]
    return jnp.where(done < numbers["warmup"], warm, numbers["half"] * (1.0 + jnp.cos(turned)))


def name_warmup(config):
    """The key that says how long the warm-up is, with its value."""
    key = "warmup_steps" if config.get("warmup_steps") else "warmup_epochs"
    return f"{key}={config[key]:g}"


def first_segment(config, steps, steps_per_epoch):
    """The segment of a run from its start to `steps`; the warm-up is rounded half to even.

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
    return Segment(0, steps, config.learning_rate, warmup)
