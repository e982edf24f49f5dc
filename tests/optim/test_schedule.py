"""The rate by step: the recorded one, its closed form, and what a compiled program makes of it."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from ppocr_jax.errors import UserError
from ppocr_jax.optim.schedule import Segment, first_segment, rate_at

# Newer releases of XLA compute a cosine of constants in another way: it differs in its last bits.
SLACK = 2e-7 if jax.__version_info__ >= (0, 11) else 0.0


def test_schedule_matches_reference(recorded, cases):
    for run in cases(recorded("lr_schedule.json")):
        config = ml_collections.ConfigDict(
            {"learning_rate": run["base_lr"], "warmup_epochs": run["warmup_epoch"]}
        )
        per_epoch = run["step_each_epoch"]
        rate = first_segment(config, run["epochs"] * per_epoch, per_epoch)
        for step, expected in cases(run["step_lr"]):
            np.testing.assert_allclose(rate(int(step)), expected, rtol=1e-9, atol=1e-15)


def test_schedule_by_hand():
    rate = Segment(0, 10, 1e-3, 4)
    assert rate(0) == 0.0 and rate(2) == 5e-4 and rate(4) == 1e-3
    assert 0 < rate(9) < 1e-3 and rate(9) == 0.5e-3 * (1 + np.cos(np.pi * 5 / 10))
    assert Segment(0, 10, 1e-3)(0) == 1e-3


def test_a_later_segment_by_hand():
    rate = Segment(begin=60, end=100, rate=4e-4, warmup=10, start=1e-4)
    assert rate(60) == 1e-4 and rate(70) == 4e-4
    assert rate(65) == pytest.approx(2.5e-4, rel=1e-15)
    assert rate(90) == 2e-4 * (1 + np.cos(np.pi * 20 / 40))
    inside = [float(jax.jit(rate_at)(jnp.int32(s), rate.numbers())) for s in range(60, 100)]
    np.testing.assert_allclose(inside, [rate(s) for s in range(60, 100)], rtol=3e-6)


@pytest.mark.parametrize(
    ("base", "total", "warmup"),
    [(1e-3, 62500, 250), (2e-3, 720, 60), (0.5, 60, 0), (3.7e-4, 300, 3)],
)
def test_rates_are_to_the_bit_those_of_a_program_with_the_numbers_inside(base, total, warmup):
    def inside(step):  # as XLA sees it, which joins the constants
        warm = base * step / max(warmup, 1)
        cosine = 0.5 * base * (1.0 + jnp.cos(np.pi * (step - warmup) / total))
        return jnp.where(step < warmup, warm, cosine)

    old, new = jax.jit(inside), jax.jit(rate_at)
    numbers = Segment(0, total, base, warmup).numbers()
    rng = np.random.default_rng(0)
    for step in [0, 1, warmup, warmup + 1, total - 1, *rng.integers(0, total, 40)]:
        difference = float(old(jnp.int32(step))) - float(new(jnp.int32(step), numbers))
        assert abs(difference) <= SLACK * base, step


@pytest.mark.parametrize("entry", [3, {}, {"begin": None}, {"end": "9"}, {"more": 1}])
def test_what_is_no_segment_is_refused(entry):
    whole = dataclasses.asdict(Segment(0, 9, 1e-3, 2))
    assert Segment.read(whole) == Segment(0, 9, 1e-3, 2)
    with pytest.raises(UserError, match="learning-rate segment .* is not in this version's"):
        Segment.read({**whole, **entry} if isinstance(entry, dict) and len(entry) else entry)


def test_warmup_is_rounded_half_to_even():
    config = ml_collections.ConfigDict({"learning_rate": 1.0, "warmup_epochs": 0.5})
    assert first_segment(config, 100, 5)(1) == 0.5  # 2.5 steps become 2


@pytest.mark.parametrize("key", ["epochs", "warmup_epochs"])
def test_more_updates_than_can_be_counted_are_refused(key):
    config = ml_collections.ConfigDict({"learning_rate": 1.0, "warmup_epochs": 0.0, "epochs": 1})
    config[key] = type(config[key])(10**6)
    with pytest.raises(UserError, match=f"config.{key}=1000000.*10000 steps per epoch"):
        first_segment(config, config.epochs * 10**4, 10**4)
