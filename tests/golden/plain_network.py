"""A small student in plain NumPy: MobileNetV3's rows 1, 3, 6 and 12, RSE-FPN and DB's head.

Written from the papers' and PaddleOCR's tables, over a dict of arrays by name. Names are the paths
of the variables of ppocr_jax, so that a test can lay them side by side.
"""

import numpy as np
from plain_tape import (
    Value,
    batch_norm,
    concat,
    convolve,
    hard_swish,
    only_channel,
    relu,
    sigmoid,
    squeeze_excite,
    transposed_convolve,
    upsample,
)

# Name, kernel, stride, expanded and output channels (at scale 0.35, in multiples of 8), activation.
BLOCKS = (
    ("stage0_0", 3, 2, 24, 8, relu),
    ("stage1_0", 5, 2, 24, 16, relu),
    ("stage2_0", 3, 2, 88, 32, hard_swish),
    ("stage3_0", 5, 2, 232, 56, hard_swish),
)
STEM, LAST = 8, 336
NECK = 16
K = 50.0


def shapes():
    """`{name: shape}` of the parameters."""
    found = {}

    def conv(name, size, inputs, outputs, bias=False):
        found[f"{name}/kernel"] = (size, size, inputs, outputs)
        if bias:
            found[f"{name}/bias"] = (outputs,)

    def norm(name, width):
        found[f"{name}/scale"] = found[f"{name}/bias"] = (width,)

    def conv_norm(name, size, inputs, outputs):
        conv(f"{name}/conv", size, inputs, outputs)
        norm(f"{name}/bn", outputs)

    conv_norm("backbone/conv", 3, 3, STEM)
    width, taps = STEM, []
    for name, size, _, expanded, outputs, _ in BLOCKS:
        conv_norm(f"backbone/{name}/expand_conv", 1, width, expanded)
        conv_norm(f"backbone/{name}/bottleneck_conv", size, 1, expanded)
        conv_norm(f"backbone/{name}/linear_conv", 1, expanded, outputs)
        width = outputs
        taps.append(outputs)
    conv_norm("backbone/stage3_1", 1, width, LAST)
    for level, tap in enumerate([*taps[:3], LAST]):
        pairs = ((f"ins_conv_{level}", 1, tap, NECK), (f"inp_conv_{level}", 3, NECK, NECK // 4))
        for name, size, inputs, outputs in pairs:
            conv(f"neck/{name}/in_conv", size, inputs, outputs)
            conv(f"neck/{name}/se_block/conv1", 1, outputs, outputs // 4, bias=True)
            conv(f"neck/{name}/se_block/conv2", 1, outputs // 4, outputs, bias=True)
    for branch in ("binarize", "thresh"):
        conv(f"head/{branch}/conv1", 3, NECK, NECK // 4)
        norm(f"head/{branch}/conv_bn1", NECK // 4)
        conv(f"head/{branch}/conv2", 2, NECK // 4, NECK // 4, bias=True)
        norm(f"head/{branch}/conv_bn2", NECK // 4)
        conv(f"head/{branch}/conv3", 2, NECK // 4, 1, bias=True)
    return found


def fill():
    """Parameters to begin with: float32 by name, from a formula that needs no generator."""
    return {name: _fill(name, shape) for name, shape in shapes().items()}


def _fill(name, shape):
    key = 1.0 + sum((i + 1) * ord(letter) for i, letter in enumerate(name)) % 997
    waves = np.sin(key * (np.arange(np.prod(shape)) + 1.0)).reshape(shape)
    kind = name.rsplit("/", 1)[1]
    if kind == "kernel":
        values = waves * np.sqrt(4.0 / np.prod(shape[:3]))  # keeps the size of what passes
    elif kind == "scale":
        values = 1.0 + 0.2 * waves
    else:
        values = 0.1 * waves + 0.5 * name.endswith("se_block/conv1/bias")  # so that gates are live
    return values.astype(np.float32)


class Network:
    """The network over `{name: Value}`; `statistics` gathers mean and variance of every norm."""

    def __init__(self, values):
        self.values = values
        self.statistics = {}

    def norm(self, name, x, act=lambda x: x):
        v = self.values
        x, mean, variance = batch_norm(x, v[f"{name}/scale"], v[f"{name}/bias"])
        self.statistics[f"{name}/mean"], self.statistics[f"{name}/var"] = mean, variance
        return act(x)

    def conv_norm(self, name, x, act=lambda x: x, stride=1, groups=1):
        x = convolve(x, self.values[f"{name}/conv/kernel"], stride, groups)
        return self.norm(f"{name}/bn", x, act)

    def backbone(self, x):
        x, taps = self.conv_norm("backbone/conv", x, hard_swish, 2), []
        for name, _, stride, expanded, _, act in BLOCKS:
            x = self.conv_norm(f"backbone/{name}/expand_conv", x, act)
            x = self.conv_norm(f"backbone/{name}/bottleneck_conv", x, act, stride, expanded)
            x = self.conv_norm(f"backbone/{name}/linear_conv", x)
            taps.append(x)
        return [*taps[:3], self.conv_norm("backbone/stage3_1", x, hard_swish)]

    def residual(self, name, x):
        v, gate = self.values, f"neck/{name}/se_block"
        x = convolve(x, v[f"neck/{name}/in_conv/kernel"])
        parts = (v[f"{gate}/{part}"] for part in
                 ("conv1/kernel", "conv1/bias", "conv2/kernel", "conv2/bias"))  # fmt: skip
        return x + squeeze_excite(x, *parts)

    def neck(self, taps):
        levels = [self.residual(f"ins_conv_{i}", tap) for i, tap in enumerate(taps)]
        for i in (2, 1, 0):
            levels[i] = levels[i] + upsample(levels[i + 1], 2)
        levels = [self.residual(f"inp_conv_{i}", level) for i, level in enumerate(levels)]
        return concat([upsample(levels[i], 2**i) if i else levels[i] for i in (3, 2, 1, 0)])

    def branch(self, name, x):
        v, name = self.values, f"head/{name}"
        x = self.norm(f"{name}/conv_bn1", convolve(x, v[f"{name}/conv1/kernel"]), relu)
        x = transposed_convolve(x, v[f"{name}/conv2/kernel"], v[f"{name}/conv2/bias"])
        x = self.norm(f"{name}/conv_bn2", x, relu)
        x = transposed_convolve(x, v[f"{name}/conv3/kernel"], v[f"{name}/conv3/bias"])
        return sigmoid(only_channel(x))

    def __call__(self, image):
        """`{"shrink", "threshold", "binary"}` of normalised images `[B, H, W, 3]`, in training."""
        fused = self.neck(self.backbone(Value(image)))
        shrink, threshold = self.branch("binarize", fused), self.branch("thresh", fused)
        return {
            "shrink": shrink,
            "threshold": threshold,
            "binary": sigmoid((shrink - threshold) * K),
        }
