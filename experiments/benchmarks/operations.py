"""Times single convolutions of the networks, and the same in PyTorch."""

import argparse
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.measure import Row, take_turns
from ppocr_jax.kernels.convolution import convolve
from ppocr_jax.runtime.compiler import compiler_options

# (kernel, stride, inputs, outputs, groups, images, side): the heaviest in student and teacher.
CASES = (
    (3, 2, 3, 8, 1, 2, 640),
    (3, 1, 32, 32, 32, 2, 320),
    (1, 1, 8, 32, 1, 2, 320),
    (3, 1, 96, 24, 1, 2, 160),
    (1, 1, 16, 96, 1, 2, 160),
    (9, 1, 256, 64, 1, 1, 64),
    (7, 1, 256, 64, 1, 1, 64),
    (9, 1, 64, 64, 1, 1, 64),
    (9, 1, 256, 64, 1, 1, 8),
    (3, 1, 128, 128, 1, 1, 32),
    (3, 1, 512, 512, 1, 1, 8),
    (1, 1, 1024, 2048, 1, 1, 8),
)
PRODUCTS = ("output", "input gradient", "filter gradient")
ROUNDS, QUICK_ROUNDS = 15, 3


def run(args: argparse.Namespace, _: str) -> Iterator[Row]:
    """Milliseconds of output, input gradient and filter gradient for each convolution."""
    for case in CASES[:2] if args.quick else CASES:
        size, stride, inputs, outputs, groups, images, side = case
        rng = np.random.default_rng(0)
        out = -(-side // stride)  # rounded up, as with "same" padding
        arrays = [
            rng.normal(size=shape).astype(np.float32)
            for shape in (
                (images, side, side, inputs),
                (size, size, inputs // groups, outputs),
                (images, out, out, outputs),
            )
        ]
        kind = "depthwise" if groups > 1 else f"{inputs}->{outputs}"
        name = f"{size}x{size}{f' / {stride}' if stride > 1 else ''} {kind}, {images} x {side}^2"
        sides = {f"{product}, ppocr_jax": f for product, f in _ours(arrays, stride, groups)}
        if importlib.util.find_spec("torch"):
            theirs = _pytorch(arrays, stride, groups)
            sides |= {f"{product}, PyTorch channels-last": f for product, f in theirs}
        for function in sides.values():  # compiles
            function()
        seconds = take_turns(sides, QUICK_ROUNDS if args.quick else ROUNDS)
        for what, value in seconds.items():
            yield name, what, value * 1e3, "ms"


def _ours(
    arrays: list[np.ndarray], stride: int, groups: int
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """`(product, function)` of our three products.

    Args:
        arrays: float32 image `[B, H, W, C]`, kernel `[kh, kw, C / groups, D]` and gradient of the
            output `[B, H', W', D]`.
        stride: of the convolution.
        groups: of the convolution.
    """
    x, kernel, grad = map(jnp.asarray, arrays)

    def pull(argument):
        def function(x, kernel, grad):
            _, back = jax.vjp(lambda x, kernel: convolve(x, kernel, stride, groups), x, kernel)
            return back(grad)[argument]

        return function

    def forward(x, kernel, grad):
        return convolve(x, kernel, stride, groups)

    def timed(function):
        function = jax.jit(function, compiler_options=compiler_options())
        return lambda: jax.block_until_ready(function(x, kernel, grad))

    for product, function in zip(PRODUCTS, (forward, pull(0), pull(1)), strict=True):
        yield product, timed(function)


def _pytorch(
    arrays: list[np.ndarray], stride: int, groups: int
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The same products in PyTorch, on NCHW tensors that lie channels last in memory."""
    import torch

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    x, kernel, grad = (torch.tensor(array, device=device) for array in arrays)
    last = torch.channels_last
    x, grad = (t.permute(0, 3, 1, 2).contiguous(memory_format=last) for t in (x, grad))
    kernel = kernel.permute(3, 2, 0, 1).contiguous(memory_format=last)
    pad = [kernel.shape[-1] // 2] * 2

    def finish(result):
        if device == "cuda":  # calls return before the device is done
            torch.cuda.synchronize()
        return result

    def forward():
        finish(torch.nn.functional.conv2d(x, kernel, None, stride, pad, groups=groups))

    def backward(*wanted):
        finish(torch.ops.aten.convolution_backward(
            grad, x, kernel, None, [stride] * 2, pad, [1, 1], False, [0, 0], groups, wanted
        ))  # fmt: skip

    yield PRODUCTS[0], forward
    yield PRODUCTS[1], lambda: backward(True, False, False)
    yield PRODUCTS[2], lambda: backward(False, True, False)
