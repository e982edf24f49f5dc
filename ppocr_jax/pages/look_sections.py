"""The sections of the page of `look`: each reads some images and returns a template's variables."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from ml_collections import ConfigDict

from ppocr_jax.data.examples import first_examples
from ppocr_jax.data.resize import SMALL_TEXT, plan_size, read_image
from ppocr_jax.data.sample import Sample
from ppocr_jax.data.word_table import CropLooks
from ppocr_jax.detection.network import Network
from ppocr_jax.errors import UserError
from ppocr_jax.files import write_bytes
from ppocr_jax.pages.building import data_address
from ppocr_jax.pages.histograms import NAMES
from ppocr_jax.pages.look_data import SplitLook, choose, lost_rows, name_kinds
from ppocr_jax.pages.look_pictures import LEGEND, draw_crop, draw_labels
from ppocr_jax.pages.mistakes import count_errors, draw_errors, find_worst
from ppocr_jax.scoring import differences
from ppocr_jax.scoring.evaluation import evaluate, explain
from ppocr_jax.scoring.mistakes import explain as explain_mistakes
from ppocr_jax.scoring.mistakes import name_kinds as name_mistakes

BASE_IMAGES = 60  # validation images that the base is tried on
BASE_PICTURES = 8  # of them, those with the most errors are shown
MOST_ROWS = 100  # of the table of words too small to learn; words.csv has all
QUALITY = 82  # of JPEG, a compromise with the size of the page


class Base(NamedTuple):
    """The weights that training would start from.

    Attributes:
        network: runs them.
        weights: what the user calls them.
    """

    network: Network
    weights: str


class Album:
    """The pictures of a page, each of which becomes a file too.

    Attributes:
        count: number of pictures so far.
        failures: why some could not be drawn.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder, self.count = folder, 0
        self.failures: list[str] = []

    def add(self, name: str, draw: Callable[[], np.ndarray]) -> str:
        """Adds one picture.

        Args:
            name: of its file, without the ending.
            draw: returns the picture, uint8 `[H, W, 3]` BGR.

        Returns:
            Its URL; "" if `draw` raises a UserError.
        """
        try:
            quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
            data = cv2.imencode(".jpg", draw(), quality)[1].tobytes()
        except UserError as error:
            self.failures.append(str(error))
            return ""
        write_bytes(self._folder / f"{name}.jpg", data)
        self.count += 1
        return data_address("jpeg", data)


def show_labels(split: SplitLook, config: ConfigDict, most: int, album: Album) -> dict[str, Any]:
    """The section on the labels of a split, with at most `most` of its images."""
    kinds = name_kinds(split)
    figures: list[dict[str, Any]] = []
    limits = {key: config.eval[key] for key in ("limit_side", "limit_type")}
    for number in choose(kinds, most):
        sample, size = split.pictures[number].sample, split.pictures[number].size
        figures.append({
            "address": album.add(
                f"labels_{split.name}_{len(figures) + 1:03}",
                functools.partial(_draw_labels, sample, kinds[number]),
            ),
            "path": sample.image_path,
            "size": size,
            "network_size": plan_size(*size, **limits),
            "counts": [(text, kinds[number].count(kind)) for kind, text in
                       LEGEND.items()],
        })  # fmt: skip
    return {"name": split.name, "notes": split.notes, "figures": figures,
            "total": len(split.pictures)}  # fmt: skip


def _draw_labels(sample: Sample, kinds: Sequence[str]) -> np.ndarray:
    return read_image(sample.image_path, lambda image: draw_labels(image, sample.polygons, kinds))


def histogram_columns(
    splits: Sequence[SplitLook], looks: CropLooks, config: ConfigDict
) -> tuple[dict[str, Any], dict[str, float]]:
    """Arguments of `draw_histograms`: words in their images, resized for evaluation, in crops."""
    in_image = {s.name: _quantities(s.words.image, _per_image(s)) for s in splits}
    in_network = {s.name: _quantities(s.words.network, _per_image(s)) for s in splits}
    titles = (
        "in the image",
        f"at evaluation (limit_side {config.eval.limit_side}, {config.eval.limit_type})",
        f"in training crops ({config.crop} pixels)",
    )
    in_crops = {"train": _quantities(looks.shapes, looks.counts)}
    columns = dict(zip(titles, (in_image, in_network, in_crops), strict=True))
    return columns, {titles[1]: SMALL_TEXT, titles[2]: config.data.targets.min_text_size}


