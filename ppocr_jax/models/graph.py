"""A network as a graph of layers: ONNX files are written from it, and compared with it when read.

A network is recorded by calling it with a `Layer` instead of an image. Each operation and module of
`operations` and `layers` then returns a new `Layer`, and nothing is computed.

Why not use the network's jaxpr? It no longer distinguishes a batch norm from its arithmetic or an
upsampling from a reshape, and general converters cannot prove that the additions in a feature
pyramid have matching shapes when image sizes are left open.
"""

import dataclasses
import functools
import pathlib
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ppocr_jax.errors import UserError
from ppocr_jax.models.paddle_names import Naming

if TYPE_CHECKING:  # `detector` imports this module
    from ppocr_jax.models.detector import Detector

RECORDED = (1, 64, 96, 3)  # any image shape does whose feature maps are all larger than 1x1


@dataclasses.dataclass(frozen=True, eq=False)  # compared by identity: layers are keys of dicts
class Layer:
    """One operation of a network. While the network is recorded, it stands in for its result.

    Attributes:
        op: "input"; with weights: "conv", "deconv" (2x2, stride 2) or "norm" (batch norm); without:
            the name of an operation of `operations`, "add" or "multiply".
        inputs: the layers it reads.
        name: PaddleOCR's name of the module with its weights, such as `backbone.stage0.1.conv`, or
            our own name where PaddleOCR has none; "" without weights.
        options: `size`, `stride`, `depthwise` and `bias` of "conv", `bias` of "deconv", `factor`
            of "upsample".
        path: path of the module with its weights.
        shape: shape of its result, `[B, H, W, C]`.
    """

    op: str
    inputs: tuple["Layer", ...] = ()
    name: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    path: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    dtype = np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """The number of axes of its result."""
        return len(self.shape)

    def astype(self, dtype: Any) -> "Layer":
        """Returns itself: exported networks are float32 throughout."""
        return self

    def __add__(self, other: Any) -> "Layer":
        return self._with("add", other)

    def __mul__(self, other: Any) -> "Layer":
        return self._with("multiply", other)

    def _with(self, op: str, other: Any) -> "Layer":
        if not isinstance(other, Layer):
            return NotImplemented
        return Layer(op, (self, other), shape=np.broadcast_shapes(self.shape, other.shape))


def operation(op: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: a function of maps that is called with layers is recorded as operation `op`.

    The function takes maps, or a list of them, as positional arguments and options as keywords.
    """

    def decorate(function):
        @functools.wraps(function)
        def call(*maps, **options):
            inputs = [x for x in jax.tree.leaves(maps) if isinstance(x, Layer)]
            if not inputs:
                return function(*maps, **options)
            # The function itself tells the shape, traced on float32 stand-ins for the layers.
            given = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.float32), maps)
            shape = jax.eval_shape(functools.partial(function, **options), *given).shape
            return Layer(op, tuple(inputs), options=options, shape=shape)

        return call

    return decorate


def record(detector: "Detector") -> Layer:
    """Records a detector and returns the layer of its shrink map.

    All other layers are reached from it through `inputs`.

    Raises:
        UserError: a part of the network uses an operation that cannot be recorded.
    """
    # Part by part, so that an error can name the part. No parameters are needed.
    bound = without_remat(detector).bind({})
    pyramid = _record_part(bound.backbone, Layer("input", shape=RECORDED))
    last = _record_part(bound.head, _record_part(bound.neck, pyramid))["shrink"]
    naming = Naming((detector.backbone, detector.neck, detector.head))
    named: dict[Layer, Layer] = {}
    for layer in in_order(last):
        inputs = tuple(named[x] for x in layer.inputs)
        named[layer] = dataclasses.replace(layer, inputs=inputs, name=naming.layer(layer.path))
    return named[last]


def without_remat(detector: "Detector") -> "Detector":
    """The same detector without rematerialisation, through which layers cannot pass."""
    if not getattr(detector.backbone, "remat", False):
        return detector
    return detector.clone(backbone=detector.backbone.clone(remat=False))


def _record_part(part: Callable[..., Any], x: Any) -> Any:
    try:
        return part(x)
    except Exception as error:  # anything can happen to code that expects an array
        # Blame the last line outside of JAX, Flax and this file: most likely the network's own.
        lines = [
            line
            for line in traceback.extract_tb(error.__traceback__)
            if "site-packages" not in line.filename and line.filename != __file__
        ]
        where = lines[-1] if lines else traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"{type(part).__name__} cannot be exported to ONNX: `{where.line}` "
            f"({pathlib.Path(where.filename).name}, line {where.lineno}) is not recorded; use the "
            "layers and operations of ppocr_jax.models"
        ) from error


def in_order(last: Layer) -> list[Layer]:
    """A layer and all layers it depends on, inputs first."""
    # Depth first with an explicit stack: deep networks would exceed Python's recursion limit.
    done: dict[Layer, None] = {}
    waiting = [last]
    while waiting:
        missing = [x for x in waiting[-1].inputs if x not in done]
        if missing:
            waiting.append(missing[0])
        else:
            done[waiting.pop()] = None
    return list(done)
