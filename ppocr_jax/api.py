"""What Python programs use: weights -> a detector, images -> boxes. See `Detector`."""

import concurrent.futures
import difflib
import os
import threading
from typing import NamedTuple

import jax
import numpy as np

from ppocr_jax import cli, config_files
from ppocr_jax import config as configs
from ppocr_jax.data import arrays
from ppocr_jax.detection import inference
from ppocr_jax.detection.network import open_network
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.detection.shapes import Few, Multiples
from ppocr_jax.errors import UserError
from ppocr_jax.runtime import process

THREADS = 4  # that read, resize and find boxes when a list is given
OPTIONS = {  # of `Detector.load`: the key of the config that each is short for
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


class Refused(UserError, ValueError):
    """What a `Detector` does not take, said in one line."""


class Box(NamedTuple):
    """Text that was found.

    Attributes:
        polygon: float32 `[P, 2]`, (x, y) in pixels of the image that was given; four corners
            clockwise from the upper left, or more with `box_type="poly"`.
        score: mean of the network's map inside, 0 to 1.
    """

    polygon: np.ndarray
    score: float


class Detector:
    """Finds text in images: the boxes that `ppocr-jax predict` finds, in the same order.

        import cv2
        from ppocr_jax import Detector

        detector = Detector.load("runs/mine", box_thresh=0.5)
        image = cv2.imread("photo.jpg")
        for box in detector(image):
            print(f"{box.score:.2f}", box.polygon.tolist())

        for path, boxes in zip(["a.jpg", "b.png"], detector(["a.jpg", "b.png"])):
            print(path, len(boxes))

        boxes = detector(image[:, :, ::-1], channels="rgb")  # as Pillow and Matplotlib hold it

    A `detector` may be called from any number of threads. One image runs at a time, and its
    program is compiled once however many threads ask for it at the same time. The first size of
    image runs as it is, others share at most seven larger shapes, beside those of photos of more
    than 4096 pixels a side: with the boxes that they have alone, up to rounding.

    Attributes:
        role: name of the network.
        report: one line on what was loaded, after those on the config where there are some.
    """

    def __init__(self, network, config, role, report, shapes):
        """Made by `load`."""
        self.role, self.report = role, report
        self._network, self._shapes = network, shapes
        self._post = config.postprocess.to_dict()
        self._eval = config.eval.copy_and_resolve_references()
        self._eval.batch_size = 1
        self._limits = config.eval.limit_side, config.eval.limit_type
        self._running = threading.Lock()

    @classmethod
    def load(cls, path, role=None, *, config=None, device=None, dtype=None, **options):
        """A detector of the weights at a path.

        Args:
            path: a workdir (its best state), `<workdir>/latest`, `<workdir>/<step>`, a folder
                that `extract` wrote, a `.pdparams` or `.onnx` file, or a name that `download`
                knows.
            role: which network, where there are several; default: the config's `best.role`.
            config: path of a config file. Default: the one saved beside the weights, or else the
                one of the program whose networks have their shapes.
            device: "cpu", "gpu", "gpu:1", or one of `jax.devices()`; default: JAX's first.
                ONNX files run on the CPU.
            dtype: of the network's arithmetic, "float32" or "bfloat16"; default: the config's.
            options: in the place of the config's values: `bin_thresh` (map -> bitmap, 0.3 as
                published), `box_thresh` (lowest score of a box, 0.6), `unclip_ratio` (how far
                boxes grow, 1.5), `box_type` ("quad" or "poly"), `limit_side` and `limit_type`
                (the size at which images are seen, 736 and "min": the shorter side at least),
                `max_candidates`, `use_dilation`, `score_mode`; `precision` (of float32 products on
                GPUs and TPUs, "float32" or "tf32"); `shared_shapes`: instead of few
                shapes, sides rounded up to this multiple of 32, or 0 for a program per size.

        Raises:
            ValueError: what is there cannot be loaded, or a value is not possible.
            TypeError: an unknown option, or a value of another type.
        """
        process.choose_platform()
        process.keep_programs()
        lines = []
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
            shapes = Multiples(0)  # nothing is compiled
        elif options.get("shared_shapes") is not None:
            shapes = Multiples(values.eval.shared_shapes)
        else:
            shapes = Few(values.eval.limit_side, values.eval.limit_type)
        return cls(network, values, role, "\n".join(lines), shapes)

    def __call__(self, images, channels="bgr"):
        """Text in an image, or in each of a list.

        Args:
            images: an array, uint8 or uint16 with values of 0 to 255 or of all bits in use:
                `[H, W, 3]` BGR as `cv2.imread` gives it, `[H, W]` or `[H, W, 1]` grey,
                `[H, W, 4]` with opacity (what is transparent is laid over white, or over black
                where the rest is light); or the path of a file, which is turned as its EXIF entry
                says; or a list or tuple of these. Nothing is changed in an array.
            channels: "bgr", or "rgb" for arrays whose red comes first, as Pillow's and
                Matplotlib's do. Has no meaning for grey ones and files.

        Returns:
            A list of `Box`, empty without text; of lists for a list, empty for an empty one.

        Raises:
            TypeError: floats and other types; nothing is guessed of their range.
            ValueError: another shape, an empty image, a file that cannot be read. Of a list the
                message names the image, and none has a result.
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

    def __repr__(self):
        return f"<Detector: {self.report.splitlines()[-1]}>"

    def _find(self, image, channels, name):
        """The boxes of one image that `_require` has let through."""
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
        """`Predicted` of one image, in a list."""
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
    """Refuses what is neither a path nor an array of a picture, by its name."""
    if _is_path(image):
        return
    try:
        arrays.require_array(image)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} {error}") from None


def apply_options(config, options):
    """Puts options of `Detector.load` into a config and checks all of it.

    Raises:
        TypeError: an unknown option, or a value of another type.
        UserError: a value that is not possible.
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


def _own_names(text):
    """A message with the names of options in the place of the config's keys."""
    for name, key in OPTIONS.items():
        text = text.replace(f"config.{key}=", f"{name}=")
    return text


def _name_dtype(dtype, path):
    """A number type as the config names it; None for none. Raises UserError: not for this file."""
    if dtype is None:
        return None
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    _refuse_for_onnx(path, "dtype", name)
    return name


def _refuse_for_onnx(path, option, value):
    if path.endswith(".onnx") and value != "float32":
        raise UserError(f"{option}={value}: an ONNX file computes in the type that it holds")


def pick_device(device, path):
    """The device of JAX that a user names; None for an ONNX file.

    Raises:
        UserError: there is none of that name, or the file does not run there.
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
        return there[int(index or 0)]
    except (RuntimeError, ValueError, IndexError):
        names = ", ".join(f"{d.platform}:{d.id}" for d in jax.local_devices())
        raise UserError(f"device={device}: there is no such device, but {names}") from None
