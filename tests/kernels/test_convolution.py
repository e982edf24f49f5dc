"""Every written form of a convolution against XLA's own, output and both gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppocr_jax.kernels import convolution
from ppocr_jax.runtime.platform import assume

SHAPES = [  # kernel, stride, inputs, outputs, groups, height, width
    (1, 1, 5, 7, 1, 6, 9),
    (3, 1, 6, 4, 1, 8, 5),
    (3, 1, 4, 6, 1, 7, 6),
    (5, 1, 3, 2, 1, 4, 9),  # a map narrower than the kernel
    (5, 1, 3, 2, 1, 6, 9),
    (3, 2, 3, 8, 1, 8, 10),
    (3, 1, 6, 6, 6, 7, 8),
    (5, 1, 4, 4, 4, 5, 6),
    (3, 2, 6, 6, 6, 8, 6),
    (5, 2, 4, 4, 4, 9, 7),
    (3, 2, 4, 4, 4, 7, 7),
]
GATE = (1, 1, 6, 3, 1, 1, 1)  # a map of one pixel
ON_GPU = [GATE, *(shape for shape in SHAPES if shape[0] == 1 or shape[4] > 1)]


@pytest.mark.parametrize(
    ("platform", "shape"),
    [*(("cpu", shape) for shape in [*SHAPES, GATE]), *(("gpu", shape) for shape in ON_GPU)],
    ids=str,
)
def test_equals_the_library(platform, shape):
    size, stride, inputs, outputs, groups, height, width = shape
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, height, width, inputs)), jnp.float32)
    kernel = rng.normal(size=(size, size, inputs // groups, outputs))
    kernel = jnp.asarray(kernel, jnp.float32)

    def both(function):
        out, pull = jax.vjp(lambda x, k: function(x, k, stride, groups), x, kernel)
        return out, *pull(jnp.cos(out))  # the same cotangent for equal outputs

    with assume(platform):
        found = both(convolution.convolve)
    for ours, theirs in zip(found, both(convolution.library_convolve), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_each_platform_has_its_own_forms():
    """Library calls of a block, forward and backward: each is tuned on its own on a GPU."""
    x, narrow, taps = jnp.ones((1, 8, 8, 4)), jnp.ones((1, 1, 4, 4)), jnp.ones((3, 3, 1, 4))

    def count(platform, **others):
        def block(x, narrow, taps):
            x = convolution.convolve(x, narrow)
            return convolution.convolve(convolution.convolve(x, taps, 2, 4), taps, 1, 4).sum()

        with assume(platform), convolution.forms(**others):
            program = str(jax.make_jaxpr(jax.grad(block, (0, 1, 2)))(x, narrow, taps))
        return program.count("conv_general_dilated[")

    assert count("tpu") == 9 and count("cpu") == 0
    assert count("gpu") == 2  # filter gradients of the depthwise ones
    assert count("gpu", depthwise=None) == 6
    assert convolution.convolve(x, narrow).shape == x.shape  # and here it is over


def test_sums_of_bfloat16_are_rounded_once():
    rng = np.random.default_rng(0)
    x, kernel = (
        jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in ((1, 9, 9, 8), (5, 5, 1, 8))
    )
    with assume("gpu"):
        ours = convolution.convolve(x, kernel, 1, 8)
        exact = convolution.convolve(x.astype("float32"), kernel.astype("float32"), 1, 8)
    np.testing.assert_array_equal(ours, exact.astype(jnp.bfloat16))


def test_transposed_convolution_by_hand():
    rng = np.random.default_rng(1)
    x, kernel, bias = (
        rng.normal(size=(2, 3, 4, 5)),
        rng.normal(size=(2, 2, 5, 6)),
        rng.normal(size=6),
    )
    expected = np.zeros((2, 6, 8, 6))
    for i in range(2):
        for j in range(2):
            expected[:, i::2, j::2] = x @ kernel[i, j] + bias
    arrays = [jnp.asarray(a, jnp.float32) for a in (x, kernel, bias)]
    np.testing.assert_allclose(convolution.transposed_convolve(*arrays), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "kernel", "groups"),
    [
        ((1, 4, 4, 3), (2, 2, 3, 1), 1),
        ((1, 4, 4, 3), (3, 3, 2, 1), 1),
        ((4, 4, 3), (3, 3, 3, 1), 1),
    ],
)
def test_refuses_what_does_not_fit(x, kernel, groups):
    with pytest.raises(ValueError, match="does not fit"):
        convolution.convolve(jnp.zeros(x), jnp.zeros(kernel), 1, groups)
