"""A network as one file, and the proof that the file does what the checkpoint does."""

import functools
import hashlib

import jax
import numpy as np
from etils import epath
from jax import export as jax_export

from ppocr_jax.detection import network
from ppocr_jax.errors import UserError
from ppocr_jax.files import replacing, settle, write_json
from ppocr_jax.locks import hold_output
from ppocr_jax.onnx_files import door
from ppocr_jax.onnx_files.session import make_onnx_predict, open_session
from ppocr_jax.onnx_files.writer import build_onnx
from ppocr_jax.shipping import deployment, parity, quantize
from ppocr_jax.weights import sources
from ppocr_jax.weights.paddle import array_hash
from ppocr_jax.weights.pdparams import write_pdparams

TOLERANCES = {".onnx": 1e-4, ".stablehlo": 1e-5, ".pdparams": 0.0}  # of a map, in [0, 1]
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")  # that a StableHLO file runs on
ACCEPTED_LOSS = 0.02  # hmean that 8 bits may cost without a warning


def export(config, weights, role, output, form, places=()):
    """Writes and checks one file.

    Args:
        config: a whole config. Arithmetic is float32 whatever its `dtype`.
        weights: see `sources`.
        role: which network; "all" writes the tree of a distillation run as one `.pdparams`.
        output: path of the file.
        form: `deployment.Form`.
        places: images and folders to compare on, see `parity.choose_images`.

    Returns:
        `(record, lines)`: what the JSON file holds, and what to tell a person.

    Raises:
        UserError: weights that do not fit, or a file that does not do what they do.
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
                f"{'; '.join(lines)}: this is another network; the file is now {failed}"
            )
        if form.quantize:
            meta["int8"], line = quantized(unchecked, config, form)
            lines.append(line)
        meta |= {"bytes": unchecked.stat().length, "sha256": file_hash(unchecked)}
        write_json(output.with_name(output.name + ".json"), meta)
    return meta, lines


def check(path, config, form, loaded, images, what):
    """Whether a written file does what the weights do: `(figures by role, lines on them)`."""
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


def shipped_config(config, role):
    """The config that goes with the file: float32, and its role where there is one."""
    config = config.copy_and_resolve_references()
    if role != "all" and role not in config.roles:
        raise UserError(f"--role {role}: the config has {', '.join(config.roles)}, and all")
    config.dtype = "float32"
    config.best.role = config.best.role if role == "all" else role
    return config


def without_places(config):
    """A config for other machines: no path of weights, no absolute folder of images."""
    config = config.copy_and_resolve_references()
    for role in config.get("init_from", {}):
        config.init_from[role] = ""
    if epath.Path(config.data.root).is_absolute():
        config.data.root = ""
    return config


def describe(config, role, form, origin, digest, output):
    """`deployment.describe` with what the other tools want to be told."""
    meta = deployment.describe(without_places(config), role, form, origin, digest)
    if form.suffix == ".onnx":
        meta["rapidocr"], meta["notes"] = deployment.rapidocr_parameters(config, form, output)
    if form.suffix != ".stablehlo":
        meta["paddleocr"] = deployment.paddleocr_arguments(config, form, output)
    return meta


def write(path, config, form, meta, arrays, loaded):
    """Writes the file of one form. `loaded` is `{role: (model, variables, report)}`."""
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


def lower(model, variables, shape=None):
    """A network with its weights as serialised StableHLO, versioned by `jax.export`.

    `uint8 [B, H, W, 3] BGR -> float32 [B, H, W]`; B is free, H and W are multiples of 32, or
    B = 1 and H, W = `shape`.
    """
    sizes = (1, *shape) if shape else jax_export.symbolic_shape("b, 32*h, 32*w")
    image = jax.ShapeDtypeStruct((*sizes, 3), np.uint8)
    draw = make_draw(model)

    def draw_alone(image):
        # Opaque, so that the weights are not rearranged at every compilation, which takes long
        # and rounds otherwise.
        return draw(jax.lax.optimization_barrier(variables), image)

    exported = jax_export.export(jax.jit(draw_alone), platforms=PLATFORMS)(image)
    return bytes(exported.serialize())


@functools.cache  # networks of one form share what is compiled
def make_draw(model):
    """`(variables, image) -> maps` of a network in JAX, in full float32 on GPUs as well."""

    def draw(variables, image):
        with jax.default_matmul_precision("highest"):
            return model.apply(variables, image, train=False)["shrink"]

    return jax.jit(draw)


def open_file(path, config, form, role, draw):
    """`image -> maps` of a written file; `draw` is what runs a `.pdparams`."""
    if form.suffix == ".onnx":
        return functools.partial(make_onnx_predict(open_session(path), path), None)
    if form.suffix == ".stablehlo":
        return jax.jit(jax_export.deserialize(bytearray(path.read_bytes())).call)
    return functools.partial(draw, network.load_network(config, str(path), role)[1])


def quantized(path, config, form):
    """Puts the 8-bit form of an ONNX file in its place; `(figures, a line on them)`."""
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


def file_hash(path):
    """SHA-256 of a file, hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
