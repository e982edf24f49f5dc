"""What every backbone of the list gives, whatever it is made of."""

import jax
import jax.numpy as jnp
import pytest

from ppocr_jax.models import BACKBONES


@pytest.mark.parametrize("name", BACKBONES)
def test_taps_are_at_strides_4_to_32(name):
    backbone = BACKBONES[name](dtype=jnp.bfloat16)
    image = jnp.zeros((2, 64, 96, 3), jnp.bfloat16)

    def run(key):
        kept, variables = backbone.init_with_output(key, image)
        trained, changed = backbone.apply(variables, image, train=True, mutable=["batch_stats"])
        return kept, trained, variables["batch_stats"], changed["batch_stats"]

    kept, trained, stats, changed = jax.eval_shape(run, jax.random.key(0))
    assert [tap.shape[:3] for tap in kept] == [(2, 64 // s, 96 // s) for s in (4, 8, 16, 32)]
    assert kept == trained and {tap.dtype for tap in kept} == {jnp.dtype(jnp.bfloat16)}
    assert stats == changed
