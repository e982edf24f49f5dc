"""A data set as `look` shows it: both splits read, measured and followed through the crops."""

import csv
import io
from typing import NamedTuple

import numpy as np

from ppocr_jax.data import inspection
from ppocr_jax.data.image_files import read_size
from ppocr_jax.data.label_index import LabelIndex, join
from ppocr_jax.data.looked_at import Pictures, look_at_images
from ppocr_jax.data.polygon_faults import find_fault
from ppocr_jax.data.resize import SMALL_TEXT, read_image
from ppocr_jax.data.sample import Problem
from ppocr_jax.data.word_table import CropLooks, Words, look_through_crops, tabulate
from ppocr_jax.errors import shown

OFTEN = 0.5  # share of its crops in which a word is too small to be called so
COLUMNS = (
    "split", "image", "word", "height_px", "width_px", "aspect", "angle",
    "network_height_px", "network_width_px", "crops_seen", "crops_too_small",
)  # fmt: skip


class SplitLook(NamedTuple):
    """A split.

    Attributes:
        name: "train" or "val".
        parts: samples of each source.
        pictures: `looked_at.Pictures` that can be read, by their headers.
        problems: of labels and pictures.
        unread: those of them that keep a line or a picture from being shown.
        notes: lines on how the labels were read, and what is there.
        words: of the pictures.
        looks: what the crops of training show of them; None for val.
    """

    name: str
    parts: list[LabelIndex]
    pictures: Pictures
    problems: list[Problem]
    unread: list[Problem]
    notes: list[str]
    words: Words
    looks: CropLooks | None

    def small(self):
        """bool `[N]`: words that are too small, in training's crops or in the network's eye."""
        if self.looks is None:
            return self.words.network[:, 0] < SMALL_TEXT
        return (self.looks.seen > 0) & (self.looks.lost >= OFTEN * self.looks.seen)


def read_split(config, name):
    """`SplitLook` of a split; what cannot be read is among its problems.

    Raises:
        UserError: a label file is missing or empty.
    """
    parts, problems, notes = inspection.scan_split(config, name)
    pictures = look_at_images(join(parts), look=_look)
    notes = [*notes, inspection.describe(name, pictures)]
    unread = [problem for problem in problems if not problem.harmless]
    found = inspection.look_at_labels(pictures, config.data.targets.shrink_ratio)
    reasons = set(pictures.reasons.values())
    unread += [problem for problem in found if problem.reason in reasons]
    problems += found
    problems += inspection.find_refusals(config, name, parts, problems)
    usable = pictures.usable()
    samples, sizes = usable.samples, usable.sizes.tolist()
    words = tabulate(samples, sizes, config)
    looks = look_through_crops(words, samples, sizes, config) if name == "train" else None
    return SplitLook(name, parts, usable, problems, unread, notes, words, looks)


def _look(path):
    """What `look_at_images` asks for, by the header alone; of a file without one, as a whole."""
    size = read_size(path) or read_image(path, lambda image: image.shape[:2])
    return size, bytes(32), False, np.zeros(4, np.uint64)


def name_kinds(split):
    """Of each picture, a key of `look_pictures.COLOURS` for each of its labels."""
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


def choose(kinds, most):
    """Indices of the pictures to show, ascending: half of them those with most small or faulty
    labels, as far as there are any, the others at even distances."""
    odd = [sum(kind in ("small", "faulty") for kind in own) for own in kinds]
    first = [index for index in np.argsort(np.negative(odd), kind="stable").tolist() if odd[index]]
    chosen = set(first[: most // 2])
    rest = [index for index in range(len(kinds)) if index not in chosen]
    wanted = min(most - len(chosen), len(rest))
    chosen.update(rest[place * len(rest) // wanted] for place in range(wanted))
    return sorted(chosen)


def lost_rows(split):
    """Rows of words that were too small in a crop or more, those lost most often first.

    Each is `(path, word from 1, height, width, network height, crops seen, crops too small)`.
    """
    share = split.looks.lost / np.maximum(split.looks.seen, 1)
    order = np.lexsort((split.words.image[:, 0], -share))
    return [_row(split, row) for row in order.tolist() if split.looks.lost[row]]


def _row(split, row):
    number, index = split.words.place[row].tolist()
    height, width = split.words.image[row, :2].tolist()
    return (
        split.pictures[number].sample.image_path, index + 1, height, width,
        float(split.words.network[row, 0]), int(split.looks.seen[row]), int(split.looks.lost[row]),
    )  # fmt: skip


def write_table(splits):
    """All words as CSV text with the header `COLUMNS`."""
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
