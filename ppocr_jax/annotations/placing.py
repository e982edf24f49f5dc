"""Puts images into the new folder, under temporary names."""

import concurrent.futures
import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely
from tqdm import tqdm

from ppocr_jax.annotations.copies import write_copy
from ppocr_jax.annotations.frames import find_frame, read_orientation
from ppocr_jax.annotations.records import Findings, LabelledImage, Refusal, Word
from ppocr_jax.data.likeness import fingerprint
from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from ppocr_jax.annotations.preparation import Options


class Placed(NamedTuple):
    """An image in the new folder, still under a temporary name.

    Attributes:
        labelled: the labels it came with.
        words: its words in the upright image at its original size.
        place: where the file is now.
        ending: what its final name has to end with.
        size: (height, width) in the new folder, pixels.
        scale: (x, y), factors from the upright original to the image in the folder.
        turned: whether EXIF rotates it.
        stored: whether its labels were rotated too.
        fingerprint: uint64 `[4]`, see `data.likeness`.
        sha256: of the source.
        inside: whether it was embedded in the label file.
    """

    labelled: LabelledImage
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


def place_all(
    found: Sequence[LabelledImage],
    folder: pathlib.Path,
    options: "Options",
    findings: Findings,
    progress: bool = False,
) -> list[Placed]:
    """Places every image that can be used; the others are refused in `findings`.

    Args:
        found: the images.
        folder: where to write them.
        options: of the preparation.
        findings: takes refusals and remarks.
        progress: show a progress bar.
    """
    work = functools.partial(_place, options=options)
    # Final names are chosen later, in one thread, so that they do not depend on who is first.
    places = [folder / f".{index}" for index in range(len(found))]
    # Threads are enough: OpenCV and file access release the GIL.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            done = pool.map(work, found, places)
            results = list(tqdm(done, total=len(found), unit="image", disable=not progress))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    placed = [result for result in results if isinstance(result, Placed)]
    findings.refusals += [result for result in results if isinstance(result, Refusal)]
    for item in placed:
        _inspect_words(item, findings)
    return placed


def _place(labelled: LabelledImage, place: pathlib.Path, options: "Options") -> Placed | Refusal:
    """Puts one image into the new folder; an unreadable file gives way to the embedded image."""
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


def _place_embedded(labelled: LabelledImage, place: pathlib.Path, options: "Options") -> Placed:
    """As `_place_file`, for the image embedded in a label file."""
    assert labelled.embedded is not None
    written = place.with_name(f"{place.name}.embedded")
    try:
        written.write_bytes(labelled.embedded())
        # Never as a link: the file it would point to is temporary.
        placed = _place_file(labelled, written, place, options._replace(link=False))
        return placed._replace(inside=True)
    except UserError as error:
        reason = str(error).removeprefix(f"{written}: ")
        raise ValueError(f"the embedded image cannot be read: {reason}") from None
    finally:
        written.unlink(missing_ok=True)


def _place_file(
    labelled: LabelledImage, path: pathlib.Path, place: pathlib.Path, options: "Options"
) -> Placed:
    """Copies or links one file. Raises ValueError or UserError: it cannot be used."""
    orientation = read_orientation(path)

    def use(image: np.ndarray) -> Placed:
        size: tuple[int, int] = image.shape[:2]
        frame = find_frame(labelled, size, orientation, options.frame)
        too_large = options.max_side and max(size) > options.max_side
        if options.link and not too_large:
            os.symlink(path.resolve(), place)
            ending = path.suffix
        else:
            smaller = fit(size, options.max_side) if too_large else size
            ending = write_copy(path, image, orientation > 1, place, smaller)
            size = smaller
        return Placed(
            labelled=labelled,
            words=[word._replace(polygon=frame.apply(word.polygon)) for word in labelled.words],
            place=place,
            ending=ending,
            size=size,
            scale=(size[1] / image.shape[1], size[0] / image.shape[0]),
            turned=orientation > 1,
            stored=frame.turn > 1,
            fingerprint=fingerprint(image),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )

    return read_image(path, then=use)


def fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """`(height, width)` of the same shape with a longer side of `longest` pixels."""
    scale = longest / max(size)
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def _inspect_words(item: Placed, findings: Findings) -> None:
    """Counts words that are kept but look wrong, and images that were embedded."""
    if item.inside:
        findings.count("images taken from inside their label file", item.labelled.where)
    # Words are in pixels of the original, so their image is measured there too.
    height, width = (side / scale for side, scale in zip(item.size, item.scale[::-1], strict=True))
    for number, word in enumerate(item.words, 1):
        low, high = word.polygon.min(0), word.polygon.max(0)
        where = f"{item.labelled.where} word {number}"
        if (high <= 0).any() or low[0] >= width or low[1] >= height:
            findings.count(
                "words kept although outside the image; were they labelled on another one?", where
            )
        elif not shapely.Polygon(word.polygon).is_valid:
            findings.count("words kept although their outline crosses itself", where)
