"""Weights at a path -> a network that draws maps: what evaluation and prediction run."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from ppocr_jax import devices
from ppocr_jax.models.detector import build_detector, init_variables, shapes_of
from ppocr_jax.models.precision import describe_precision, in_precision
from ppocr_jax.runtime.compiler import gpu_options
from ppocr_jax.weights import sources


class Network(NamedTuple):
    """One inference function with what it needs.

    Attributes:
        predict: `(variables, image, area=None) -> maps`, see `make_predict`.
        variables: on the devices of the mesh.
        sharding: of a batch of images over them.
        report: one line on what was loaded.
    """

    predict: Callable[..., Any]
    variables: Any
    sharding: Any
    report: str


def open_network(config, weights, role, device=None):
    """The network of a role with its weights.

    Args:
        config: a whole config; `roles`, `dtype`, `precision`, `seed` and `mesh` are read.
        weights: see `sources`; an ONNX file is not read but run, by onnxruntime.
        role: name, one of `config.roles`.
        device: one of JAX's, to run on alone; None: on those that `config.mesh` says.

    Raises:
        UserError: weights that are not there, or belong to another network.
    """
    if str(weights).endswith(".onnx"):
        from ppocr_jax.onnx_files import session  # onnxruntime: for ONNX files alone

        opened = session.open_session(weights)
        predict = session.make_onnx_predict(opened, weights)
        return Network(predict, None, None, session.describe_session(opened))
    mesh = devices.make_mesh(config) if device is None else devices.mesh_of([device])
    model, variables, report = load_network(config, weights, role)
    variables = devices.replicate(variables, mesh)
    rounding = describe_precision(config.precision, config.dtype)
    report = "; ".join(filter(None, [str(report), rounding]))
    return Network(make_predict(model, config.precision), variables, devices.split(mesh), report)


def load_network(config, weights, role):
    """The detector of a role and its variables from `weights`, with the report of the load."""
    model = build_detector(config.roles[role], config.dtype)
    template = shapes_of(model)
    variables, report = sources.load_role(weights, role, template, trainable=False)
    fresh = init_variables(model, jax.random.key(config.seed)) if report.initial else None
    return model, sources.fill_initial(variables, fresh), report


def make_predict(model, precision="float32"):
    """Returns a jitted `(variables, image, area) -> shrink map`, the one inference path.

    `image` is uint8 `[B, H, W, 3]` BGR, sides multiples of 32; the map is float32 `[B, H, W]`.
    `area` is None or int32 `[B, 2]`, see `Detector`. The stored statistics normalise. `precision`
    is that of float32 products, see `models.precision`.
    """

    def predict(variables, image, area=None):
        return model.apply(variables, image, train=False, area=area)["shrink"]

    traced = in_precision(predict, precision, [model])
    return jax.jit(traced, compiler_options=gpu_options())
