"""What is wrong with the labels and images of a config's data."""

import collections
import concurrent.futures
import hashlib
import os
import pathlib

import numpy as np
import shapely
from tqdm import tqdm

from ppocr_jax.data.augment import Job, View, augment, shared_stream
from ppocr_jax.data.labels import Problem, require_text, scan_labels, split_sources
from ppocr_jax.data.polygons import signed_area
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.splits import prepare_root
from ppocr_jax.data.targets import draw_shrink_map, require_drawable
from ppocr_jax.errors import UserError

PROBES = 200  # training images whose augmentation is tried
SHOWN = 20  # points of a polygon that are written out


def check(config, progress=False):
    """Looks at both splits.

    Args:
        config: a whole config.
        progress: show a bar.

    Returns:
        `(problems, summary)`: a list of `Problem`, and lines of text.

    Raises:
        UserError: a label file is missing or empty.
    """
    prepare_root(config)
    problems, summary, seen = [], [], {}
    for split in ("train", "val"):
        samples = []
        for source in split_sources(config.data[split]):
            part, found, notes = scan_labels(source, config.data.root)
            samples += part
            problems += found
            summary += notes
        facts = _look_at_images(samples, progress)
        for sample, (reason, size, _) in zip(samples, facts, strict=True):
            if reason:
                problems.append(Problem(sample.source, sample.line, reason))
            problems += _look_at_polygons(sample, size, config.data.targets.shrink_ratio)
        problems += _find_duplicates(split, samples, facts, seen)
        problems += _find_no_words(split, samples, config.data[split])
        summary.append(_describe(split, samples))
        if split == "train":
            good = [s for s, (reason, _, _) in zip(samples, facts, strict=True) if not reason]
            summary.append(_survival(good, config))
    return problems, summary


def _look_at_images(samples, progress):
    """`(reason or "", (height, width) or None, hash of the file)` per sample."""

    def look(sample):
        try:
            height, width = read_image(sample.image_path).shape[:2]
        except UserError as error:
            return str(error), None, None
        data = pathlib.Path(sample.image_path).read_bytes()
        return "", (height, width), hashlib.sha256(data).hexdigest()

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = tqdm(pool.map(look, samples), total=len(samples), unit="image", disable=not progress)
        return list(bar)


def _look_at_polygons(sample, size, shrink_ratio):
    """Problems of a sample's polygons."""
    found = []
    if size is not None:
        try:
            require_drawable(sample.polygons, sample.ignore, *size, shrink_ratio)
        except UserError as error:
            found.append(Problem(sample.source, sample.line, str(error)))
    for index, polygon in enumerate(sample.polygons, 1):
        reason = ""
        if abs(signed_area(polygon)) < 1:
            reason = "has no area"
        elif not shapely.Polygon(polygon).is_valid:
            reason = "crosses itself"
        elif size is not None and _is_outside(polygon, size):
            reason = f"lies outside the image of {size[1]}x{size[0]} pixels"
        if reason:
            where = np.round(polygon, 1).tolist()
            where = where if len(where) <= SHOWN else f"{len(where)} points from {where[0]} on"
            found.append(Problem(sample.source, sample.line, f"polygon {index} {reason}: {where}"))
    return found


def _is_outside(polygon, size):
    """Whether a vertex is more than a pixel off the image."""
    low, high = polygon.min(0), polygon.max(0)
    return bool((low < -1).any() or high[0] > size[1] + 1 or high[1] > size[0] + 1)


def _find_duplicates(split, samples, facts, seen):
    """Images that were met before, in this split or the other, by content. Updates `seen`."""
    found = []
    for sample, (_, _, digest) in zip(samples, facts, strict=True):
        if digest is None:
            continue
        if digest in seen:
            other_split, other = seen[digest]
            kind = "is also in training" if other_split != split else "is there twice"
            found.append(
                Problem(
                    sample.source,
                    sample.line,
                    f"{sample.image_path} {kind}: {other.source} line {other.line}",
                )
            )
        else:
            seen[digest] = split, sample
    return found


def _find_no_words(split, samples, sources):
    """Training data without a word to learn, which `train` refuses."""
    if split == "train" and samples:
        try:
            require_text(samples)
        except UserError as error:
            return [Problem(str(sources), 0, str(error))]
    return []


def _describe(split, samples):
    words = collections.Counter(bool(ignored) for s in samples for ignored in s.ignore)
    empty = sum(not sample.polygons for sample in samples)
    return (
        f"{split}: {len(samples)} images, {words[False]} words, {words[True]} ignored, "
        f"{empty} images without text"
    )


def _survival(samples, config):
    """Share of the words in augmented crops that are large enough to learn from."""
    rng = np.random.default_rng(config.seed)
    job, targets = Job(config.data.augment.to_dict(), config.crop), config.data.targets
    kept = total = 0
    for index in rng.permutation(len(samples))[:PROBES]:
        sample = samples[index]
        size = read_image(sample.image_path).shape[:2]
        view = View(None, size, sample.polygons, sample.ignore)  # no pixels: nothing is drawn
        view = augment(view, job, shared_stream((config.seed, 0, int(index), 0), rng))
        _, _, after = draw_shrink_map(
            view.polygons, view.ignore, *view.size, targets.shrink_ratio, targets.min_text_size
        )
        total += view.ignore.count(False)
        kept += int((~after).sum())
    share = f"{kept / total:.0%}" if total else "none"
    return (
        f"at crop {config.crop}, {share} of {total} words in {min(PROBES, len(samples))} augmented "
        f"images are at least data.targets.min_text_size={targets.min_text_size} pixels"
    )
