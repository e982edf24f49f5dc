"""A data set on one page: labels, word sizes, training crops, and what given weights find in it.

The page contains its pictures; they are also written as files beside it, for other viewers.
"""

import os
import pathlib
import re
from typing import NamedTuple

from ml_collections import ConfigDict

from ppocr_jax import __version__
from ppocr_jax.data.findings import condense
from ppocr_jax.data.splits import prepare_root
from ppocr_jax.files import write_text
from ppocr_jax.locks import hold_folder
from ppocr_jax.pages.building import write_page
from ppocr_jax.pages.histograms import draw_histograms
from ppocr_jax.pages.look_data import read_split, write_table
from ppocr_jax.pages.look_pictures import COLOURS, CROP_LEGEND
from ppocr_jax.pages.look_pictures import LEGEND as LABEL_LEGEND
from ppocr_jax.pages.look_sections import (
    Album,
    Base,
    describe_lost,
    describe_small,
    histogram_columns,
    show_base,
    show_crops,
    show_labels,
)
from ppocr_jax.pages.mistakes import legend as error_legend

__all__ = ["Base", "Look", "show"]

MOST_FINDINGS = 60  # lines
OWN = re.compile(r"(labels_(train|val)|crop|base)_\d+\.jpg")  # files that an earlier look wrote


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
        lost = describe_lost(train, train.looks, config)
        small = [sentence for split in splits if (sentence := describe_small(split))]
        labels = [show_labels(split, config, images, album) for split in splits]
        plot = draw_histograms(*histogram_columns(splits, train.looks, config))
        crop_figures = show_crops(train, config, crops, album)
        found = show_base(splits[1], config, base, album, progress) if base else None
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
            page, "look.html", splits=labels, plot=plot, lost=lost, small=small,
            crops=crop_figures, base=found,
            findings=findings[:MOST_FINDINGS], more_findings=len(findings[MOST_FINDINGS:]),
            count=len(problems), failures=failures, config=config, version=__version__,
            legend_entries=[(text, _rgb(COLOURS[kind])) for kind, text in LABEL_LEGEND.items()],
            crop_legend=[(text, _rgb(colour)) for text, colour in CROP_LEGEND.items()],
            base_legend=error_legend(),
        )  # fmt: skip
    lines = [line for split in splits for line in split.notes]
    lines += [lost["sentence"], *small]
    lines += found["sentences"] if found else []
    table = page.with_name("words.csv")
    lines.append(
        f"wrote {page} ({album.count} pictures, also in {pictures}) and {table} (every word)"
    )
    return Look(lines, [*unread, *failures])


def _rgb(colour: tuple[int, int, int]) -> str:
    return "rgb({}, {}, {})".format(*colour)
