"""The Python API: `Detector` loads weights and finds boxes in images."""

from __future__ import annotations

import concurrent.futures
import difflib
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jaxtyping import Float, Integer

from ppocr_jax import cli, config_files
from ppocr_jax import config as configs
from ppocr_jax.data import arrays
from ppocr_jax.detection import inference
from ppocr_jax.detection.network import Network, open_network
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.detection.shapes import Few, Multiples
from ppocr_jax.errors import UserError
from ppocr_jax.runtime import process

THREADS = 4  # for a list of images: they read, resize and find boxes; the network runs in one
OPTIONS = {  # options of `Detector.load` and the config keys they set
    "dtype": "dtype",
    "precision": "precision",
    "bin_thresh": "postprocess.thresh",
    "box_thresh": "postprocess.box_thresh",
    "unclip_ratio": "postprocess.unclip_ratio",
    "max_candidates": "postprocess.max_candidates",
    "use_dilation": "postprocess.use_dilation",
    "score_mode": "postprocess.score_mode",
    "box_type": "postprocess.box_type",
    "limit_side": "eval.limit_side",
    "limit_type": "eval.limit_type",
    "shared_shapes": "eval.shared_shapes",
}


ImageLike = Integer[np.ndarray, "H W *C"] | str | os.PathLike[str]


class Refused(UserError, ValueError):
    """An invalid argument to a `Detector`, explained in one line."""


class Box(NamedTuple):
    """A detected piece of text.

    Attributes:
        polygon: (x, y) in pixels of the given image; four corners clockwise from the upper left, or
            more points with `box_type="poly"`.
        score: mean of the network's map inside the box, 0 to 1.
    """

    polygon: Float[np.ndarray, "P 2"]
    score: float


class Detector:
    """Detects text in images: the same boxes as `ppocr-jax predict`, in the same order.

        import cv2
        from ppocr_jax import Detector

        detector = Detector.load("runs/mine", box_thresh=0.5)
        image = cv2.imread("photo.jpg")
        for box in detector(image):
            print(f"{box.score:.2f}", box.polygon.tolist())

        for path, boxes in zip(["a.jpg", "b.png"], detector(["a.jpg", "b.png"])):
            print(path, len(boxes))

        boxes = detector(image[:, :, ::-1], channels="rgb")  # for images from Pillow or Matplotlib

    A detector may be called from several threads. One image runs at a time, and each program is
    compiled once. The first image size gets a program of its own; other sizes are padded to at most
    seven larger shapes (plus more for images above 4096 pixels a side). The boxes are the same as
    without padding, up to rounding.

    Attributes:
        role: name of the network.
        report: lines on the config, if any, and a last line on what was loaded.
    """

    def __init__(
        self,
        network: Network,
        config: ml_collections.ConfigDict,
        role: str,
        report: str,
        shapes: Few | Multiples,
    ) -> None:
        """For `load`, which makes the arguments."""
        self.role, self.report = role, report
        self._network, self._shapes = network, shapes
        self._post = config.postprocess.to_dict()
        self._eval = config.eval.copy_and_resolve_references()
        self._eval.batch_size = 1
        self._limits = config.eval.limit_side, config.eval.limit_type
        self._running = threading.Lock()

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        role: str | None = None,
        *,
        config: str | os.PathLike[str] | None = None,
        device: str | jax.Device | None = None,
        dtype: Any = None,
        **options: Any,
    ) -> Detector:
        """Loads a detector.

        Args:
            path: a workdir (its best checkpoint), `<workdir>/latest`, `<workdir>/<step>`, a folder
                written by `extract`, a `.pdparams` or `.onnx` file, or a published name that
                `download` knows.
            role: the network, if there are several; default: the config's `best.role`.
            config: path of a config file. Default: the one saved beside the weights, or else a
                shipped one whose networks fit.
            device: "cpu", "gpu", "gpu:1", or one of `jax.devices()`; default: JAX's first.
                ONNX files run on the CPU.
            dtype: of the network's arithmetic, "float32" or "bfloat16"; default: the config's.
            options: override values of the config: `bin_thresh` (threshold of the map, 0.3 as
                published), `box_thresh` (lowest score of a box, 0.6), `unclip_ratio` (how far boxes
                grow, 1.5), `box_type` ("quad" or "poly"), `limit_side` and `limit_type` (the size
                images are resized to, 736 and "min": at least this for the shorter side),
                `max_candidates`, `use_dilation`, `score_mode`; `precision` (of float32 products on
                GPUs and TPUs, "float32" or "tf32"); `shared_shapes`: instead of a few shapes, round
                sides up to this multiple of 32, or 0 for a program per size.

        Raises:
            ValueError: the weights cannot be loaded, or an invalid value.
            TypeError: an unknown option, or a value of the wrong type.
        """
        process.choose_platform()
        process.keep_programs()
        lines: list[str] = []
        shapes: Few | Multiples
        try:
            path = cli.local(os.fspath(path), "path")
            source = config_files.find_for(path, lines.append) if config is None else config
            values, notes = config_files.open_config(os.fspath(source), found=config is None)
            _refuse_for_onnx(path, "precision", options.get("precision") or "float32")
            apply_options(values, {**options, "dtype": _name_dtype(dtype, path)})
            role = role or values.best.role
            if role not in values.roles:
                raise UserError(f"role={role!r}: the config has {', '.join(values.roles)}")
            network = open_network(values, path, role, pick_device(device, path))
        except UserError as error:
            raise Refused(_own_names(str(error))) from None
        lines += [*notes, f"{role} from {path}: {network.report}"]
        if not isinstance(network.predict, jax.stages.Wrapped):
            shapes = Multiples(0)  # ONNX Runtime compiles nothing, so no padding is needed
        elif options.get("shared_shapes") is not None:
            shapes = Multiples(values.eval.shared_shapes)
        else:
            shapes = Few(values.eval.limit_side, values.eval.limit_type)
        return cls(network, values, role, "\n".join(lines), shapes)

    def __call__(self, images: ImageLike | Sequence[ImageLike], channels: str = "bgr") -> list[Any]:
        """Detects text in an image, or in each image of a list.

        Args:
            images: an array, uint8 (0 to 255) or uint16 (0 to 255, or the full range):
                `[H, W, 3]` BGR as from `cv2.imread`, `[H, W]` or `[H, W, 1]` grey, `[H, W, 4]` with
                alpha (transparent pixels become white, or black if the rest is light); or the path
                of a file, which is rotated by its EXIF entry; or a list or tuple of these. Arrays
                are not modified.
            channels: "bgr", or "rgb" for colour arrays from Pillow or Matplotlib. Ignored for grey
                arrays and files.

        Returns:
            A list of `Box`, empty without text. For a list of images, a list of such lists.

        Raises:
            TypeError: floats and other types, whose range would be a guess.
            ValueError: another shape, an empty image, an unreadable file. For a list the message
                names the image, and there is no result for any of them.
            MemoryError: too large for this machine.
        """
        if channels not in arrays.ORDERS:
            raise ValueError(f"channels={channels!r}: should be {configs.one_of(arrays.ORDERS)}")
        if not isinstance(images, (list, tuple)):
            _require(images, "image")
            return self._find(images, channels, "image")
        named = [(image, f"images[{index}]") for index, image in enumerate(images)]
        for item in named:
            _require(*item)
        pool = concurrent.futures.ThreadPoolExecutor(min(THREADS, len(named)) or 1)
        try:
            futures = [pool.submit(self._find, image, channels, name) for image, name in named]
            return [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)

    def __repr__(self) -> str:
        return f"<Detector: {self.report.splitlines()[-1]}>"

    def _find(self, image, channels, name):
        """The boxes of one image that `_require` has accepted."""
        try:
            [item] = self._run(self._prepare(image, channels, name))
        except UserError as error:
            text = str(error)
            raise Refused(text if name in text or _is_path(image) else f"{name}: {text}") from None
        if item.reason:
            kind = MemoryError if item.reason.endswith(inference.TOO_LARGE) else RuntimeError
            raise kind(item.reason)
        polygons, scores = find_polygons(item.shrink_map, item.size, **self._post)
        return [
            Box(polygon.astype(np.float32), float(score))
            for polygon, score in zip(polygons, scores, strict=True)
        ]

    def _prepare(self, image, channels, name):
        if _is_path(image):
            return inference.prepare(None, os.fspath(image), *self._limits)
        return inference.fit(None, arrays.as_bgr(image, channels), name, *self._limits)

    def _run(self, prepared):
        """Runs the network on one image; a list with one `Predicted`."""
        predict, variables, sharding, _ = self._network
        with self._running:
            return list(
                inference.run_batches(
                    predict, variables, [prepared], self._eval, sharding, self._shapes
                )
            )


