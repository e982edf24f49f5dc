"""The detectors as graphs of layers: what an ONNX file is written from, and read against.

A layer names its operation, its inputs and, where it has weights, PaddleOCR's name of them. It
holds no array, so the same graph serves a network of any weights. Only the shrink map's branch is
described: that is what is shipped. The functions mirror `models/`, one by one.
"""

import dataclasses
from typing import Any

from ppocr_jax.errors import UserError
from ppocr_jax.models.backbones import MOBILENET_V3_LARGE, MobileNetV3, ResNetVD, round_channels
from ppocr_jax.models.layers import hard_swish
from ppocr_jax.models.necks import DBFPN, LKPAN, RSEFPN


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One operation of a network.

    Attributes:
        op: "input"; with weights "conv", "deconv" (2x2, stride 2), "norm" (batch norm); without
            "relu", "hard_swish", "gate" (hard sigmoid of slope 0.2), "sigmoid", "mean" (over the
            picture), "max_pool" (3x3, stride 2), "mean_pool" (2x2, stride 2), "upsample" (nearest
            neighbour), "add", "multiply", "concat" (of channels).
        inputs: layers.
        name: PaddleOCR's name of its weights, such as `backbone.conv.conv`; "" if it has none.
        options: what else decides it: of "conv" `size`, `stride`, `depthwise` and `bias`, of
            "deconv" `bias`, of "upsample" `factor`.
    """

    op: str
    inputs: tuple["Layer", ...] = ()
    name: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


def describe(detector):
    """The layer that gives the shrink map of a `Detector`; all others hang on it by `inputs`.

    Raises:
        UserError: a backbone or neck that has no description here.
    """
    backbones = {MobileNetV3: mobilenet_v3, ResNetVD: resnet_vd}
    necks = {RSEFPN: rse_fpn, DBFPN: db_fpn, LKPAN: lk_pan}
    for part, known in ((detector.backbone, backbones), (detector.neck, necks)):
        if type(part) not in known:
            raise UserError(f"{type(part).__name__}: there is no ONNX form of it")
    pyramid = backbones[type(detector.backbone)](detector.backbone, Layer("input"))
    return db_head(detector.head, necks[type(detector.neck)](detector.neck, pyramid))


def in_order(last):
    """All layers that one hangs on and itself, inputs before what uses them."""
    done, waiting = {}, [last]
    while waiting:
        missing = [x for x in waiting[-1].inputs if x not in done]
        if missing:
            waiting.append(missing[0])
        else:
            done[waiting.pop()] = None
    return list(done)


def plain(op, *inputs, **options):
    return Layer(op, inputs, "", options)


def conv(x, name, size=1, stride=1, depthwise=False, bias=False):
    options = {"size": size, "stride": stride, "depthwise": depthwise, "bias": bias}
    return Layer("conv", (x,), name, options)


def conv_norm(x, name, act="", size=1, stride=1, depthwise=False, leaves=("conv", "bn")):
    """Convolution, batch norm and an activation, `act` being its operation."""
    x = conv(x, f"{name}.{leaves[0]}", size, stride, depthwise)
    x = Layer("norm", (x,), f"{name}.{leaves[1]}")
    return plain(act, x) if act else x


def squeeze_excite(x, name):
    gate = plain("relu", conv(plain("mean", x), f"{name}.conv1", bias=True))
    return plain("multiply", x, plain("gate", conv(gate, f"{name}.conv2", bias=True)))


def mobilenet_v3(module, x):
    """[C2, C3, C4, C5] of `models.backbones.MobileNetV3`."""
    x = conv_norm(x, "backbone.conv", "hard_swish", 3, 2)
    channels = round_channels(16 * module.scale)
    taps, stage, index = [], 0, 0
    for number in module.blocks:
        size, _, features, gated, act, stride = MOBILENET_V3_LARGE[number]
        if stride == 2 and number > 2:
            taps.append(x)
            stage, index = stage + 1, 0
        name = f"backbone.stage{stage}.{index}"
        act = "hard_swish" if act is hard_swish else "relu"
        out = conv_norm(x, f"{name}.expand_conv", act)
        out = conv_norm(out, f"{name}.bottleneck_conv", act, size, stride, depthwise=True)
        if gated and module.squeeze_excite:
            out = squeeze_excite(out, f"{name}.mid_se")
        out = conv_norm(out, f"{name}.linear_conv")
        before, channels = channels, round_channels(features * module.scale)
        x = plain("add", x, out) if stride == 1 and before == channels else out
        index += 1
    return [*taps, conv_norm(x, f"backbone.stage{stage}.{index}", "hard_swish")]


def resnet_vd(module, x):
    """[C2, C3, C4, C5] of `models.backbones.ResNetVD`."""

    def layer(x, name, act="relu", size=1, stride=1):
        return conv_norm(x, f"backbone.{name}", act, size, stride, leaves=("_conv", "_batch_norm"))

    for index in (1, 2, 3):
        x = layer(x, f"conv1_{index}", size=3, stride=2 if index == 1 else 1)
    x = plain("max_pool", x)
    taps = []
    for stage, depth in enumerate(module.depths):
        for index in range(depth):
            name, stride = f"bb_{stage}_{index}", 2 if index == 0 and stage > 0 else 1
            out = layer(x, f"{name}.conv0")
            out = layer(out, f"{name}.conv1", size=3, stride=stride)
            out = layer(out, f"{name}.conv2", act="")
            if index == 0:
                x = plain("mean_pool", x) if stride == 2 else x
                x = layer(x, f"{name}.short", act="")
            x = plain("relu", plain("add", x, out))
        taps.append(x)
    return taps


def top_down(laterals):
    """Each coarser map, doubled, added to the next finer one."""
    merged = [laterals[-1]]
    for finer in reversed(laterals[:-1]):
        merged.insert(0, plain("add", finer, plain("upsample", merged[0], factor=2)))
    return merged


def fuse(levels):
    """All levels at the size of the finest, the coarsest first."""
    grown = [plain("upsample", x, factor=2**i) if i else x for i, x in enumerate(levels)]
    return plain("concat", *grown[::-1])


def rse_fpn(module, pyramid):
    """The fused map of `models.necks.RSEFPN`."""

    def layer(x, name, size):
        x = conv(x, f"neck.{name}.in_conv", size)
        gated = squeeze_excite(x, f"neck.{name}.se_block")
        return plain("add", x, gated) if module.shortcut else gated

    laterals = [layer(x, f"ins_conv.{i}", 1) for i, x in enumerate(pyramid)]
    return fuse([layer(x, f"inp_conv.{i}", 3) for i, x in enumerate(top_down(laterals))])


def db_fpn(_, pyramid):
    """The fused map of `models.necks.DBFPN`."""
    laterals = [conv(x, f"neck.in{i}_conv") for i, x in enumerate(pyramid, 2)]
    return fuse([conv(x, f"neck.p{i}_conv", 3) for i, x in enumerate(top_down(laterals), 2)])


def lk_pan(module, pyramid):
    """The fused map of `models.necks.LKPAN`."""
    width = module.channels // 4

    def wide(x, name, channels):
        if module.mode == "large":
            return conv(x, name, 9)
        return separable(x, name, project=channels != width)

    laterals = [conv(x, f"neck.ins_conv.{i}") for i, x in enumerate(pyramid)]
    merged = top_down(laterals)
    levels = [wide(x, f"neck.inp_conv.{i}", module.channels) for i, x in enumerate(merged)]
    for i in range(3):
        halved = conv(levels[i], f"neck.pan_head_conv.{i}", 3, 2)
        levels[i + 1] = plain("add", levels[i + 1], halved)
    return fuse([wide(x, f"neck.pan_lat_conv.{i}", width) for i, x in enumerate(levels)])


def separable(x, name, project):
    """`models.necks.SeparableBlock`; `project` adds the input through a 1x1 convolution."""
    out = conv(x, f"{name}.conv1", 9, depthwise=True)
    out = conv(Layer("norm", (out,), f"{name}.bn1"), f"{name}.conv2")
    out = plain("relu", Layer("norm", (out,), f"{name}.bn2"))
    out = conv(out, f"{name}.conv3")
    return plain("add", out, conv(x, f"{name}.conv_end")) if project else out


def db_head(module, x):
    """The shrink map of `models.heads.DBHead`, `[N, 1, H, W]`."""
    name = "head.binarize"

    def normalise(x, leaf):
        return plain("relu", Layer("norm", (x,), f"{name}.{leaf}"))

    x = normalise(conv(x, f"{name}.conv1", module.kernels[0]), "conv_bn1")
    x = normalise(Layer("deconv", (x,), f"{name}.conv2", {"bias": True}), "conv_bn2")
    return plain("sigmoid", Layer("deconv", (x,), f"{name}.conv3", {"bias": True}))
