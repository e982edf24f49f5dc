"""Loads weights from a path into a network that predicts maps, for evaluation and prediction."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
from jaxtyping import Array, Float, Int, UInt8

from ppocr_jax import devices
from ppocr_jax.models.detector import Detector, build_detector, init_variables, shapes_of
from ppocr_jax.models.precision import describe_precision, in_precision
from ppocr_jax.runtime.compiler import gpu_options
from ppocr_jax.weights import sources


class Network(NamedTuple):
    """An inference function and its arguments.

    Attributes:
        predict: `(variables, image, area=None) -> shrink map`, see `make_predict`.
        variables: on the devices of the mesh; None for an ONNX file.
        sharding: of a batch of images over the devices; None for an ONNX file.
        report: one line about what was loaded.
    """

    predict: Callable[..., Any]
    variables: Any
    sharding: Any
    report: str


def open_network(
    config: ml_collections.ConfigDict, weights: str, role: str, device: jax.Device | None = None
) -> Network:
    """Loads a role's weights into its network, ready to predict.

    Args:
        config: a whole config; reads `roles`, `dtype`, `precision`, `seed` and `mesh`.
        weights: see `weights.sources`; an ONNX file is run by onnxruntime instead.
        role: one of `config.roles`.
        device: the one device to run on; None: the devices of `config.mesh`.

    Raises:
        UserError: the weights do not exist, or belong to another network.
    """
    if str(weights).endswith(".onnx"):
        from ppocr_jax.onnx_files import session  # here, because onnxruntime is slow to import

        opened = session.open_session(weights)
        predict = session.make_onnx_predict(opened, weights)
        return Network(predict, None, None, session.describe_session(opened))
    mesh = devices.make_mesh(config) if device is None else devices.mesh_of([device])
    model, variables, loaded = load_network(config, weights, role)
    variables = devices.replicate(variables, mesh)
    rounding = describe_precision(config.precision, config.dtype)
    report = "; ".join(filter(None, [str(loaded), rounding]))
    return Network(make_predict(model, config.precision), variables, devices.split(mesh), report)


def load_network(
    config: ml_collections.ConfigDict, weights: str, role: str
) -> tuple[Detector, Any, Any]:
    """Loads a role's weights on the host; see `open_network`.

    Returns:
        `(detector, variables, report)`; the report says what was loaded and what was initialised.
    """
    model = build_detector(config.roles[role], config.dtype)
    template = shapes_of(model)
    variables, report = sources.load_role(weights, role, template, trainable=False)
    # Initialising takes a while, and is rarely needed: only for parameters the file lacks.
    fresh = init_variables(model, jax.random.key(config.seed)) if report.initial else None
    return model, sources.fill_initial(variables, fresh), report


def make_predict(model: Detector, precision: str = "float32") -> jax.stages.Wrapped:
    """Builds the jitted inference function, which evaluation and prediction share.

    Args:
        model: the detector; batch norm uses its stored statistics.
        precision: of float32 products, see `models.precision`.

    Returns:
        `(variables, image, area=None) -> shrink map`: `image` is uint8 `[B, H, W, 3]` BGR with
        sides that are multiples of 32, `area` is None or int32 `[B, 2]`, see `Detector`, and the
        shrink map is float32 `[B, H, W]`.
    """

    def predict(
        variables: Any, image: UInt8[Array, "B H W 3"], area: Int[Array, "B 2"] | None = None
    ) -> Float[Array, "B H W"]:
        maps: Any = model.apply(variables, image, train=False, area=area)
        return maps["shrink"]

    traced = in_precision(predict, precision, [model])
    return jax.jit(traced, compiler_options=gpu_options())
