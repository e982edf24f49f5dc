"""Pictures into the new folder, under names for the time being."""

import concurrent.futures
import functools
import hashlib
import os
import pathlib
from typing import NamedTuple

import numpy as np
import shapely
from tqdm import tqdm

from ppocr_jax.annotations.copies import write_copy
from ppocr_jax.annotations.frames import find_frame, read_orientation
from ppocr_jax.annotations.records import Labelled, Refusal, Word
from ppocr_jax.data.likeness import fingerprint
from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError


class Placed(NamedTuple):
    """A picture that lies in the new folder under a name for the time being.

    Attributes:
        labelled: what it is made from.
        words: its words in the upright picture at its own size.
        place: where it lies; `ending` is what its name has to end with.
        size: (height, width) in the new folder, pixels.
        scale: (x, y), factors from the upright picture to that.
        turned: whether EXIF turns it; `stored` whether its labels were turned along.
        fingerprint: see `data.likeness`.
        sha256: of the source.
        inside: whether it comes out of the label file.
    """

    labelled: Labelled
    words: list[Word]
    place: pathlib.Path
    ending: str
    size: tuple[int, int]
    scale: tuple[float, float]
    turned: bool
    stored: bool
    fingerprint: np.ndarray
    sha256: str
    inside: bool = False


def place_all(found, folder, options, findings, progress=False):
    """`Placed` of every picture that can be taken; the others are refused in `findings`.

    Args:
        found: list of `Labelled`.
        folder: that the pictures are written to.
        options: `preparation.Options`.
        findings: `Findings`.
        progress: show a bar.
    """
    work = functools.partial(_place, options=options)
    places = [folder / f".{index}" for index in range(len(found))]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            done = pool.map(work, found, places)
            results = list(tqdm(done, total=len(found), unit="picture", disable=not progress))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    placed = [result for result in results if isinstance(result, Placed)]
    findings.refusals += [result for result in results if isinstance(result, Refusal)]
    for item in placed:
        _look_at_words(item, findings)
    return placed


def _place(labelled, place, options):
    """Puts one picture into the new folder; `Placed`, or `Refusal`."""
    try:
        if labelled.path:
            try:
                return _place_file(labelled, pathlib.Path(labelled.path), place, options)
            except (ValueError, UserError):
                if labelled.embedded is None:
                    raise
        return _place_embedded(labelled, place, options)
    except (ValueError, UserError) as error:
        reason = str(error).removeprefix(f"{labelled.path}: ")
        return Refusal(labelled.where, labelled.path or labelled.name, reason)


def _place_embedded(labelled, place, options):
    """As `_place_file`, for the picture inside a label file."""
    written = place.with_name(f"{place.name}.embedded")
    try:
        written.write_bytes(labelled.embedded())
        placed = _place_file(labelled, written, place, options._replace(link=False))
        return placed._replace(inside=True)
    except UserError as error:
        reason = str(error).removeprefix(f"{written}: ")
        raise ValueError(f"the picture inside cannot be read: {reason}") from None
    finally:
        written.unlink(missing_ok=True)


def _place_file(labelled, path, place, options):
    orientation = read_orientation(path)

    def use(image):
        size = image.shape[:2]
        frame = find_frame(labelled, size, orientation, options.frame)
        larger = options.max_side and max(size) > options.max_side
        if options.link and not larger:
            os.symlink(path.resolve(), place)
            ending = path.suffix
        else:
            smaller = fit(size, options.max_side) if larger else size
            ending = write_copy(path, image, orientation > 1, place, smaller)
            size = smaller
        return Placed(
            labelled,
            [word._replace(polygon=frame.apply(word.polygon)) for word in labelled.words],
            place,
            ending,
            size,
            (size[1] / image.shape[1], size[0] / image.shape[0]),
            orientation > 1,
            frame.turn > 1,
            fingerprint(image),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )

    return read_image(path, then=use)


def fit(size, longest):
    """`(height, width)` with a longer side of `longest` pixels."""
    scale = longest / max(size)
    return tuple(max(1, round(side * scale)) for side in size)


def _look_at_words(item, findings):
    """Counts words that are kept but cannot be meant as they are, and pictures from inside."""
    if item.inside:
        findings.count("pictures taken from inside their label file", item.labelled.where)
    height, width = (side / scale for side, scale in zip(item.size, item.scale[::-1], strict=True))
    for number, word in enumerate(item.words, 1):
        low, high = word.polygon.min(0), word.polygon.max(0)
        where = f"{item.labelled.where} word {number}"
        if (high <= 0).any() or low[0] >= width or low[1] >= height:
            findings.count("words kept that lie outside of their picture; are they of it?", where)
        elif not shapely.Polygon(word.polygon).is_valid:
            findings.count("words kept whose outline crosses itself", where)
