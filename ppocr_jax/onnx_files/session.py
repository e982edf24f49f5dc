"""ONNX files at work: onnxruntime behind the signature of the JAX networks, and what they say.

A file that `export` wrote says in its metadata how it wants to be used; one from elsewhere is
taken for what PaddleOCR publishes: normalised input, any size.
"""

import functools
import re
import threading

import numpy as np
import onnxruntime

from ppocr_jax.errors import UserError, shown
from ppocr_jax.models.pixels import normalise
from ppocr_jax.onnx_files import door

MOST_MEMORY = 4 << 30  # bytes for the maps of a pass; the widest detector takes 0.3 GiB per MP
SECONDS, SECONDS_PER_MP = 15.0, 200.0  # for a pass; the widest takes 20 s per MP on 2 slow cores
DETECTOR = "is this a text detector?"


class Session(onnxruntime.InferenceSession):
    """An onnxruntime session on the CPU, of bounded memory.

    Attributes:
        metadata: what `export` wrote into the file, `{key: value}`; {} for one from elsewhere.
        sealed: whether the file holds a checksum of itself, which has been compared.
    """

    def __init__(self, path):
        model = door.load_onnx(path)
        self.metadata = door.metadata_of(model, path)
        self.sealed = any(prop.key == door.SEAL for prop in model.metadata_props)
        _bound_memory()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what fails is said here
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.add_session_config_entry("session.load_model_format", "ONNX")
        super().__init__(
            # What was looked at is what runs, and bytes have no folder to find other files in.
            model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,
        )


@functools.cache
def _bound_memory():
    """Sessions of this process share an arena that refuses to grow beyond MOST_MEMORY."""
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = onnxruntime.OrtArenaCfg({"max_mem": MOST_MEMORY})
    onnxruntime.create_and_register_allocator(place, arena)


def open_session(path):
    """A `Session` of a text detector.

    Raises:
        UserError: no such file, no ONNX file, one that `door` refuses, or not one image input and
            one map.
    """
    try:
        session = Session(path)
    except UserError:
        raise
    except Exception as error:  # onnxruntime's exceptions have no class in common
        raise UserError(f"{path}: onnxruntime cannot load it: {_reason(error)}") from None
    _check_input(path, session.get_inputs())
    _check_output(path, session.get_outputs())
    return session


def _check_input(path, inputs):
    if len(inputs) != 1:
        names = ", ".join(value.name[:40] for value in inputs[:5]) or "none"
        raise UserError(f"{path}: has {len(inputs)} inputs ({names}), not one image; {DETECTOR}")
    shape = inputs[0].shape or []
    if len(shape) != 4 or _fixed(shape[1]) not in (3, None):
        raise UserError(f"{path}: takes {_show(shape)}, no image [N, 3, H, W]; {DETECTOR}")
    if inputs[0].type != "tensor(float)":
        raise UserError(f"{path}: takes {inputs[0].type}, not float32; convert it to float32")


def _check_output(path, outputs):
    """The first output has to be a map; what others there are is not looked at."""
    if not outputs:
        raise UserError(f"{path}: has no output; {DETECTOR}")
    shape = outputs[0].shape or []  # empty: left open
    kinds = {2: "a classifier, such as that of text directions", 3: "a text recogniser"}
    if shape and (len(shape) != 4 or _fixed(shape[1]) not in (1, None)):
        what = kinds.get(len(shape))
        what = f"it looks like {what}, not a text detector" if what else DETECTOR
        raise UserError(f"{path}: gives {_show(shape)}, not a map [N, 1, H, W]; {what}")
    if outputs[0].type != "tensor(float)":
        raise UserError(f"{path}: gives {outputs[0].type}, not float32; convert it to float32")


def _fixed(side):
    """A length that a file prescribes, or None: open ones have a name, or are not positive."""
    return side if isinstance(side, int) and side > 0 else None


def _show(shape):
    return f"[{', '.join(str(_fixed(side) or '?') for side in shape)}]"


