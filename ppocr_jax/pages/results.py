"""What prediction finds, and the three files that it is written to."""

import contextlib
import json
import math
import os
import pathlib
from typing import NamedTuple

import numpy as np

from ppocr_jax.data.polygons import box_around
from ppocr_jax.data.resize import SMALL_TEXT
from ppocr_jax.files import naming, settle
from ppocr_jax.locks import hold_folder

REDUCED = 2 / 3  # network's size to picture's, up to which small text is said to be lost


class Result(NamedTuple):
    """What was found in one image.

    Attributes:
        path: of the image, as it was given.
        size: (height, width) of the image, pixels, turned as its EXIF entry says.
        network_size: (height, width) at which the network saw it.
        polygons: int32 `[P, 2]` each, (x, y) in the image's own pixels.
        scores: float32, one per polygon.
        text_px: height of its small text at the network's size, see `small_text`; None
            where there is no text.
        passed_over: regions beyond `postprocess.max_candidates`, which were not looked at.
        picture: of the image with its boxes, relative to the output folder; "" without one.
        reason: why nothing was looked for; "" when it was.
        wanted_size: `network_size` as the config asks for it, see `resize.plan_size`.
        frames: pictures in the file, of which the first was read.
        crops: files with the boxes cut out, relative to the output folder, one per polygon; empty
            without `--crops`.
    """

    path: str
    size: tuple[int, int] = (0, 0)
    network_size: tuple[int, int] = (0, 0)
    polygons: list[np.ndarray] = []
    scores: np.ndarray = np.zeros(0, np.float32)
    text_px: float | None = None
    passed_over: int = 0
    picture: str = ""
    reason: str = ""
    wanted_size: tuple[int, int] = (0, 0)
    frames: int = 1
    crops: list[str] = []

    @property
    def scale(self):
        """The network's size to the picture's, by the side of a square of the same area."""
        return math.sqrt(math.prod(self.network_size) / max(1, math.prod(self.size)))

    def boxes(self):
        """`[{"points": [[x, y], ...], "score": ...}]` of builtin numbers, `"crop"` if cut out."""
        boxes = [
            {"points": polygon.tolist(), "score": round(float(score), 6)}
            for polygon, score in zip(self.polygons, self.scores, strict=True)
        ]
        for box, crop in zip(boxes, self.crops, strict=False):
            box["crop"] = crop
        return boxes

    def json_line(self):
        """One JSON object."""
        text_px = None if self.text_px is None else round(self.text_px, 2)
        record = {
            "path": self.path,
            "width": self.size[1],
            "height": self.size[0],
            "network_width": self.network_size[1],
            "network_height": self.network_size[0],
            "text_px": text_px,
            "picture": self.picture or None,
            "boxes": self.boxes(),
        }
        return json.dumps(record)

    def paddle_line(self):
        """`path<TAB>JSON`, as PaddleOCR writes what it detects, with the score added."""
        entries = [
            {"transcription": "", "points": box["points"], "score": box["score"]}
            for box in self.boxes()
        ]
        return f"{self.path}\t{json.dumps(entries)}"

    def label_line(self):
        """As PPOCRLabel keeps labels in `Label.txt`, for a person to correct: see `label_key`."""
        entries = [
            {"transcription": "", "points": box["points"], "difficult": False}
            for box in self.boxes()
        ]
        return f"{label_key(self.path)}\t{json.dumps(entries)}"


def label_key(path):
    """What PPOCRLabel knows an image by: its folder's name and its own, and no more."""
    return "/".join(pathlib.Path(os.path.abspath(path)).parts[-2:])


def small_text(polygons, size, network_size):
    """Height of the small text of an image, in pixels at the network's size.

    It is what a tenth of the shorter sides stay below; None for no polygon.
    """
    scale = np.array(network_size[::-1]) / np.array(size[::-1])
    sides = [box_around((polygon * scale).astype(np.float32))[1] for polygon in polygons]
    return float(np.quantile(sides, 0.1)) if sides else None