def _is_path(image):
    return isinstance(image, (str, os.PathLike))


def _require(image, name):
    """Checks that `image` is a path or an array of an image; `name` is for the message."""
    if _is_path(image):
        return
    try:
        arrays.require_array(image)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} {error}") from None


def apply_options(config: ml_collections.ConfigDict, options: Mapping[str, Any]) -> None:
    """Sets options of `Detector.load` in a config and checks the config.

    Raises:
        TypeError: an unknown option, or a value of the wrong type.
        UserError: an invalid value.
    """
    for name, value in options.items():
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(OPTIONS)}"
            raise TypeError(f"unknown option {name}; {hint}")
        if value is None:
            continue
        *parents, key = OPTIONS[name].split(".")
        section = config[parents[0]] if parents else config
        value = value.item() if isinstance(value, np.generic) else value
        try:
            section[key] = value
        except TypeError:
            kind = type(section[key]).__name__
            raise TypeError(f"{name}={value!r}: should be of type {kind}") from None
    configs.check(config)


def _own_names(text: str) -> str:
    """Replaces config keys in a message by the names of the options."""
    for name, key in OPTIONS.items():
        text = text.replace(f"config.{key}=", f"{name}=")
    return text


def _name_dtype(dtype, path):
    """The config's name of a dtype; None for None. Raises UserError if the file cannot use it."""
    if dtype is None:
        return None
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    _refuse_for_onnx(path, "dtype", name)
    return name


def _refuse_for_onnx(path, option, value):
    if path.endswith(".onnx") and value != "float32":
        raise UserError(f"{option}={value}: an ONNX file runs in its own dtype")


def pick_device(device: str | jax.Device | None, path: str) -> jax.Device | None:
    """The JAX device for a user's choice; None for an ONNX file.

    Raises:
        UserError: there is no such device, or the file does not run on it.
    """
    kind, _, index = str(getattr(device, "platform", device)).partition(":")
    if path.endswith(".onnx"):
        if device is not None and kind != "cpu":
            raise UserError(f"device={device}: an ONNX file runs on the CPU")
        return None
    if device is None:
        return jax.local_devices()[0]
    if isinstance(device, jax.Device):
        return device
    try:
        there = jax.local_devices(backend={"cuda": "gpu"}.get(kind, kind))
        return dict(enumerate(there))[int(index or 0)]  # -1 is no device
    except (RuntimeError, ValueError, KeyError):
        names = ", ".join(f"{d.platform}:{d.id}" for d in jax.local_devices())
        raise UserError(f"device={device}: there is no such device, but {names}") from None
