"""The data behind the page of `look`: both splits read and measured, words followed into crops."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from ppocr_jax.data import inspection
from ppocr_jax.data.image_files import read_size
from ppocr_jax.data.label_index import LabelIndex, join
from ppocr_jax.data.looked_at import Pictures, look_at_images
from ppocr_jax.data.polygon_faults import find_fault
from ppocr_jax.data.resize import SMALL_TEXT, read_image
from ppocr_jax.data.sample import Problem
from ppocr_jax.data.word_table import CropLooks, Words, look_through_crops, tabulate
from ppocr_jax.errors import shown

OFTEN = 0.5  # a word counts as small if it is too small in this fraction of the crops that show it
COLUMNS = (
    "split", "image", "word", "height_px", "width_px", "aspect", "angle",
    "network_height_px", "network_width_px", "crops_seen", "crops_too_small",
)  # fmt: skip


class SplitLook(NamedTuple):
    """One split with its measurements.

    Attributes:
        name: "train" or "val".
        parts: samples of each source.
        pictures: the images whose headers can be read.
        problems: of labels and images.
        unread: the problems that keep a line or an image off the page.
        notes: lines on how the labels were read, and how many there are.
        words: of those images.
        looks: how training crops show the words; None for val.
    """

    name: str
    parts: list[LabelIndex]
    pictures: Pictures
    problems: list[Problem]
    unread: list[Problem]
    notes: list[str]
    words: Words
    looks: CropLooks | None

    def small(self) -> np.ndarray:
        """bool `[N]`: words too small in training crops, or for val, at the size of evaluation."""
        if self.looks is None:
            return self.words.network[:, 0] < SMALL_TEXT
        return (self.looks.seen > 0) & (self.looks.lost >= OFTEN * self.looks.seen)


def read_split(config: ConfigDict, name: str) -> SplitLook:
    """Reads and measures a split; what cannot be read becomes a problem rather than an error.

    Args:
        config: a complete config.
        name: "train" or "val".

    Raises:
        UserError: a label file is missing or empty.
    """
    # --- problems: of lines, then of images and labels, then of the split as a whole
    parts, problems, notes = inspection.scan_split(config, name)
    pictures = look_at_images(join(parts), look=_look)
    notes = [*notes, inspection.describe(name, pictures)]
    unread = [problem for problem in problems if not problem.harmless]
    found = inspection.look_at_labels(pictures, config.data.targets.shrink_ratio)
    reasons = set(pictures.reasons.values())
    unread += [problem for problem in found if problem.reason in reasons]
    problems += found
    problems += inspection.find_refusals(config, name, parts, problems)
    # --- measurements: of the usable images alone
    usable = pictures.usable()
    samples, sizes = usable.samples, usable.sizes.tolist()
    words = tabulate(samples, sizes, config)
    looks = look_through_crops(words, samples, sizes, config) if name == "train" else None
    return SplitLook(name, parts, usable, problems, unread, notes, words, looks)


def _look(path: str) -> tuple[tuple[int, int], bytes, bool, np.ndarray]:
    """What `look_at_images` asks of a file, with placeholders for all but the size.

    The header gives the size; only a file without a usable header is decoded.
    """
    size = read_size(path) or read_image(path, lambda image: image.shape[:2])
    return size, bytes(32), False, np.zeros(4, np.uint64)


def name_kinds(split: SplitLook) -> list[list[str]]:
    """For each image, a key of `look_pictures.COLOURS` for each of its labels."""
    kinds = []
    for picture in split.pictures:
        own = ["ignored" if ignored else "word" for ignored in picture.sample.ignore]
        for index, polygon in enumerate(picture.sample.polygons):
            if find_fault(polygon, picture.size):
                own[index] = "faulty"
        kinds.append(own)
    for number, index in split.words.place[split.small()].tolist():
        if kinds[number][index] == "word":
            kinds[number][index] = "small"
    return kinds


def choose(kinds: Sequence[Sequence[str]], most: int) -> list[int]:
    """Ascending indices of the images to show.

    Up to half of them are those with the most small or faulty labels, the rest is spread evenly
    over the split, so that the page shows both the problems and the usual case.

    Args:
        kinds: see `name_kinds`.
        most: number of images.
    """
    odd = [sum(kind in ("small", "faulty") for kind in own) for own in kinds]
    first = [index for index in np.argsort(np.negative(odd), kind="stable").tolist() if odd[index]]
    chosen = set(first[: most // 2])
    rest = [index for index in range(len(kinds)) if index not in chosen]
    wanted = min(most - len(chosen), len(rest))
    chosen.update(rest[place * len(rest) // wanted] for place in range(wanted))
    return sorted(chosen)


LostRow = tuple[str, int, float, float, float, int, int]


def lost_rows(split: SplitLook, looks: CropLooks) -> list[LostRow]:
    """Rows of the words that were too small in at least one crop, the most often lost first.

    Args:
        split: the training split.
        looks: its `looks`.

    Returns:
        `(path, word from 1, height, width, height at evaluation, crops that show it, crops in which
        it is too small)` each, sizes in pixels.
    """
    share = looks.lost / np.maximum(looks.seen, 1)
    order = np.lexsort((split.words.image[:, 0], -share))
    return [_row(split, looks, row) for row in order.tolist() if looks.lost[row]]


def _row(split: SplitLook, looks: CropLooks, row: int) -> LostRow:
    number, index = split.words.place[row].tolist()
    height, width = split.words.image[row, :2].tolist()
    return (
        split.pictures[number].sample.image_path, index + 1, height, width,
        float(split.words.network[row, 0]), int(looks.seen[row]), int(looks.lost[row]),
    )  # fmt: skip


def write_table(splits: Iterable[SplitLook]) -> str:
    """All words of all splits as CSV text with the header `COLUMNS`."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for split in splits:
        for row, (number, index) in enumerate(split.words.place.tolist()):
            numbers = [*split.words.image[row], *split.words.network[row, :2]]
            crops = [split.looks.seen[row], split.looks.lost[row]] if split.looks else ["", ""]
            path = shown(split.pictures[number].sample.image_path)
            texts = ["" if np.isnan(value) else f"{value:.2f}" for value in numbers]
            writer.writerow([split.name, path, index + 1, *texts, *crops])
    return file.getvalue()