class ResultFiles:
    """`predictions.jsonl`, `predicts.txt` and `Label.txt`, a line per result in the order given.

    Each line is flushed to `<name>.part`, and the files get their names when the last one is
    written. A run that ends early therefore leaves every finished line under `.part`, and no file
    that looks whole and is not. Use as a context manager.
    """

    FORMS = {
        "predictions.jsonl": Result.json_line,
        "predicts.txt": Result.paddle_line,
        "Label.txt": Result.label_line,
    }

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.paths = [self.folder / name for name in self.FORMS]
        self._files, self._opened = [], contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as opened:
            opened.enter_context(hold_folder(self.folder))
            self._files = [
                opened.enter_context(_partial(path).open("w", encoding="utf-8"))
                for path in self.paths
            ]
            self._opened = opened.pop_all()
        return self

    def write(self, result):
        for path, file, form in zip(self.paths, self._files, self.FORMS.values(), strict=True):
            with naming(path):
                file.write(form(result) + "\n")
                file.flush()

    def __exit__(self, error, *_):
        with contextlib.suppress(OSError) if error else contextlib.nullcontext(), self._opened:
            if error is None:
                for path, file in zip(self.paths, self._files, strict=True):
                    file.close()
                    settle(_partial(path), path)


def _partial(path):
    return path.with_name(path.name + ".part")


class Tally:
    """Counts over all results, and what to say of them at the end."""

    def __init__(self):
        self.images = self.boxes = self.unreadable = 0
        self._small, self._shrunk, self._cut, self._reduced, self._pages = [], [], [], [], []

    def add(self, result):
        self.images += 1
        self.boxes += len(result.polygons)
        self.unreadable += bool(result.reason)
        if result.reason:
            return
        if math.prod(result.network_size) < math.prod(result.wanted_size):
            self._reduced.append(result)
        elif result.scale <= REDUCED:
            self._shrunk.append(result)
        elif result.text_px is not None and result.text_px < SMALL_TEXT:
            self._small.append((result.text_px, result.path))
        if result.passed_over:
            self._cut.append((result.passed_over, result.path))
        if result.frames > 1:
            self._pages.append((result.frames, result.path))

    def warnings(self):
        """Lines of text."""
        remedy = "take a larger --limit_side, or --tile 960 (with --scale above 1 if need be)"
        if self._small:
            text_px, path = min(self._small)
            yield (
                f"in {len(self._small)} of {self.images} images text is less than {SMALL_TEXT} "
                f"pixels high at the network's size, and smaller text is lost (the worst: {path}, "
                f"{text_px:.1f} pixels): {remedy}"
            )
        if self._shrunk:
            worst = min(self._shrunk, key=lambda result: result.scale)
            seen, least = _words(worst.network_size), SMALL_TEXT / worst.scale
            yield (
                f"{len(self._shrunk)} of {self.images} images are reduced so much that small text "
                f"is lost, whatever was found (the most: {worst.path}, {_words(worst.size)} seen "
                f"as {seen}, where text lower than {least:.0f} pixels comes out lower than "
                f"{SMALL_TEXT}): {remedy}"
            )
        if self._cut:
            count, path = max(self._cut)
            yield (
                f"{len(self._cut)} of {self.images} images have more regions than are looked at "
                f"(the worst: {path}, by {count}): raise --config.postprocess.max_candidates"
            )
        if self._reduced:
            worst = max(self._reduced, key=lambda result: math.prod(result.wanted_size))
            yield (
                f"{len(self._reduced)} of {self.images} images are too thin or too large for the "
                f"size that eval.limit_side asks for and were seen smaller (the worst: "
                f"{worst.path}, {_words(worst.network_size)} instead of "
                f"{_words(worst.wanted_size)} pixels): cut them into pieces, or take --tile 960"
            )
        if self._pages:
            count, path = max(self._pages)
            yield (
                f"{len(self._pages)} of {self.images} files hold more than one picture, and only "
                f"the first was read (the most: {path}, {count}): save the pages as files"
            )


def _words(size):
    """(height, width) as width x height."""
    return f"{size[1]}x{size[0]}"
