"""Exports a network as one file, and proves that the file does what the checkpoint does."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from etils import epath
from jax import export as jax_export
from ml_collections import ConfigDict

from ppocr_jax.detection import network
from ppocr_jax.errors import UserError
from ppocr_jax.files import replacing, settle, write_json
from ppocr_jax.locks import hold_output
from ppocr_jax.onnx_files import door
from ppocr_jax.onnx_files.session import make_onnx_predict, open_session
from ppocr_jax.onnx_files.writer import build_onnx
from ppocr_jax.shipping import deployment, parity, quantize
from ppocr_jax.shipping.deployment import Form
from ppocr_jax.weights import sources
from ppocr_jax.weights.paddle import LoadReport, array_hash
from ppocr_jax.weights.pdparams import write_pdparams

# Largest difference of a map, in [0, 1]: onnxruntime sums in another order and has folded batch
# norm, XLA compiles the same operations again, and .pdparams holds the same weights.
TOLERANCES = {".onnx": 1e-4, ".stablehlo": 1e-5, ".pdparams": 0.0}
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")  # that a StableHLO file runs on
ACCEPTED_LOSS = 0.02  # hmean that quantisation may cost without a warning

Loaded = Mapping[str, tuple[nn.Module, Any, LoadReport]]  # role: model, variables, report
Predict = Callable[[Any], Any]  # uint8 [B, H, W, 3] BGR -> float32 maps [B, H, W]
Draw = Callable[[Any, Any], Any]  # the same with variables as the first argument


def export(
    config: ConfigDict,
    weights: str,
    role: str,
    output: epath.PathLike,
    form: Form,
    places: Sequence[str] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Writes one file and checks it against the weights.

    Args:
        config: a whole config. The file computes in float32 whatever its `dtype` is.
        weights: see `sources`.
        role: the network; "all" writes all networks of a distillation run into one `.pdparams`.
        output: path of the file.
        form: the options of the file.
        places: images and folders to compare on, see `parity.choose_images`.

    Returns:
        `(record, lines)`: the content of the JSON file beside it, and lines for the user.

    Raises:
        UserError: weights that do not fit the config; or a file with other maps or boxes, which is
            kept with the ending `.failed`.
    """
    output = epath.Path(output)
    config = shipped_config(config, role)
    source = sources.open_source(weights)
    roles = list(config.roles) if role == "all" else [role]
    loaded = {role: network.load_network(config, weights, role) for role in roles}
    arrays = sources.read_tree(source) if role == "all" else sources.read_arrays(source, role)
    meta = describe(config, role, form, str(source), array_hash(arrays), output)
    images, what = parity.choose_images(config, places)

    with hold_output(output), replacing(output) as unchecked:
        write(unchecked, config, form, meta, arrays, loaded)
        meta["parity"], lines = check(unchecked, config, form, loaded, images, what)
        if not all(figures["passed"] for figures in meta["parity"].values()):
            failed = output.with_name(output.name + ".failed")
            settle(unchecked, failed)
            raise UserError(
                f"{'; '.join(lines)}: the file computes something else; it is now {failed}"
            )
        if form.quantize:
            meta["int8"], line = quantized(unchecked, config, form)
            lines.append(line)
        meta |= {"bytes": unchecked.stat().length, "sha256": file_hash(unchecked)}
        write_json(output.with_name(output.name + ".json"), meta)
    return meta, lines


def check(
    path: epath.Path,
    config: ConfigDict,
    form: Form,
    loaded: Loaded,
    images: Sequence[tuple[str, np.ndarray]],
    what: str,
) -> tuple[dict[str, Any], list[str]]:
    """Compares a written file with the weights on images.

    Args:
        path: of the file.
        config: see `shipped_config`.
        form: the options of the file.
        loaded: `{role: (model, variables, report)}`.
        images, what: see `parity.choose_images`.

    Returns:
        `(figures, lines)`: see `parity.compare`, by role; and a line on each role.
    """
    figures = {}
    for role, (model, variables, _) in loaded.items():
        draw = make_draw(model)
        figures[role] = parity.compare(
            functools.partial(draw, variables),
            open_file(path, config, form, role, draw),
            images,
            config,
            TOLERANCES[form.suffix],
            form.shape,
        )
    return figures, [
        f"parity of {role}, {what}: {parity.explain(f)}" for role, f in figures.items()
    ]


def shipped_config(config: ConfigDict, role: str) -> ConfigDict:
    """The config that is shipped with the file: in float32, with its role as the best one.

    Raises:
        UserError: the config has no such role.
    """
    config = config.copy_and_resolve_references()
    if role != "all" and role not in config.roles:
        raise UserError(f"--role {role}: the config has {', '.join(config.roles)}, and all")
    config.dtype = "float32"
    config.best.role = config.best.role if role == "all" else role
    return config


