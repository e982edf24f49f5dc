"""Random keys that are derived on the host: the same numbers, with nothing to compile.

A network asks for one key per tensor. XLA's CPU backend takes 2 s to compile 81 derivations.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import define_prng_impl

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def derive_on_host(key):
    """The same key, whose `fold_in` runs on the host; a key of another kind as it is."""
    if str(jax.random.key_impl(key)) != "threefry2x32":
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=HOST_KEY)


def threefry(key, words):
    """The block cipher Threefry-2x32 with 20 rounds (Salmon et al., 2011, "Random123").

    Args:
        key: uint32 `[2]`.
        words: two ints in [0, 2^32).

    Returns:
        uint32 `[2]`.
    """
    keys = [key[:1], key[1:], key[:1] ^ key[1:] ^ PARITY]  # arrays: they overflow in silence
    x, y = (np.array([word], np.uint32) + part for word, part in zip(words, keys[:2], strict=True))
    for block in range(5):
        for rotation in ROTATIONS[block % 2]:
            x = x + y
            y = x ^ (y << np.uint32(rotation) | y >> np.uint32(32 - rotation))
        x = x + keys[(block + 1) % 3]
        y = y + keys[(block + 2) % 3] + np.uint32(block + 1)
    return np.concatenate([x, y])


def _fold_in(key, data):
    def fold(key, data):
        return threefry(np.asarray(key), (0, int(data)))

    return jax.pure_callback(fold, jax.ShapeDtypeStruct((2,), jnp.uint32), key, data)


def _not_needed(*_):
    raise NotImplementedError("these keys are for initial values alone, which NumPy draws")


HOST_KEY = define_prng_impl(
    key_shape=(2,),
    seed=_not_needed,
    split=_not_needed,
    random_bits=_not_needed,
    fold_in=_fold_in,
    name="threefry2x32_on_host",
    tag="host",
)
