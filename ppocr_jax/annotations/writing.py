"""Assigns splits and names to the images of a data set, and writes its label files."""

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ppocr_jax.annotations import folder, summary
from ppocr_jax.annotations.division import TEST, TRAIN, VAL, divide, group_keys, join_groups
from ppocr_jax.annotations.placing import Placed
from ppocr_jax.annotations.records import Findings
from ppocr_jax.annotations.sources import Job
from ppocr_jax.data.likeness import find_alike
from ppocr_jax.errors import UserError
from ppocr_jax.files import write_text

if TYPE_CHECKING:
    from ppocr_jax.annotations.preparation import Options

UNLABELLED = "no labels"
SEVERAL_SPLITS = "a near-duplicate of images in several splits"


def write_labels(
    placed: list[Placed],
    before: Sequence[folder.Row],
    target: pathlib.Path,
    options: "Options",
    job: Job,
) -> summary.Facts:
    """Assigns splits and names to images, and writes the label files and `prepared.csv`.

    Args:
        placed: the new images, in the folder under temporary names.
        before: rows of the data set so far; none for a new one.
        target: the folder.
        options: of the preparation.
        job: takes remarks, and finds the images without labels.

    Returns:
        What was done, for the summary.

    Raises:
        UserError: there is no usable image, or too few for the splits.
    """
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
        _finish(item, splits[count + i], keys[count + i], names) for i, item in enumerate(placed)
    ]
    drawn = [index - count for index in order if index >= count]
    _add_lines(target, placed, rows, drawn)

    # --- the record: an image that was skipped before loses its old row, used now or skipped again
    there = [item.labelled.path for item in whole]
    left = _left_out(job, [*there, *(row.source for row in before)])
    now = {row.source for row in [*rows, *left]}
    kept = [row for row in before if row.picture or row.source not in now]
    folder.write_rows(target / folder.RECORD, [*kept, *rows, *left])
    return summary.Facts(rows, old, known, left, groups, placed)


def _divide(
    keys: Sequence[str],
    alike: Iterable[Sequence[int]],
    fixed: Sequence[str],
    options: "Options",
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


def _finish(item: Placed, split: str, group: str, names: folder.Names) -> folder.Row:
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


def _add_lines(
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
        if new:  # a split without images gets no file
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