def _reason(error):
    """What onnxruntime says, without its numbers and the places in its source."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", lines[0])
    said = re.sub(r"^/onnxruntime_src/\S+ .*\) ", "", said.rpartition("Status Message: ")[2])
    return said.split("failed:")[-1].strip()[:200]


def read_metadata(path):
    """What `export` wrote into a file. Raises UserError when there is none, see `door`."""
    return door.metadata_of(door.load_onnx(path), path)


def make_onnx_predict(session, name):
    """Returns `(variables, image, area=None) -> maps`, as `network.make_predict` does.

    `variables` is not looked at: the file holds its own. `image` is uint8 `[B, H, W, 3]` BGR; the
    maps are float32 `[B, H, W]`, NumPy. With an `area` each image is run alone at its own size,
    and its map is 0 outside. `name` is that of the file, for messages. What `predict` raises is a
    UserError: a size that the file is not made for, or a file that gives no map.
    """
    [source] = session.get_inputs()
    included = session.metadata.get("normalisation", {}).get("included", False)
    batch, _, *sides = map(_fixed, source.shape)

    def run(image):
        size = list(image.shape[1:3])
        if any(want not in (None, side) for want, side in zip(sides, size, strict=True)):
            raise UserError(
                f"{name}: made for {sides[0] or '?'}x{sides[1] or '?'} pixels, and an image is "
                f"{size[0]}x{size[1]} after resizing"
            )
        values = make_values(image, included)
        step = batch or len(values)
        parts = [values[i : i + step] for i in range(0, len(values), step)]
        return np.concatenate([_run(session, name, source.name, part) for part in parts])

    def predict(variables, image, area=None):
        del variables
        image = np.asarray(image)
        if area is None:
            return run(image)
        maps = np.zeros(image.shape[:3], np.float32)
        for index, (height, width) in enumerate(np.asarray(area)):
            alone = image[index : index + 1, :height, :width]
            maps[index : index + 1, :height, :width] = run(alone)
        return maps

    return predict


def _run(session, name, source, values):
    """Maps `[B, H, W]` of one pass, checked: nothing is known of what a file does."""
    batch, _, height, width = values.shape
    image = f"{batch} x {height}x{width} pixels"
    limit = SECONDS + SECONDS_PER_MP * batch * height * width / 1e6
    options = onnxruntime.RunOptions()
    timer = threading.Timer(limit, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        maps = session.run([session.get_outputs()[0].name], {source: values}, options)[0]
    except Exception as error:  # onnxruntime's exceptions have no class in common
        reason = _reason(error)
        if "bfc_arena" in str(error) or isinstance(error, MemoryError):
            reason = f"it asks for more than the {MOST_MEMORY >> 30} GiB that a pass may take"
        elif options.terminate:
            reason = f"it takes more than {limit:.0f} s"
        raise UserError(f"{name}: cannot be run on {image}: {reason}") from None
    finally:
        timer.cancel()
    shape = getattr(maps, "shape", ())
    if shape != (batch, 1, height, width) or maps.dtype != np.float32:
        gives = f"gives {_show(shape)}" if shape else "gives no array"
        raise UserError(f"{name}: {gives} for {image}, not a map [N, 1, H, W]; {DETECTOR}")
    if not np.isfinite(maps).all():
        raise UserError(f"{name}: its map of {image} holds values that are not finite: damaged?")
    return maps[:, 0]


def make_values(image, included):
    """What a file is fed: float32 `[B, 3, H, W]` of uint8 `[B, H, W, 3]` BGR, raw if `included`."""
    values = image.astype(np.float32) if included else normalise(image)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def describe_session(session):
    """One line on a file: what tells it from another."""
    meta, runtime = session.metadata, f"onnxruntime {onnxruntime.__version__}"
    if "weights" not in meta:
        return f"{runtime}, a file from elsewhere"
    weights = meta["weights"]
    line = (
        f"{runtime}, {meta.get('role')} exported from {weights.get('from')}, "
        f"hash {weights.get('hash')}"
    )
    return shown(line if session.sealed else f"{line}, no checksum inside (an older export)")
