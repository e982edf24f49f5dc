"""A tree of tensors as one vector."""

import jax
import numpy as np
import pytest

from ppocr_jax.optim import bundle
from ppocr_jax.optim.bundle import Bundle


def draw(*shapes):
    rng = np.random.default_rng(1)
    return {f"leaf{n:02}": rng.normal(size=shape).astype("f4") for n, shape in enumerate(shapes)}


SHAPES = {
    "nothing": (),
    "no values": ((0,), ()),
    "one": ((3,),),
    "large and small": ((70, 70), (5,), (2048,), (3, 4)),
    "more than one short vector": 40 * ((2048,),),
    "more than are concatenated one by one": bundle.APART * ((7,), (2, 4)) + ((3,), (9,)),
}


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_it_unpacks_what_was_packed(shapes):
    tree = draw(*shapes)
    packed = Bundle.of(tree)
    assert packed.vector.shape == (sum(leaf.size for leaf in tree.values()),)
    for unpacked in (packed.tree(), jax.jit(lambda it: it.tree())(packed)):
        assert unpacked.keys() == tree.keys()
        jax.tree.map(np.testing.assert_array_equal, unpacked, tree)


def test_small_tensors_are_cut_out_of_short_vectors():
    tree = draw(*100 * ((2048,), (1,)), (2049,))
    text = jax.jit(lambda it: it.tree()).lower(Bundle.of(tree)).as_text()
    barriers = [line for line in text.splitlines() if "optimization_barrier" in line]
    lengths = [int(line.split("tensor<")[-1].split("x")[0]) for line in barriers]
    assert sum(lengths) == 100 * 2049 and max(lengths) <= bundle.POOL
    assert len(lengths) == 4  # as few as hold them


def test_only_small_gradients_are_joined_before_the_update():
    assert 2 * bundle.APART + 1 <= 128  # XLA splits a concatenation of more
    tree = draw(*100 * ((4,), (5, 7)), (3,))
    text = jax.jit(Bundle.of).lower(tree).as_text()
    barrier = [line for line in text.splitlines() if "optimization_barrier" in line]
    values = 100 * 39 + 3 - bundle.APART * 35
    assert len(barrier) == 1 and f"tensor<{values}xf32>" in barrier[0]