def without_places(config: ConfigDict) -> ConfigDict:
    """A config for other machines: without paths of weights and absolute folders of images."""
    config = config.copy_and_resolve_references()
    for role in config.get("init_from", {}):
        config.init_from[role] = ""
    if epath.Path(config.data.root).is_absolute():
        config.data.root = ""
    return config


def describe(
    config: ConfigDict, role: str, form: Form, origin: str, digest: str, output: epath.Path
) -> dict[str, Any]:
    """`deployment.describe`, with the arguments for other tools that read the file."""
    meta = deployment.describe(without_places(config), role, form, origin, digest)
    if form.suffix == ".onnx":
        meta["rapidocr"], meta["notes"] = deployment.rapidocr_parameters(config, form, output)
    if form.suffix != ".stablehlo":
        meta["paddleocr"] = deployment.paddleocr_arguments(config, form, output)
    return meta


def write(
    path: epath.Path,
    config: ConfigDict,
    form: Form,
    meta: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    loaded: Loaded,
) -> None:
    """Writes a file, unchecked.

    Args:
        path: of the file.
        config: see `shipped_config`.
        form: the options of the file.
        meta: metadata for an ONNX file.
        arrays: by PaddleOCR's names, for `.pdparams`.
        loaded: `{role: (model, variables, report)}`; one role except for `.pdparams`.
    """
    if form.suffix == ".pdparams":
        write_pdparams(str(path), arrays)
        return
    [(role, (model, variables, _))] = loaded.items()
    if form.suffix == ".stablehlo":
        path.write_bytes(lower(model, variables, form.shape))
        return
    onnx_model = build_onnx(
        config.roles[role],
        variables,
        opset=form.opset,
        shape=form.shape,
        include_normalisation=form.include_normalisation,
        fold=not form.keep_batch_norm,
        metadata=meta,
    )
    path.write_bytes(door.seal(onnx_model))


def lower(model: nn.Module, variables: Any, shape: tuple[int, int] | None = None) -> bytes:
    """A network with its weights as serialised StableHLO, versioned by `jax.export`.

    Args:
        model: the network.
        variables: its weights.
        shape: the only (height, width), for one image; None for any batch and multiples of 32.

    Returns:
        The function `uint8 [B, H, W, 3] BGR -> float32 [B, H, W]`.
    """
    sizes = (1, *shape) if shape else jax_export.symbolic_shape("b, 32*h, 32*w")
    image = jax.ShapeDtypeStruct((*sizes, 3), np.uint8)
    draw = make_draw(model)

    def draw_alone(image: jax.Array) -> jax.Array:
        # The barrier hides that the weights are constants. Otherwise XLA would transform them at
        # every compilation, which takes long and rounds differently.
        return draw(jax.lax.optimization_barrier(variables), image)

    exported = jax_export.export(jax.jit(draw_alone), platforms=PLATFORMS)(image)
    return bytes(exported.serialize())


@functools.cache  # equal networks share one compiled program
def make_draw(model: nn.Module) -> Draw:
    """`(variables, image) -> maps` of a JAX network, in full float32 on GPUs too, without TF32."""

    def draw(variables: Any, image: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            maps: Any = model.apply(variables, image, train=False)
            return maps["shrink"]

    return jax.jit(draw)


def open_file(path: epath.Path, config: ConfigDict, form: Form, role: str, draw: Draw) -> Predict:
    """`image -> maps` of a written file.

    Args:
        path: of the file.
        config: see `shipped_config`.
        form: the options of the file.
        role: the network.
        draw: see `make_draw`; runs the weights of a `.pdparams` file.
    """
    if form.suffix == ".onnx":
        return functools.partial(make_onnx_predict(open_session(path), path), None)
    if form.suffix == ".stablehlo":
        return jax.jit(jax_export.deserialize(bytearray(path.read_bytes())).call)
    return functools.partial(draw, network.load_network(config, str(path), role)[1])


def quantized(path: epath.Path, config: ConfigDict, form: Form) -> tuple[dict[str, Any], str]:
    """Replaces an ONNX file by its 8-bit form.

    Returns:
        `(figures, line)`: what that costs, see `quantize.cost`; and a line for the user.
    """
    with replacing(path) as narrow:
        count = quantize.quantize(path, narrow, config, form)
        figures = {"calibration_images": count, **quantize.cost(config, path, narrow)}
    line = (
        f"8 bits: hmean {figures['hmean']:.4f}, {figures['hmean_float']:.4f} before, on "
        f"{figures['images']} validation images"
    )
    if figures["loss"] > ACCEPTED_LOSS:
        line += f"; warning: this costs {figures['loss']:.4f}, more than {ACCEPTED_LOSS}"
    return figures, line


def file_hash(path: epath.Path) -> str:
    """SHA-256 of a file in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
