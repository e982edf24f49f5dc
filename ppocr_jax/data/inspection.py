"""Checks the labels and images of a config's data: problems, remarks, and hints at their cause."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ppocr_jax.data import remarks
from ppocr_jax.data.frames import Extents, guess_frame
from ppocr_jax.data.image_files import exists
from ppocr_jax.data.label_index import LabelIndex, Table, count_words, join
from ppocr_jax.data.labels import NO_PICTURE, scan_labels, split_sources
from ppocr_jax.data.looked_at import Picture, Pictures, look_at_images
from ppocr_jax.data.polygon_faults import find_doubtful, find_fault
from ppocr_jax.data.roots import guess_root
from ppocr_jax.data.sample import Problem, Sample, place_of
from ppocr_jax.data.splits import prepare_root, require_images
from ppocr_jax.data.targets import MOST_BORDER_WORK, require_drawable
from ppocr_jax.data.training_split import require_learnable
from ppocr_jax.errors import UserError, counted

if TYPE_CHECKING:
    from jaxtyping import Bool
    from ml_collections import ConfigDict

SPLITS = ("train", "val")

# Images met so far: {digest: (split, samples, number in samples)}.
Seen = dict[bytes, tuple[str, Sequence[Sample], int]]


def check(config: ConfigDict, progress: bool = False) -> tuple[list[Problem], list[str]]:
    """Checks both splits: everything that training would refuse, and more.

    Args:
        config: a whole config.
        progress: show a progress bar.

    Returns:
        `(problems, summary)`. The summary is lines of text: counts, remarks that begin with
        `note: `, and guesses at the cause of problems that begin with `hint: `.

    Raises:
        UserError: a label file is missing or empty.
    """
    prepare_root(config)
    problems: list[Problem] = []
    summary: list[str] = []
    hints: list[str] = []
    seen: Seen = {}
    training: Pictures | None = None
    for split in SPLITS:
        parts, found, notes = scan_split(config, split)
        pictures = look_at_images(join(parts), progress)
        # `_guess` uses the problems of the label files alone, so it comes before the others.
        hints += _guess(config, split, pictures, found)
        found += look_at_labels(pictures, config.data.targets.shrink_ratio, progress)
        found += _find_duplicates(split, pictures, seen)
        found += find_refusals(config, split, parts, found)
        problems += found
        summary += [*notes, describe(split, pictures)]
        summary += remarks.find(config, split, pictures, training)
        training = training or pictures.usable()  # the training split is the first one
    return problems, [*summary, *(f"hint: {hint}" for hint in hints)]


def scan_split(config: ConfigDict, split: str) -> tuple[list[LabelIndex], list[Problem], list[str]]:
    """`(samples of each source, problems, notes)` of the label files of a split."""
    parts: list[LabelIndex] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for source in split_sources(config.data[split]):
        samples, found, said = scan_labels(source, config.data.root)
        parts.append(samples)
        problems += found
        notes += said
    return parts, problems, notes


def look_at_labels(
    pictures: Pictures, shrink_ratio: float, progress: bool = False
) -> list[Problem]:
    """Problems of images that cannot be used and of faulty polygons.

    Args:
        pictures: the images of a split.
        shrink_ratio: `data.targets.shrink_ratio`.
        progress: show a progress bar.
    """
    found: list[Problem] = []
    bar = tqdm(total=len(pictures), desc="labels", unit="image", delay=1, disable=not progress)
    with bar:
        for first, table, sizes, _ in pictures.tables():
            doubtful = _find_doubtful(table, sizes)
            for number in (first + np.flatnonzero(doubtful)).tolist():
                found += _look_at_label(pictures[number], shrink_ratio)
            bar.update(len(table.paths))
    return found


def _find_doubtful(table: Table, sizes: np.ndarray) -> Bool[np.ndarray, " S"]:
    """Which images of a table may have a problem: a fast pass over many images."""
    owner = np.repeat(np.arange(len(table.paths)), table.polygons)
    faulty = find_doubtful(table.counts, table.points, sizes[owner])
    pieces = np.bincount(owner, (1 + table.counts) * ~table.ignore, len(table.paths))
    many = np.bincount(owner, faulty, len(table.paths)) > 0
    return many | (pieces > MOST_BORDER_WORK) | ~sizes.any(1)


def _look_at_label(picture: Picture, shrink_ratio: float) -> list[Problem]:
    """The problems of one image."""
    sample, place = picture.sample, (picture.sample.source, picture.sample.line)
    found = []
    if picture.reason:
        kind = picture.reason.replace(sample.image_path, "")
        found.append(Problem(*place, picture.reason, kind=kind))
    if picture.size:
        try:
            require_drawable(sample.polygons, sample.ignore, *picture.size, shrink_ratio)
        except UserError as error:
            found.append(Problem(*place, str(error)))
    for index, polygon in enumerate(sample.polygons, 1):
        fault = find_fault(polygon, picture.size)
        if fault:
            found.append(Problem(*place, f"polygon {index} {fault.reason}", kind=fault.kind))
    return found


def _find_duplicates(split: str, pictures: Pictures, seen: Seen) -> list[Problem]:
    """Images whose files have the same content as an earlier one. Updates `seen`."""
    found: list[Problem] = []
    for number in np.flatnonzero(pictures.sizes.any(1)).tolist():
        digest = pictures.digests[number].tobytes()
        if digest not in seen:
            seen[digest] = split, pictures.samples, number
            continue
        sample, (other_split, samples, other) = pictures.samples[number], seen[digest]
        kind = "is also in training" if other_split != split else "is a duplicate"
        reason = f"{sample.image_path} {kind}: {place_of(samples[other])}"
        found.append(Problem(sample.source, sample.line, reason, kind=kind))
    return found


def find_refusals(
    config: ConfigDict, split: str, parts: Sequence[Sequence[Sample]], known: Sequence[Problem]
) -> list[Problem]:
    """Why training would not start with a split: one problem, or an empty list.

    Args:
        config: a whole config.
        split: "train" or "val".
        parts: samples of each source.
        known: problems of single lines and images found before, which also prevent training.
    """
    samples = join(parts)
    words = count_words(samples)
    try:
        if split == "train" and samples:
            require_learnable(parts, config)
        elif split == "val" and not known:
            require_images(samples, config)
        if split == "val" and samples and not words.learned:
            raise UserError(
                f"none of {counted(words.ignored, 'word')} counts, since all "
                "are ignored (`*`, `###`): hmean would be 0 whatever the model finds"
            )
    except UserError as error:
        return [Problem(str(config.data[split]), 0, str(error))]
    return []


def _guess(
    config: ConfigDict, split: str, pictures: Pictures, problems: Sequence[Problem]
) -> list[str]:
    """Lines of text on the likely cause of missing images, or of labels that do not fit."""
    named = [
        str(pathlib.Path(config.data.root, pathlib.Path(problem.source).stem.removeprefix("gt_")))
        for problem in problems
        if problem.kind == NO_PICTURE
    ]
    unread = [pictures.samples[number].image_path for number in pictures.reasons]
    guesses = []
    if not all(map(exists, [*unread, *named])):
        paths = [path for _, table, _, _ in pictures.tables() for path in table.paths]
        guesses.append(guess_root(config, split, [*paths, *named]))
    guesses.append(guess_frame(Extents.of(part[1:] for part in pictures.usable().tables())))
    return [f"{split}: {guess}" for guess in guesses if guess]


def describe(split: str, pictures: Pictures) -> str:
    """One line of text: number of images, words, ignored words and images without text."""
    words = count_words(pictures.samples)
    return (
        f"{split}: {counted(len(pictures), 'image')}, {counted(words.learned, 'word')}, "
        f"{words.ignored} ignored, {counted(words.textless, 'image')} without text"
    )
