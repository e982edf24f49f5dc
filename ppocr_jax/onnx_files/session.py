"""Runs ONNX files with onnxruntime, behind the same signature as the JAX networks.

A file written by `export` says in its metadata how to use it. A file of another program is treated
like PaddleOCR's published ones: normalised input of any size. Nothing is known of what such a file
does, so memory and time are limited and its output is checked.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime

from ppocr_jax.errors import UserError, shown
from ppocr_jax.models.pixels import normalise
from ppocr_jax.onnx_files import door

# Limits of a forward pass, well above what the widest detector takes: 0.3 GiB per megapixel, and
# 20 s per megapixel on 2 slow cores.
MOST_MEMORY = 4 << 30  # bytes
SECONDS, SECONDS_PER_MP = 15.0, 200.0
DETECTOR = "is this a text detector?"

Predict = Callable[..., np.ndarray]  # see `make_onnx_predict`


class Session(onnxruntime.InferenceSession):
    """An onnxruntime session on the CPU, with limited memory.

    Args:
        path: of the file.

    Attributes:
        metadata: what `export` wrote into the file, `{key: value}`; {} for other files.
        sealed: whether the file holds a checksum, which has been compared.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        model = door.load_onnx(path)
        self.metadata = door.metadata_of(model, path)
        self.sealed = any(prop.key == door.SEAL for prop in model.metadata_props)
        _bound_memory()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are reported by us, in one line
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.add_session_config_entry("session.load_model_format", "ONNX")
        super().__init__(
            # As bytes, not by path: what was checked is what runs, and without a folder it cannot
            # read other files.
            model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,
        )


@functools.cache
def _bound_memory() -> None:
    """Gives all sessions of this process one arena that does not grow beyond MOST_MEMORY."""
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = onnxruntime.OrtArenaCfg({"max_mem": MOST_MEMORY})
    onnxruntime.create_and_register_allocator(place, arena)


