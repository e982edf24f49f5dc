"""What is wrong with the labels and images of a config's data, and what is worth a remark."""

import collections
import concurrent.futures
import hashlib
import os
import pathlib
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ppocr_jax.data import remarks
from ppocr_jax.data.frames import guess_frame
from ppocr_jax.data.image_files import is_turned
from ppocr_jax.data.labels import (
    NO_PICTURE,
    Problem,
    Sample,
    place_of,
    scan_labels,
    split_sources,
)
from ppocr_jax.data.likeness import fingerprint
from ppocr_jax.data.polygon_faults import find_fault
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.roots import guess_root
from ppocr_jax.data.splits import prepare_root, require_images
from ppocr_jax.data.targets import require_drawable
from ppocr_jax.data.training_split import require_learnable
from ppocr_jax.errors import UserError, counted

SPLITS = ("train", "val")


class Picture(NamedTuple):
    """A labelled image that was looked at.

    Attributes:
        sample: its labels.
        reason: why it cannot be used; "" where it can.
        size: (height, width), pixels, turned; None where it cannot be read.
        digest: of the file's bytes; "" where it cannot be read.
        turned: whether its EXIF entry turns it.
        mark: its `likeness.fingerprint`; None where it cannot be read.
    """

    sample: Sample
    reason: str = ""
    size: tuple[int, int] | None = None
    digest: str = ""
    turned: bool = False
    mark: np.ndarray | None = None


def check(config, progress=False):
    """Looks at both splits: all that `train` would refuse of them, and more.

    Args:
        config: a whole config.
        progress: show a bar.

    Returns:
        `(problems, summary)`: a list of `Problem`, and lines of text: counts, remarks that begin
        with `note: ` and guesses at a cause that begin with `hint: `.

    Raises:
        UserError: a label file is missing or empty.
    """
    prepare_root(config)
    problems, summary, hints, seen, training = [], [], [], {}, []
    for split in SPLITS:
        parts, found, notes = scan_split(config, split)
        pictures = _look_at_images([s for part in parts for s in part], progress)
        hints += _guess(config, split, pictures, found)
        found += look_at_labels(pictures, config.data.targets.shrink_ratio)
        found += _find_duplicates(split, pictures, seen)
        found += find_refusals(config, split, parts, found)
        problems += found
        summary += [*notes, describe(split, pictures)]
        summary += remarks.find(config, split, pictures, training)
        training = training or pictures
    return problems, [*summary, *(f"hint: {hint}" for hint in hints)]


def scan_split(config, split):
    """`(list of samples per source, problems, notes)` of the label files of a split."""
    parts, problems, notes = [], [], []
    for source in split_sources(config.data[split]):
        samples, found, said = scan_labels(source, config.data.root)
        parts.append(samples)
        problems += found
        notes += said
    return parts, problems, notes


def _look_at_images(samples, progress):
    """A `Picture` per sample; each is read as a whole."""

    def look(sample):
        try:
            size, mark = read_image(sample.image_path, lambda i: (i.shape[:2], fingerprint(i)))
            digest = hashlib.sha256(pathlib.Path(sample.image_path).read_bytes()).hexdigest()
        except (UserError, OSError) as error:
            return Picture(sample, str(error))
        return Picture(sample, "", size, digest, is_turned(sample.image_path), mark)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = tqdm(pool.map(look, samples), total=len(samples), unit="image", disable=not progress)
        return list(bar)


def look_at_labels(pictures, shrink_ratio):
    """Problems of pictures that cannot be used and of polygons that make no sense."""
    found = []
    for picture in pictures:
        sample, place = picture.sample, (picture.sample.source, picture.sample.line)
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
                reason = f"polygon {index} {fault.reason}"
                found.append(Problem(*place, reason, kind=fault.kind))
    return found


def _find_duplicates(split, pictures, seen):
    """Images that were met before, in this split or the other, by content. Updates `seen`."""
    found = []
    for picture in pictures:
        sample = picture.sample
        if not picture.digest:
            continue
        if picture.digest not in seen:
            seen[picture.digest] = split, sample
            continue
        other_split, other = seen[picture.digest]
        kind = "is also in training" if other_split != split else "is there twice"
        reason = f"{sample.image_path} {kind}: {place_of(other)}"
        found.append(Problem(sample.source, sample.line, reason, kind=kind))
    return found


def find_refusals(config, split, parts, known):
    """Why `train` would not begin with a split, as a list of one problem or none.

    Args:
        config: a whole config.
        split: "train" or "val".
        parts: lists of samples, one per source.
        known: problems of single lines and images, for which it may refuse as well.
    """
    samples = [sample for part in parts for sample in part]
    try:
        if split == "train" and samples:
            require_learnable(parts, config)
        elif split == "val" and not known:
            require_images(samples, config)
        if split == "val" and samples and all(all(sample.ignore) for sample in samples):
            raise UserError(
                f"none of {counted(sum(len(s.ignore) for s in samples), 'word')} counts, since all "
                "are ignored (`*`, `###`): hmean would be 0 whatever is found"
            )
    except UserError as error:
        return [Problem(str(config.data[split]), 0, str(error))]
    return []


def _guess(config, split, pictures, problems):
    """Lines on what may be the cause of missing pictures, or of labels that do not fit."""
    paths = [picture.sample.image_path for picture in pictures]
    paths += [
        str(pathlib.Path(config.data.root, pathlib.Path(problem.source).stem.removeprefix("gt_")))
        for problem in problems
        if problem.kind == NO_PICTURE
    ]
    lost = not all(map(os.path.exists, paths))
    frame = guess_frame([(p.sample.polygons, p.size, p.turned) for p in pictures if p.size])
    guesses = [guess_root(config, split, paths) if lost else "", frame]
    return [f"{split}: {guess}" for guess in guesses if guess]


def describe(split, pictures):
    """One line: how many images, words, ignored words and images without text."""
    samples = [picture.sample for picture in pictures]
    words = collections.Counter(bool(ignored) for s in samples for ignored in s.ignore)
    empty = sum(not sample.polygons for sample in samples)
    return (
        f"{split}: {counted(len(samples), 'image')}, {counted(words[False], 'word')}, "
        f"{words[True]} ignored, {counted(empty, 'image')} without text"
    )
