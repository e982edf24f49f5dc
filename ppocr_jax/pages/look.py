"""A data set on one page: labels, word sizes, training crops, and what given weights find in it.

The page contains its pictures; they are also written as files beside it, for other viewers.
"""

import functools
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from ml_collections import ConfigDict

from ppocr_jax import __version__
from ppocr_jax.data.examples import first_examples
from ppocr_jax.data.findings import condense
from ppocr_jax.data.resize import SMALL_TEXT, plan_size, read_image
from ppocr_jax.data.sample import Sample
from ppocr_jax.data.splits import prepare_root
from ppocr_jax.data.word_table import CropLooks
from ppocr_jax.detection.network import Network
from ppocr_jax.errors import UserError
from ppocr_jax.files import write_bytes, write_text
from ppocr_jax.locks import hold_folder
from ppocr_jax.pages.building import data_address, write_page
from ppocr_jax.pages.histograms import NAMES, draw_histograms
from ppocr_jax.pages.look_data import (
    SplitLook,
    choose,
    lost_rows,
    name_kinds,
    read_split,
    write_table,
)
from ppocr_jax.pages.look_pictures import COLOURS, CROP_LEGEND, draw_crop, draw_labels
from ppocr_jax.pages.look_pictures import LEGEND as LABEL_LEGEND
from ppocr_jax.pages.mistakes import count_errors, draw_errors, find_worst
from ppocr_jax.pages.mistakes import legend as error_legend
from ppocr_jax.scoring import differences
from ppocr_jax.scoring.evaluation import evaluate, explain
from ppocr_jax.scoring.mistakes import explain as explain_mistakes
from ppocr_jax.scoring.mistakes import name_kinds as name_mistakes

BASE_IMAGES = 60  # validation images that the base is tried on
BASE_PICTURES = 8  # of them, those with the most errors are shown
MOST_ROWS = 100  # of the table of words too small to learn; words.csv has all
MOST_FINDINGS = 60  # lines
OWN = re.compile(r"(labels_(train|val)|crop|base)_\d+\.jpg")  # files that an earlier look wrote
QUALITY = 82  # of JPEG, a compromise with the size of the page


class Base(NamedTuple):
    """The weights that training would start from.

    Attributes:
        network: runs them.
        weights: what the user calls them.
    """

    network: Network
    weights: str


class Look(NamedTuple):
    """What the command prints.

    Attributes:
        lines: what was found.
        failures: what could not be shown.
    """

    lines: list[str]
    failures: list[str]


def show(
    config: ConfigDict,
    output: str | os.PathLike[str],
    images: int = 12,
    crops: int = 8,
    base: Base | None = None,
    progress: bool = False,
) -> Look:
    """Writes `index.html`, `words.csv` and `pictures/` into a folder.

    Args:
        config: a complete config.
        output: the folder, which is made if needed. Pictures of an earlier look are removed; other
            files stay.
        images: number of images of each split to show with their labels.
        crops: number of training crops to show, the first ones of a run.
        base: weights to try on validation images.
        progress: show a progress bar for the base.

    Raises:
        UserError: a label file is missing or empty.
    """
    prepare_root(config)
    splits = [read_split(config, name) for name in ("train", "val")]
    page = pathlib.Path(output) / "index.html"
    pictures = page.with_name("pictures")
    pictures.mkdir(parents=True, exist_ok=True)
    with hold_folder(page.parent):
        for path in pictures.iterdir():
            if OWN.fullmatch(path.name):
                path.unlink()
        # --- the sections of the page; pictures that cannot be read collect in album.failures
        album, train = Album(pictures), splits[0]
        assert train.looks is not None  # always there for the training split
        lost = _describe_lost(train, train.looks, config)
        small = [sentence for split in splits if (sentence := _describe_small(split))]
        shown_base = _show_base(splits[1], config, base, album, progress) if base else None
        values = {
            "splits": [_show_labels(split, config, images, album) for split in splits],
            "plot": draw_histograms(*_columns(splits, train.looks, config)),
            "lost": lost,
            "small": small,
            "crops": _show_crops(train, config, crops, album),
            "base": shown_base,
        }
        # --- what is wrong with the data, each problem told once
        problems = [problem for split in splits for problem in split.problems]
        findings = list(condense(problems))
        unread = [line for split in splits for line in condense(split.unread)]
        failures = [
            line
            for line in dict.fromkeys(album.failures)
            if not any(line in text for text in unread)
        ]
        # --- files
        write_text(page.with_name("words.csv"), write_table(splits))
        write_page(
            page, "look.html", **values,
            findings=findings[:MOST_FINDINGS], more_findings=len(findings[MOST_FINDINGS:]),
            count=len(problems), failures=failures, config=config, version=__version__,
            legend_entries=[(text, _rgb(COLOURS[kind])) for kind, text in LABEL_LEGEND.items()],
            crop_legend=[(text, _rgb(colour)) for text, colour in CROP_LEGEND.items()],
            base_legend=error_legend(),
        )  # fmt: skip
    lines = [line for split in splits for line in split.notes]
    lines += [lost["sentence"], *small]
    lines += shown_base["sentences"] if shown_base else []
    lines.append(
        f"wrote {page} with {album.count} pictures, which are also in {pictures}, and words.csv "
        "with every word"
    )
    return Look(lines, [*unread, *failures])


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


def _rgb(colour: tuple[int, int, int]) -> str:
    return "rgb({}, {}, {})".format(*colour)


def _show_labels(split: SplitLook, config: ConfigDict, most: int, album: Album) -> dict[str, Any]:
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
                       LABEL_LEGEND.items()],
        })  # fmt: skip
    return {"name": split.name, "notes": split.notes, "figures": figures,
            "total": len(split.pictures)}  # fmt: skip


def _draw_labels(sample: Sample, kinds: Sequence[str]) -> np.ndarray:
    return read_image(sample.image_path, lambda image: draw_labels(image, sample.polygons, kinds))


def _columns(
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


def _describe_lost(split: SplitLook, looks: CropLooks, config: ConfigDict) -> dict[str, Any]:
    """The section on words that training crops show too small to learn."""
    rows = lost_rows(split, looks)
    always = sum(seen == lost for *_, seen, lost in rows)
    often = int(split.small().sum())
    sentence = (
        f"With crop {config.crop} and min_text_size {config.data.targets.min_text_size}, "
        f"{looks.lost.sum()} of the {looks.seen.sum()} words in {looks.crops} sampled crops are "
        f"too small to learn; of all {len(looks.seen)} words, {always} are too small in every crop "
        f"that shows them, {often} in at least half of them"
    )
    return {"sentence": sentence, "rows": rows[:MOST_ROWS], "total": len(rows)}


def _describe_small(split: SplitLook) -> str:
    """A sentence on words that evaluation sees too small; "" if there are none."""
    heights = split.words.network[:, 0]
    small = int((heights < SMALL_TEXT).sum())
    if not small:
        return ""
    return (
        f"{split.name}: {small} of {len(heights)} words are less than {SMALL_TEXT} pixels high "
        "after resizing for evaluation, and will rarely be found"
    )


def _show_crops(
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


def _show_base(
    split: SplitLook, config: ConfigDict, base: Base, album: Album, progress: bool
) -> Mapping[str, Any]:
    """The section on what a base finds in validation images, and how that differs from labels."""
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
