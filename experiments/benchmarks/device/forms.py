"""Times several implementations of the networks' convolutions, in alternation.

They are the library's convolution, shifted sums, matrix products and padded channels.
"""

import argparse
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.device.case import begin
from experiments.benchmarks.measure import take_turns
from ppocr_jax.kernels import cpu_convolution
from ppocr_jax.kernels.convolution import transposed_convolve
from ppocr_jax.kernels.cpu_convolution import library_convolve

# (kernel, stride, inputs, outputs, groups, side of the map): the student at 960, then the teacher.
SHAPES = (
    (3, 2, 3, 8, 1, 960),
    (3, 1, 32, 32, 32, 240),
    (3, 2, 40, 40, 40, 240),
    (5, 1, 120, 120, 120, 120),
    (1, 1, 8, 32, 1, 480),
    (1, 1, 16, 96, 1, 240),
    (3, 1, 96, 24, 1, 240),
    (9, 1, 256, 64, 1, 240),
    (7, 1, 256, 64, 1, 240),
)
QUICK_SHAPES = ((3, 1, 8, 8, 8, 32), (1, 1, 8, 16, 1, 32))
IMAGES, CALLS, ROUNDS = 8, 10, 5
LANES = 16  # padded channels are a multiple of this, a size that matrix units like
Form = Callable[[jax.Array, jax.Array], jax.Array]  # (image, kernel) -> output


def run(args: argparse.Namespace, dtype: str) -> Iterator[dict[str, Any]]:
    """Yields the milliseconds of output and gradients, for each shape and each of its forms."""
    shapes, images = (QUICK_SHAPES, 1) if args.quick else (SHAPES, IMAGES)
    for size, stride, inputs, outputs, groups, side in shapes:
        rng, out = np.random.default_rng(0), -(-side // stride)
        x = jnp.asarray(rng.normal(size=(images, side, side, inputs)), dtype)
        kernel = jnp.asarray(rng.normal(size=(size, size, inputs // groups, outputs)), dtype)
        grad = jnp.asarray(rng.normal(size=(images, out, out, outputs)), dtype)
        kind = "depthwise" if groups > 1 else f"{inputs}->{outputs}"
        name = f"{size}x{size}/{stride} {kind}, {images} x {side}^2"
        found = forms_of(size, stride, groups)
        yield from _time(name, found, (x, kernel, grad), args.quick)
    yield from _time_doubling(args, images, dtype)


def forms_of(size: int, stride: int, groups: int) -> dict[str, Form]:
    """Returns the forms of a convolution by name; all give the same result up to rounding.

    Args:
        size: of the kernel.
        stride: of the convolution.
        groups: 1, or the number of channels.
    """
    library = functools.partial(library_convolve, stride=stride, groups=groups)
    forms: dict[str, Form] = {"library": library}
    if groups > 1:
        forms["shifted sums"] = lambda x, k: cpu_convolution.depthwise(x, k, stride)
        forms["sums, own gradients left to JAX"] = functools.partial(_sums, stride=stride)
    elif size == 1:
        forms["product"] = cpu_convolution.pointwise
    else:
        forms["filter gradient as products"] = lambda x, k: cpu_convolution.dense(x, k, stride)
    if groups == 1:
        forms["padded channels"] = functools.partial(_padded, stride=stride)
    return forms


def _sums(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """A depthwise convolution as a sum over the taps of shifted, scaled maps."""
    size, out = kernel.shape[0], -(-x.shape[1] // stride)
    pad, span = size // 2, stride * (out - 1) + 1
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    terms = (
        x[:, i : i + span : stride, j : j + span : stride] * kernel[i, j].reshape(1, 1, 1, -1)
        for i in range(size)
        for j in range(size)
    )
    return functools.reduce(jnp.add, terms)


def _padded(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The library's convolution with channels padded by zeros."""
    more_in, more_out = (-kernel.shape[axis] % LANES for axis in (2, 3))
    x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, more_in)))
    wide = jnp.pad(kernel, ((0, 0), (0, 0), (0, more_in), (0, more_out)))
    return library_convolve(x, wide, stride)[..., : kernel.shape[3]]


def _time(
    name: str, forms: Mapping[str, Form], arrays: tuple[jax.Array, ...], quick: bool
) -> Iterator[dict[str, Any]]:
    """Times the forms of one convolution.

    Args:
        name: of the convolution, for the rows.
        forms: by name.
        arrays: image, kernel, and gradient of the output.
        quick: whether few calls are enough.
    """
    begin("compiling")
    sides = {}
    for label, form in forms.items():
        sides[label] = _block(form, arrays, 1 if quick else CALLS)
        sides[label]()  # compiles
    begin("timing")
    seconds = take_turns(sides, 2 if quick else ROUNDS)
    for label, value in seconds.items():
        milliseconds = value / (1 if quick else CALLS) * 1e3
        yield {"what": f"{name}: {label}", "value": milliseconds, "unit": "ms"}


def _block(form: Form, arrays: tuple[jax.Array, ...], calls: int) -> Callable[[], None]:
    """A function that computes output and gradients `calls` times and waits once."""

    @jax.jit
    def products(x, kernel, grad):
        out, back = jax.vjp(form, x, kernel)
        return out, *back(grad)

    def block():
        for _ in range(calls):
            found = products(*arrays)
        jax.block_until_ready(found)

    return block


def _time_doubling(args: argparse.Namespace, images: int, dtype: str) -> Iterator[dict[str, Any]]:
    """Times the head's transposed convolution: a product and a reshape against the library's."""
    rng, side, width = np.random.default_rng(0), 16 if args.quick else 240, 24
    x = jnp.asarray(rng.normal(size=(images, side, side, width)), dtype)
    kernel = jnp.asarray(rng.normal(size=(2, 2, width, width)), dtype)
    grad = jnp.asarray(rng.normal(size=(images, 2 * side, 2 * side, width)), dtype)
    forms: dict[str, Form] = {
        "product": lambda x, k: transposed_convolve(x, k, jnp.zeros(width, x.dtype)),
        "library": lambda x, k: jax.lax.conv_transpose(
            x, k, (2, 2), "VALID", dimension_numbers=cpu_convolution.DIMENSIONS
        ),
    }
    name = f"transposed 2x2/2 {width}->{width}, {images} x {side}^2"
    yield from _time(name, forms, (x, kernel, grad), args.quick)
