"""Turns labels and images from elsewhere into a data set to train from."""

import os
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

from ppocr_jax.annotations import folder, summary
from ppocr_jax.annotations.division import TEST, VAL
from ppocr_jax.annotations.placing import place_all
from ppocr_jax.annotations.records import Findings, LabelledImage
from ppocr_jax.annotations.sources import read_sources
from ppocr_jax.annotations.writing import write_labels
from ppocr_jax.errors import UserError
from ppocr_jax.files import replacing
from ppocr_jax.locks import hold_output


class Options(NamedTuple):
    """The options of `prepare`, as on the command line.

    Attributes:
        sources: label files and folders.
        output: folder to make.
        images: more folders to look for images in.
        format: the only format to read; None for whichever is recognised.
        classes: classes that are text; none for all.
        val: validation split, a fraction below 1 or a number of images.
        test: the same for the test split.
        seed: of the random split.
        groups: what stays in one split, see `division.group_keys`.
        max_side: longest side of an image, pixels; 0 for no limit.
        link: link to images instead of copying them, unless they have to be reduced.
        frame: "auto", "upright" or "stored", see `frames`.
        add: add to a data set that exists.
    """

    sources: tuple[str, ...]
    output: str
    images: tuple[str, ...] = ()
    format: str | None = None
    classes: tuple[str, ...] = ()
    val: float = 0.2
    test: float = 0.0
    seed: int = 0
    groups: str = ""
    max_side: int = 0
    link: bool = False
    frame: str = "auto"
    add: bool = False


def prepare(options: Options, progress: bool = False) -> summary.Result:
    """Makes a data set, completely or not at all; the sources are never changed.

    Args:
        options: what to make of which sources.
        progress: show a progress bar.

    Raises:
        UserError: no usable image, an output that exists, or options that contradict each other.
    """
    output = pathlib.Path(options.output)
    _check(options, output)
    with hold_output(output):
        _require_place(options, output)
        # The output may lie inside a source; neither it nor the rest of a killed run is input.
        own = [f"{output}{ending}" for ending in ("", ".tmp", ".old")]
        found, job = read_sources(
            options.sources, options.images, options.format, options.classes, leave_out=own
        )
        found = _each_once(found, job.findings)
        if os.path.lexists(f"{output}.tmp"):
            job.say(f"removed {output}.tmp, left behind by an earlier run that did not finish")
        with replacing(output.resolve()) as written:
            temporary = pathlib.Path(written)
            before: list[folder.Row] = []
            if options.add:
                folder.carry_over(output, temporary)
                before = folder.read_rows(output)
            images = temporary / folder.IMAGES
            images.mkdir(parents=True, exist_ok=True)
            placed = place_all(found, images, options, job.findings, progress)
            facts = write_labels(placed, before, temporary, options, job)
    return summary.sum_up(facts, options, job)


def _check(options: Options, output: pathlib.Path) -> None:
    """Refuses impossible options."""
    for name in (VAL, TEST):
        value = getattr(options, name)
        if not (0 <= value < 1 or value >= 1 and float(value).is_integer()):
            raise UserError(f"--{name} {value}: give a fraction below 1, or a number of images")
    if options.val < 1 and options.test < 1 and options.val + options.test >= 1:
        raise UserError("--val and --test leave nothing to train on: their sum must be below 1")
    if options.max_side < 0 or 0 < options.max_side < 32:  # 32 is the network's stride
        raise UserError(f"--max-side {options.max_side}: give at least 32 pixels")
    for source in options.sources:
        if os.path.abspath(source) == os.path.abspath(output):
            raise UserError(f"--output {output}: is also a source; name another folder")


def _require_place(options: Options, output: pathlib.Path) -> None:
    """Refuses an output that exists, or with --add, one that does not."""
    if options.add:
        if not output.is_dir():
            raise UserError(f"--add: there is no folder {output} to add to")
        folder.read_rows(output)
    elif output.is_dir() and any(output.iterdir()):
        raise UserError(f"--output {output}: exists already; name another folder, or use --add")
    elif output.exists() and not output.is_dir():
        raise UserError(f"--output {output}: is a file; name a folder")


def _each_once(found: Iterable[LabelledImage], findings: Findings) -> list[LabelledImage]:
    """Keeps the first labels of each image and refuses any others."""
    first: dict[str, str] = {}
    kept = []
    for labelled in found:
        key = os.path.realpath(labelled.path) if labelled.path else labelled.where
        if key in first:
            reason = f"its image is labelled in {first[key]} already"
            findings.refuse(labelled.where, reason, labelled.path)
        else:
            first[key] = labelled.where
            kept.append(labelled)
    return kept
