"""Turns labels and images from elsewhere into a data set to train from."""

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ppocr_jax.annotations import folder, summary
from ppocr_jax.annotations.division import TEST, TRAIN, VAL, divide, group_keys, join_groups
from ppocr_jax.annotations.placing import Placed, place_all
from ppocr_jax.annotations.records import Findings, LabelledImage
from ppocr_jax.annotations.sources import Job, read_sources
from ppocr_jax.data.likeness import find_alike
from ppocr_jax.errors import UserError
from ppocr_jax.files import replacing, write_text
from ppocr_jax.locks import hold_output

UNLABELLED = "no labels"
SEVERAL_SPLITS = "a near-duplicate of images in several splits"


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
            facts = _write(placed, before, temporary, options, job)
    return summary.sum_up(facts, options, job)


def _check(options: Options, output: pathlib.Path) -> None:
    """Refuses impossible options."""
    for name in (VAL, TEST):
        value = getattr(options, name)
        if not (0 <= value < 1 or value >= 1 and float(value).is_integer()):
            raise UserError(f"--{name} {value}: give a fraction below 1, or a number of images")
    if options.val < 1 and options.test < 1 and options.val + options.test >= 1:
        raise UserError("--val and --test leave nothing to train on: their sum must be below 1")
    if options.max_side < 0 or 0 < options.max_side < 32:
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
        raise UserError(f"--output {output}: exists already; use --add to add to it")
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


# --- splits, names, label files -----------------------------------------------------------------


def _write(
    placed: list[Placed],
    before: Sequence[folder.Row],
    target: pathlib.Path,
    options: Options,
    job: Job,
) -> summary.Facts:
    """Assigns splits and names, and writes the label files and `prepared.csv`."""
    # --- leave out what is in the data set already
    old = [row for row in before if row.picture]
    whole = placed
    placed, known = _leave_known(placed, old)
    if not placed and not known:
        refusals = job.findings.refusals
        why = f": {refusals[0].where}: {refusals[0].reason}" if refusals else ""
        raise UserError(f"{options.sources[0]}: no usable image{why}")

    # --- splits: old and new images are grouped together, so that duplicates meet
    paths = [item.labelled.path or item.labelled.where for item in placed]
    keys = [row.group for row in old] + group_keys(paths, options.groups)
    prints = [folder.unpack(row.fingerprint) for row in old]
    prints += [item.fingerprint for item in placed]
    fixed = [row.split for row in old] + [""] * len(placed)
    groups, splits, order = _divide(keys, find_alike(prints), fixed, options, job.findings)

    # --- names and label files
    names = folder.Names(os.listdir(target / folder.IMAGES))
    count = len(old)
    rows = [
        _settle(item, splits[count + i], keys[count + i], names) for i, item in enumerate(placed)
    ]
    drawn = [index - count for index in order if index >= count]
    _write_labels(target, placed, rows, drawn)

    # --- the record: an image that was skipped before and is used now loses its old row
    there = [item.labelled.path for item in whole]
    left = _left_out(job, [*there, *(row.source for row in before)])
    now = {row.source for row in rows}
    kept = [row for row in before if row.picture or row.source not in now]
    recorded = {(row.source, row.reason) for row in kept}
    new = [*rows, *(row for row in left if (row.source, row.reason) not in recorded)]
    folder.write_rows(target / folder.RECORD, [*kept, *new])
    return summary.Facts(rows, old, known, left, groups, placed)


def _divide(
    keys: Sequence[str],
    alike: Iterable[tuple[int, int]],
    fixed: Sequence[str],
    options: Options,
    findings: Findings,
) -> tuple[list[int], list[str], list[int]]:
    """`(groups, splits, order)`, see `division.divide`.

    If so many images are near-duplicates that keeping them together would leave a split empty, they
    are divided anyway, with a warning: synthetic scenes and pages of one form look like that.
    """

    def draw(groups: list[int]) -> tuple[list[int], list[str], list[int]]:
        return groups, *divide(groups, fixed, options.val, options.test, options.seed)

    groups, apart = join_groups(keys, alike), join_groups(keys)
    try:
        return draw(groups)
    except UserError:
        if groups == apart:
            raise
        result = draw(apart)
    findings.say(
        "nearly all images are near-duplicates of each other; keeping them together would leave a "
        "split empty, so they are divided anyway, and scores on val or test say little"
    )
    return result


def _leave_known(placed: Iterable[Placed], old: Iterable[folder.Row]) -> tuple[list[Placed], int]:
    """`(the other images, count)` after removing those whose exact bytes are there already."""
    there = {row.sha256 for row in old}
    kept, known = [], 0
    for item in placed:
        if item.sha256 in there:
            item.place.unlink()
            known += 1
        else:
            kept.append(item)
    return kept, known


def _settle(item: Placed, split: str, group: str, names: folder.Names) -> folder.Row:
    """Gives an image its final name, or removes it if it has no split; returns its row."""
    labelled = item.labelled
    source = os.path.abspath(labelled.path) if labelled.path else labelled.where
    if not split:
        item.place.unlink()
        return folder.Row(source, labelled.where, reason=SEVERAL_SPLITS, group=group)
    name = names.choose(labelled.path or labelled.name, item.ending)
    item.place.rename(item.place.with_name(name))
    ignored = sum(word.ignored for word in labelled.words)
    return folder.Row(
        source=source,
        labels=labelled.where,
        picture=f"{folder.IMAGES}/{name}",
        split=split,
        words=len(labelled.words) - ignored,
        ignored=ignored,
        width=item.size[1],
        height=item.size[0],
        group=group,
        sha256=item.sha256,
        fingerprint=folder.pack(item.fingerprint),
    )


def _write_labels(
    target: pathlib.Path,
    placed: Sequence[Placed],
    rows: Sequence[folder.Row],
    order: Iterable[int],
) -> None:
    """Adds lines to `train.txt`, `val.txt` and `test.txt`, in the random order of the split."""
    order = list(order)
    for split in (TRAIN, VAL, TEST):
        path = target / f"{split}.txt"
        new = "".join(
            folder.label_line(rows[i].picture, placed[i].words, placed[i].scale)
            for i in order
            if rows[i].split == split
        )
        if new:
            text = path.read_bytes().decode() if path.exists() else ""
            write_text(path, text + "\n" * bool(text and text[-1] != "\n") + new)


def _left_out(job: Job, there: Iterable[str]) -> list[folder.Row]:
    """Rows of the images that were refused, then of those that no label file names.

    Args:
        job: has the refusals, and finds all images.
        there: paths of the images that are used, or were recorded before.
    """
    refused = [
        folder.Row(
            os.path.abspath(refusal.name) if os.path.exists(refusal.name) else refusal.name,
            refusal.where,
            reason=refusal.reason,
        )
        for refusal in job.findings.refusals
    ]
    used = {os.path.realpath(path) for path in [*there, *(row.source for row in refused)]}
    free = [path for path in job.images.all() if os.path.realpath(path) not in used]
    return [*refused, *(folder.Row(os.path.abspath(path), reason=UNLABELLED) for path in free)]
