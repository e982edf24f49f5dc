"""A data set as one page: its labels, its numbers, what training makes of it, and what a base sees.

The page holds its pictures itself; they also lie beside it as files, for other viewers.
"""

import functools
import pathlib
import re
from typing import Any, NamedTuple

import cv2

from ppocr_jax import __version__
from ppocr_jax.data.examples import first_examples
from ppocr_jax.data.findings import condense
from ppocr_jax.data.resize import SMALL_TEXT, plan_size, read_image
from ppocr_jax.data.splits import prepare_root
from ppocr_jax.errors import UserError
from ppocr_jax.files import write_bytes, write_text
from ppocr_jax.locks import hold_folder
from ppocr_jax.pages.building import data_address, write_page
from ppocr_jax.pages.histograms import NAMES, draw_histograms
from ppocr_jax.pages.look_data import choose, lost_rows, name_kinds, read_split, write_table
from ppocr_jax.pages.look_pictures import COLOURS, CROP_LEGEND, draw_crop, draw_labels
from ppocr_jax.pages.look_pictures import LEGEND as LABEL_LEGEND
from ppocr_jax.pages.mistakes import count_errors, draw_errors, find_worst
from ppocr_jax.pages.mistakes import legend as error_legend
from ppocr_jax.scoring import differences
from ppocr_jax.scoring.evaluation import evaluate, explain
from ppocr_jax.scoring.mistakes import explain as explain_mistakes
from ppocr_jax.scoring.mistakes import name_kinds as name_mistakes

BASE_IMAGES = 60  # validation images that a base is shown
BASE_PICTURES = 8  # of them, those with most errors, on the page
MOST_ROWS = 100  # of the table of lost words; the file has all
MOST_FINDINGS = 60  # lines
OWN = re.compile(r"(labels_(train|val)|crop|base)_\d+\.jpg")  # files of an earlier look
QUALITY = 82  # of JPEG


class Base(NamedTuple):
    """network: see `detection.network.Network`; weights: what the user calls it."""

    network: Any
    weights: str


class Look(NamedTuple):
    """lines: what was found, for people; failures: lines on what could not be shown."""

    lines: list[str]
    failures: list[str]


def show(config, output, images=12, crops=8, base=None, progress=False):
    """Writes `index.html`, `words.csv` and `pictures/` into a folder.

    Args:
        config: a whole config.
        output: the folder; it is made. Pictures of an earlier look are removed, no other file.
        images: of each split, with their labels.
        crops: of training, those that a run begins with.
        base: `Base`, or None.
        progress: show a bar while the base is at work.

    Returns:
        `Look`.

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
        album = Album(pictures)
        values = {
            "splits": [_show_labels(split, config, images, album) for split in splits],
            "plot": draw_histograms(*_columns(splits, config)),
            "lost": _describe_lost(splits[0], config),
            "small": [_describe_small(split) for split in splits],
            "crops": _show_crops(splits[0], config, crops, album),
            "base": _show_base(splits[1], config, base, album, progress) if base else None,
        }
        problems = [problem for split in splits for problem in split.problems]
        findings = list(condense(problems))
        unread = [line for split in splits for line in condense(split.unread)]
        failures = dict.fromkeys(album.failures)
        failures = [line for line in failures if not any(line in text for text in unread)]
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
    lines += [values["lost"]["sentence"], *filter(None, values["small"])]
    lines += values["base"]["sentences"] if base else []
    lines.append(f"{page}: {album.count} pictures, also in {pictures}; every word in words.csv")
    return Look(lines, [*unread, *failures])


class Album:
    """The pictures of a page: each as a file too.

    Attributes:
        count: pictures so far.
        failures: why some could not be drawn.
    """

    def __init__(self, folder):
        self._folder, self.count, self.failures = folder, 0, []

    def add(self, name, draw):
        """The address of the picture that `draw()` gives, BGR; "" where it raises a UserError."""
        try:
            quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
            data = cv2.imencode(".jpg", draw(), quality)[1].tobytes()
        except UserError as error:
            self.failures.append(str(error))
            return ""
        write_bytes(self._folder / f"{name}.jpg", data)
        self.count += 1
        return data_address("jpeg", data)


def _rgb(colour):
    return "rgb({}, {}, {})".format(*colour)


def _show_labels(split, config, most, album):
    """What the page says of a split, with some of its pictures."""
    kinds, figures = name_kinds(split), []
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


def _draw_labels(sample, kinds):
    return read_image(sample.image_path, lambda image: draw_labels(image, sample.polygons, kinds))


def _columns(splits, config):
    """What `draw_histograms` takes: the words in their images, at the network's size, in crops."""
    in_image = {s.name: _quantities(s.words.image, _per_image(s)) for s in splits}
    in_network = {s.name: _quantities(s.words.network, _per_image(s)) for s in splits}
    looks = splits[0].looks
    titles = (
        "in the image",
        f"at evaluation (limit_side {config.eval.limit_side}, {config.eval.limit_type})",
        f"in training's crops ({config.crop} pixels)",
    )
    in_crops = {"train": _quantities(looks.shapes, looks.counts)}
    columns = dict(zip(titles, (in_image, in_network, in_crops), strict=True))
    return columns, {titles[1]: SMALL_TEXT, titles[2]: config.data.targets.min_text_size}


def _quantities(shapes, counts):
    return dict(zip(NAMES, (*shapes.T, counts), strict=True))


def _per_image(split):
    return [picture.sample.ignore.count(False) for picture in split.pictures]


def _describe_lost(split, config):
    """The words that training's crops show too small to be learned: counts, and the first rows."""
    looks, rows = split.looks, lost_rows(split)
    always = sum(seen == lost for *_, seen, lost in rows)
    often = int(split.small().sum())
    sentence = (
        f"At crop {config.crop} and min_text_size {config.data.targets.min_text_size}, "
        f"{looks.lost.sum()} of {looks.seen.sum()} words in {looks.crops} crops are too small to "
        f"be learned: {always} of {len(looks.seen)} words in every crop that showed them, {often} "
        "in half of theirs or more"
    )
    return {"sentence": sentence, "rows": rows[:MOST_ROWS], "total": len(rows)}


def _describe_small(split):
    heights = split.words.network[:, 0]
    small = int((heights < SMALL_TEXT).sum())
    return small and (
        f"{split.name}: {small} of {len(heights)} words are lower than {SMALL_TEXT} pixels at the "
        "size of evaluation, and are found by luck"
    )


def _show_crops(split, config, count, album):
    """The crops that a run begins with, or why there are none."""
    figures = []
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


def _show_base(split, config, base, album, progress):
    """What a base finds in validation images, and how it differs from their labels."""
    samples = [picture.sample for picture in split.pictures]
    samples = samples[:: -(-len(samples) // BASE_IMAGES) or 1]
    network = base.network
    metrics, outcomes = evaluate(
        network.predict, network.variables, samples, config, network.sharding, progress=progress
    )
    album.failures += [outcome.reason for outcome in outcomes if outcome.reason]
    figures = []
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