def _quantities(shapes: np.ndarray, counts: Any) -> dict[str, Any]:
    return dict(zip(NAMES, (*shapes.T, counts), strict=True))


def _per_image(split: SplitLook) -> list[int]:
    return [picture.sample.ignore.count(False) for picture in split.pictures]


def describe_lost(split: SplitLook, looks: CropLooks, config: ConfigDict) -> dict[str, Any]:
    """The section on words that training crops show too small to learn."""
    rows = lost_rows(split, looks)
    always = sum(seen == lost for *_, seen, lost in rows)
    often = int(split.small().sum())
    sentence = (
        f"With crop {config.crop} and min_text_size {config.data.targets.min_text_size}, "
        f"{looks.lost.sum()} of the {looks.seen.sum()} words in {looks.crops} sampled crops are "
        f"too small to learn (of all {len(looks.seen)} words: {always} in every crop that shows "
        f"the word, {often} in at least half of them)"
    )
    return {"sentence": sentence, "rows": rows[:MOST_ROWS], "total": len(rows)}


def describe_small(split: SplitLook) -> str:
    """A sentence on words that evaluation sees too small; "" if there are none."""
    heights = split.words.network[:, 0]
    small = int((heights < SMALL_TEXT).sum())
    if not small:
        return ""
    return (
        f"{split.name}: less than {SMALL_TEXT} pixels high after resizing for evaluation, and so "
        f"rarely found: {small} of {len(heights)} words"
    )


def show_crops(
    split: SplitLook, config: ConfigDict, count: int, album: Album
) -> list[dict[str, Any]]:
    """The section on the first crops of a run; empty if no crop can be made."""
    figures: list[dict[str, Any]] = []
    try:
        make, examples = first_examples(split.parts, config, count)
        for number, (key, example) in enumerate(examples, 1):
            album.failures += [reason for _, reason in example["failures"]]
            figures.append({
                "address": album.add(f"crop_{number:03}", functools.partial(draw_crop, example)),
                "path": make.samples[int(example["record"])].image_path,
                "key": key,
                "text": float((example["shrink_map"] > 0).mean()),
                "masked": float((example["shrink_mask"] == 0).mean()),
            })  # fmt: skip
    except UserError as error:
        album.failures.append(str(error))
    return figures


def show_base(
    split: SplitLook, config: ConfigDict, base: Base, album: Album, progress: bool
) -> Mapping[str, Any]:
    """The section on what a base finds in validation images, and how that differs from labels.

    Images that cannot be read are added to `album.failures`.
    """
    # Evenly spread over the split: neighbours in a label file often look alike.
    samples = [picture.sample for picture in split.pictures]
    samples = samples[:: -(-len(samples) // BASE_IMAGES) or 1]
    network = base.network
    metrics, outcomes = evaluate(
        network.predict, network.variables, samples, config, network.sharding, progress=progress
    )
    album.failures += [outcome.reason for outcome in outcomes if outcome.reason]
    figures: list[dict[str, Any]] = []
    for outcome in find_worst(outcomes, BASE_PICTURES):
        kinds, name = name_mistakes(outcome), f"base_{len(figures) + 1:03}"
        figures.append({
            "address": album.add(name, functools.partial(draw_errors, outcome, kinds)),
            "path": outcome.sample.image_path,
            "size": outcome.size,
            "network_size": outcome.network_size,
            "errors": count_errors(outcome),
            "kinds": explain_mistakes(kinds.count()),
            "counts": outcome.counts,
        })  # fmt: skip
    sentences = [explain(metrics), *differences.explain(differences.compare(outcomes))]
    return {"weights": base.weights, "report": network.report, "sentences": sentences,
            "figures": figures, "total": len(split.pictures), "shown": len(samples)}  # fmt: skip
