"""What a network computes, as a graph of layers: what ONNX files are written from and read against.

A network is recorded by running it on a `Layer` in the place of its image. Every operation and
every module of `operations` and `layers` makes a new one then; nothing is computed.

The jaxpr of a network would not do: it no longer tells a batch norm from its arithmetic, nor an
upsampling from a reshape, and general converters cannot prove the additions of a feature pyramid
for sizes that stay open.
"""

import dataclasses
import functools
import pathlib
import traceback
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppocr_jax.errors import UserError
from ppocr_jax.models.paddle_names import Naming

RECORDED = (1, 64, 96, 3)  # any image does whose maps are larger than 1x1: sizes stay open


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One operation of a network, and while it is recorded the map that it gives.

    Attributes:
        op: "input"; with weights "conv", "deconv" (2x2, stride 2), "norm" (batch norm); else the
            name of one of `operations`, or "add" or "multiply".
        inputs: layers.
        name: of its weights, PaddleOCR's where it has one, such as `backbone.stage0.1.conv`; ""
            if it has none.
        options: what else decides it: of "conv" `size`, `stride`, `depthwise` and `bias`, of
            "deconv" `bias`, of "upsample" `factor`.
        path: of the module that has the weights.
        shape: of the map, `[B, H, W, C]`.
    """

    op: str
    inputs: tuple["Layer", ...] = ()
    name: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    path: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    dtype = np.dtype(np.float32)

    @property
    def ndim(self):
        return len(self.shape)

    def astype(self, dtype):
        """Itself: what is shipped is float32 throughout."""
        return self

    def __add__(self, other):
        return self._with("add", other)

    def __mul__(self, other):
        return self._with("multiply", other)

    def _with(self, op, other):
        if not isinstance(other, Layer):
            return NotImplemented
        return Layer(op, (self, other), shape=np.broadcast_shapes(self.shape, other.shape))


def operation(op):
    """Decorator of a function of maps: given layers, it is recorded as the operation `op`.

    Maps are its positional arguments, or a list of them; what else it takes are keywords.
    """

    def decorate(function):
        @functools.wraps(function)
        def call(*maps, **options):
            inputs = [x for x in jax.tree.leaves(maps) if isinstance(x, Layer)]
            if not inputs:
                return function(*maps, **options)
            given = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.float32), maps)
            shape = jax.eval_shape(functools.partial(function, **options), *given).shape
            return Layer(op, tuple(inputs), options=options, shape=shape)

        return call

    return decorate


def record(detector):
    """The layer that gives the shrink map of a `Detector`; all others hang on it by `inputs`.

    Raises:
        UserError: one of its parts does something that is not recorded.
    """
    bound = without_remat(detector).bind({})
    pyramid = _record_part(bound.backbone, Layer("input", shape=RECORDED))
    last = _record_part(bound.head, _record_part(bound.neck, pyramid))["shrink"]
    naming, named = Naming((detector.backbone, detector.neck, detector.head)), {}
    for layer in in_order(last):
        inputs = tuple(named[x] for x in layer.inputs)
        named[layer] = dataclasses.replace(layer, inputs=inputs, name=naming.layer(layer.path))
    return named[last]


def without_remat(detector):
    """The same detector; of no meaning where nothing is computed, and no layer passes it."""
    if not getattr(detector.backbone, "remat", False):
        return detector
    return detector.clone(backbone=detector.backbone.clone(remat=False))


def _record_part(part, x):
    try:
        return part(x)
    except Exception as error:  # whatever code that knows arrays alone makes of a layer
        lines = [
            line
            for line in traceback.extract_tb(error.__traceback__)
            if "site-packages" not in line.filename and line.filename != __file__
        ]
        where = lines[-1] if lines else traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"{type(part).__name__}: no ONNX form yet: it uses `{where.line}` "
            f"({pathlib.Path(where.filename).name}, line {where.lineno}), which is not recorded"
        ) from error


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