def open_session(path: str | os.PathLike[str]) -> Session:
    """Opens a text detector.

    Raises:
        UserError: there is no such file; it is not an ONNX file; `door` refuses it; or its input
            is not one image, or its output not a map.
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


def _check_input(path: str | os.PathLike[str], inputs: Sequence[Any]) -> None:
    if len(inputs) != 1:
        names = ", ".join(value.name[:40] for value in inputs[:5]) or "none"
        raise UserError(f"{path}: has {len(inputs)} inputs ({names}), not one image; {DETECTOR}")
    shape = inputs[0].shape or []
    if len(shape) != 4 or _fixed(shape[1]) not in (3, None):
        raise UserError(f"{path}: takes {_show(shape)}, not an image [N, 3, H, W]; {DETECTOR}")
    if inputs[0].type != "tensor(float)":
        raise UserError(f"{path}: takes {inputs[0].type}, not float32; convert it to float32")


def _check_output(path: str | os.PathLike[str], outputs: Sequence[Any]) -> None:
    """The first output has to be a map; further ones are not used."""
    if not outputs:
        raise UserError(f"{path}: has no output; {DETECTOR}")
    shape = outputs[0].shape or []  # empty where the file does not say
    kinds = {2: "a classifier, such as that of text directions", 3: "a text recogniser"}
    if shape and (len(shape) != 4 or _fixed(shape[1]) not in (1, None)):
        what = kinds.get(len(shape))
        what = f"it looks like {what}, not a text detector" if what else DETECTOR
        raise UserError(f"{path}: gives {_show(shape)}, not a map [N, 1, H, W]; {what}")
    if outputs[0].type != "tensor(float)":
        raise UserError(f"{path}: gives {outputs[0].type}, not float32; convert it to float32")


def _fixed(side: Any) -> int | None:
    """A length fixed by the file, or None: free lengths have a name or are not positive."""
    return side if isinstance(side, int) and side > 0 else None


def _show(shape: Sequence[Any]) -> str:
    return f"[{', '.join(str(_fixed(side) or '?') for side in shape)}]"


def _reason(error: BaseException) -> str:
    """The message of onnxruntime without its error codes and source files."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", lines[0])
    said = re.sub(r"^/onnxruntime_src/\S+ .*\) ", "", said.rpartition("Status Message: ")[2])
    return said.split("failed:")[-1].strip()[:200]


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata that `export` wrote into a file; {} for other files.

    Raises:
        UserError: the file cannot be read, see `door`.
    """
    return door.metadata_of(door.load_onnx(path), path)


def make_onnx_predict(session: Session, name: str | os.PathLike[str]) -> Predict:
    """Makes a function that runs a file as `network.make_predict` runs a JAX network.

    Args:
        session: of the file.
        name: of the file, for messages.

    Returns:
        `predict(variables, image, area=None) -> maps`. `variables` is not used, since the file
        holds its own. `image` is uint8 `[B, H, W, 3]` BGR, the maps are float32 `[B, H, W]`. With
        an `area` int32 `[B, 2]`, each image is run alone at this height and width, and its map is
        0 outside. `predict` raises UserError where the file does not take this size, exceeds its
        limits, or does not give a map.
    """
    [source] = session.get_inputs()
    included = session.metadata.get("normalisation", {}).get("included", False)
    batch, _, *sides = map(_fixed, source.shape)

    def run(image: np.ndarray) -> np.ndarray:
        size = list(image.shape[1:3])
        if any(want not in (None, side) for want, side in zip(sides, size, strict=True)):
            raise UserError(
                f"{name}: made for {sides[0] or '?'}x{sides[1] or '?'} pixels, but an image has "
                f"{size[0]}x{size[1]} after resizing"
            )
        values = make_values(image, included)
        step = batch or len(values)  # a file may be made for one batch size, mostly 1
        parts = [values[i : i + step] for i in range(0, len(values), step)]
        return np.concatenate([_run(session, name, source.name, part) for part in parts])

    def predict(variables: Any, image: Any, area: Any = None) -> np.ndarray:
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


def _run(
    session: Session, name: str | os.PathLike[str], source: str, values: np.ndarray
) -> np.ndarray:
    """One forward pass, within the limits and with its output checked.

    Args:
        session: of the file.
        name: of the file, for messages.
        source: name of its input.
        values: float32 `[B, 3, H, W]`.

    Returns:
        Maps, float32 `[B, H, W]`.
    """
    batch, _, height, width = values.shape
    image = f"{batch} x {height}x{width} pixels"
    limit = SECONDS + SECONDS_PER_MP * batch * height * width / 1e6
    options = onnxruntime.RunOptions()
    # A pass cannot be ended by the thread that waits for it: a timer's thread does it.
    timer = threading.Timer(limit, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        maps = session.run([session.get_outputs()[0].name], {source: values}, options)[0]
    except Exception as error:  # onnxruntime's exceptions have no class in common
        reason = _reason(error)
        if "bfc_arena" in str(error) or isinstance(error, MemoryError):
            reason = f"it needs more than the {MOST_MEMORY >> 30} GiB that a pass may take"
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


def make_values(image: np.ndarray, included: bool) -> np.ndarray:
    """The input of a file from images.

    Args:
        image: uint8 `[B, H, W, 3]` BGR.
        included: whether the file normalises its input itself, so that it gets raw pixels.

    Returns:
        float32 `[B, 3, H, W]` BGR, in C order.
    """
    values = image.astype(np.float32) if included else normalise(image)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def describe_session(session: Session) -> str:
    """One line on a file: where its weights come from, and their hash."""
    meta, runtime = session.metadata, f"onnxruntime {onnxruntime.__version__}"
    if "weights" not in meta:
        return f"{runtime}, a file of another program"
    weights = meta["weights"]
    line = (
        f"{runtime}, {meta.get('role')} exported from {weights.get('from')}, "
        f"hash {weights.get('hash')}"
    )
    return shown(line if session.sealed else f"{line}, no checksum inside (an older export)")
