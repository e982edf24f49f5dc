"""The results of prediction, the three files they are written to, and warnings about them."""

import contextlib
import json
import math
import os
import pathlib
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import IO, Any, NamedTuple

import numpy as np

from ppocr_jax.data.polygons import box_around
from ppocr_jax.data.resize import SMALL_TEXT
from ppocr_jax.files import naming, settle
from ppocr_jax.locks import hold_folder

REDUCED = 2 / 3  # scale of the resize up to which a warning says that small text is lost


class Result(NamedTuple):
    """What was found in one image.

    Attributes:
        path: of the image, as it was given.
        size: (height, width) of the image after its EXIF rotation, pixels.
        network_size: (height, width) of the network's input, pixels.
        polygons: int32 `[P, 2]` each, (x, y) in the image's own pixels.
        scores: float32, one per polygon.
        text_px: height of the image's small text in the network's input, see `small_text`; None if
            there is no text.
        passed_over: number of regions beyond `postprocess.max_candidates`, which were dropped.
        picture: path of the image drawn with its boxes, relative to the output folder, or "".
        reason: why the image could not be processed; "" if it was.
        wanted_size: the `network_size` that the config asks for, see `resize.plan_size`.
        frames: images in the file, of which the first was read.
        crops: paths of the cut out boxes, relative to the output folder, one per polygon; empty
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
    def scale(self) -> float:
        """The factor of the resize: the square root of the ratio of areas."""
        return math.sqrt(math.prod(self.network_size) / max(1, math.prod(self.size)))

    def boxes(self) -> list[dict[str, Any]]:
        """`[{"points": [[x, y], ...], "score": ...}]` in builtin numbers, plus `"crop"` if cut."""
        boxes: list[dict[str, Any]] = [
            {"points": polygon.tolist(), "score": round(float(score), 6)}
            for polygon, score in zip(self.polygons, self.scores, strict=True)
        ]
        for box, crop in zip(boxes, self.crops, strict=False):  # there may be no crops
            box["crop"] = crop
        return boxes

    def json_line(self) -> str:
        """A line of `predictions.jsonl`: one JSON object."""
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

    def paddle_line(self) -> str:
        """A line of `predicts.txt`: `path<TAB>JSON` as PaddleOCR writes it, with scores added."""
        entries = [
            {"transcription": "", "points": box["points"], "score": box["score"]}
            for box in self.boxes()
        ]
        return f"{self.path}\t{json.dumps(entries)}"

    def label_line(self) -> str:
        """A line of `Label.txt`: labels that PPOCRLabel opens for a person to correct."""
        entries = [
            {"transcription": "", "points": box["points"], "difficult": False}
            for box in self.boxes()
        ]
        return f"{label_key(self.path)}\t{json.dumps(entries)}"


def label_key(path: str | os.PathLike[str]) -> str:
    """How PPOCRLabel identifies an image: by the names of its folder and its file alone."""
    return "/".join(pathlib.Path(os.path.abspath(path)).parts[-2:])


def small_text(
    polygons: Sequence[np.ndarray], size: tuple[int, int], network_size: tuple[int, int]
) -> float | None:
    """Height of the small text of an image in the network's input, pixels.

    That is the 10 % quantile of the boxes' shorter sides.

    Args:
        polygons: `[P, 2]` each, in pixels of the image.
        size: (height, width) of the image.
        network_size: (height, width) of the network's input.

    Returns:
        None if there are no polygons.
    """
    scale = np.array(network_size[::-1]) / np.array(size[::-1])
    sides = [box_around((polygon * scale).astype(np.float32))[1] for polygon in polygons]
    return float(np.quantile(sides, 0.1)) if sides else None


class ResultFiles:
    """Writes `predictions.jsonl`, `predicts.txt` and `Label.txt`, one line per result.

    Use it as a context manager. Lines go to `<name>.part` and are flushed one by one; the files get
    their final names at the end. A run that ends early therefore keeps every finished line in the
    `.part` files, and never leaves a file that looks complete but is not.

    Attributes:
        folder: where the files are; locked while they are written.
        paths: of the files.
    """

    FORMS = {
        "predictions.jsonl": Result.json_line,
        "predicts.txt": Result.paddle_line,
        "Label.txt": Result.label_line,
    }

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = pathlib.Path(folder)
        self.paths = [self.folder / name for name in self.FORMS]
        self._files: list[IO[str]] = []
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> "ResultFiles":
        with contextlib.ExitStack() as opened:
            opened.enter_context(hold_folder(self.folder))
            self._files = [
                opened.enter_context(_partial(path).open("w", encoding="utf-8"))
                for path in self.paths
            ]
            self._opened = opened.pop_all()
        return self

    def write(self, result: Result) -> None:
        """Adds a line to each file. Raises UserError: one cannot be written."""
        for path, file, form in zip(self.paths, self._files, self.FORMS.values(), strict=True):
            with naming(path):
                file.write(form(result) + "\n")
                file.flush()

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # After an error, closing may fail for the same reason; the first error is the one to show.
        with contextlib.suppress(OSError) if error else contextlib.nullcontext(), self._opened:
            if error is None:
                for path, file in zip(self.paths, self._files, strict=True):
                    file.close()
                    settle(_partial(path), path)


def _partial(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".part")


class Tally:
    """Counts results, and collects what deserves a warning at the end.

    Attributes:
        images: number of results.
        boxes: number of boxes in all of them.
        unreadable: number of images that could not be processed.
    """

    def __init__(self) -> None:
        self.images = self.boxes = self.unreadable = 0
        self._reduced: list[Result] = []  # smaller than the config asks for
        self._shrunk: list[Result] = []  # reduced a lot, as the config asks for
        self._small: list[tuple[float, str]] = []  # with small text: its height, path
        self._cut: list[tuple[int, str]] = []  # with too many regions: how many, path
        self._pages: list[tuple[int, str]] = []  # with several images in the file: number, path

    def add(self, result: Result) -> None:
        """Counts one result."""
        self.images += 1
        self.boxes += len(result.polygons)
        self.unreadable += bool(result.reason)
        if result.reason:
            return
        # One warning about size per image: the first cause explains the others.
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

    def warnings(self) -> Iterator[str]:
        """Yields a line per kind of warning, each with the worst image."""
        remedy = "use a larger --limit_side, or --tile 960 (with --scale above 1 if necessary)"
        if self._small:
            text_px, path = min(self._small)
            yield (
                f"in {len(self._small)} of {self.images} images, text is less than {SMALL_TEXT} "
                f"pixels high in the network's input, and text that small is often missed (worst: "
                f"{path}, {text_px:.1f} pixels): {remedy}"
            )
        if self._shrunk:
            worst = min(self._shrunk, key=lambda result: result.scale)
            seen, least = _words(worst.network_size), SMALL_TEXT / worst.scale
            yield (
                f"{len(self._shrunk)} of {self.images} images are reduced so much that small text "
                f"may be missed (worst: {worst.path}, {_words(worst.size)} reduced to {seen}, "
                f"which leaves text below {least:.0f} pixels less than {SMALL_TEXT} pixels high): "
                f"{remedy}"
            )
        if self._cut:
            count, path = max(self._cut)
            yield (
                f"{len(self._cut)} of {self.images} images have more regions than are processed "
                f"(worst: {path}, {count} too many): raise --config.postprocess.max_candidates"
            )
        if self._reduced:
            worst = max(self._reduced, key=lambda result: math.prod(result.wanted_size))
            yield (
                f"{len(self._reduced)} of {self.images} images are too thin or too large for the "
                f"size that eval.limit_side asks for and were reduced (worst: {worst.path}, "
                f"{_words(worst.network_size)} instead of {_words(worst.wanted_size)} pixels): "
                "cut them into pieces, or use --tile 960"
            )
        if self._pages:
            count, path = max(self._pages)
            yield (
                f"{len(self._pages)} of {self.images} files contain more than one image, and only "
                f"the first was read (most: {path}, {count}): save the pages as separate files"
            )


def _words(size: tuple[int, int]) -> str:
    """(height, width) as width x height."""
    return f"{size[1]}x{size[0]}"
