"""The summary at the end: what was added, what was skipped, and why."""

import collections
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ppocr_jax.annotations.division import TEST, TRAIN, VAL
from ppocr_jax.annotations.folder import RECORD, Row
from ppocr_jax.errors import counted

if TYPE_CHECKING:
    from ppocr_jax.annotations.placing import Placed
    from ppocr_jax.annotations.preparation import Options
    from ppocr_jax.annotations.sources import Job

LARGE_GROUP = 0.5  # fraction of all images; a group that holds more of them is mentioned
SHOWN = 5  # refused images that are listed; prepared.csv has all of them


class Result(NamedTuple):
    """The summary of one preparation.

    Attributes:
        notes: lines on what was done.
        warnings: lines on what was not.
        faults: whether anything was skipped because it is broken.
    """

    notes: list[str]
    warnings: list[str]
    faults: bool


class Facts(NamedTuple):
    """What was done.

    Attributes:
        rows: one for every new image; `picture` is empty if it was skipped.
        old: rows of the images that were there before.
        known: number of images that were there already, byte for byte.
        left: rows of what was refused or has no labels.
        groups: group of every old and new image.
        placed: every new image.
    """

    rows: list[Row]
    old: list[Row]
    known: int
    left: list[Row]
    groups: list[int]
    placed: "list[Placed]"


def sum_up(facts: Facts, options: "Options", job: "Job") -> Result:
    """The summary in words."""
    return Result(
        notes=list(_notes(facts, options, job)),
        warnings=list(_warnings(facts, options, job)),
        faults=bool(job.findings.refusals) or job.findings.broken,
    )


def _warnings(facts: Facts, options: "Options", job: "Job") -> Iterator[str]:
    """Lines on images and words that were skipped."""
    refusals = job.findings.refusals
    yield from (f"{refusal.where}: {refusal.reason}; skipped" for refusal in refusals[:SHOWN])
    if len(refusals) > SHOWN:
        yield f"and {len(refusals) - SHOWN} more are skipped; {_record(options)} says why"
    yield from job.findings.lines()
    unassigned = [row for row in facts.rows if not row.picture]
    if unassigned:
        number, first = counted(len(unassigned), "image"), unassigned[0]
        yield f"{number} skipped, such as {first.source}: {first.reason}"


def _notes(facts: Facts, options: "Options", job: "Job") -> Iterator[str]:
    """Lines on what was read and written; the last one counts the images."""
    yield from job.notes
    yield from _image_notes(facts, job)
    yield from _group_notes(facts.groups)
    added = [row for row in facts.rows if row.picture]
    for split in (TRAIN, VAL, TEST):
        rows, old = ([r for r in part if r.split == split] for part in (added, facts.old))
        if rows or old or split == TRAIN:
            yield _describe(split, rows, old)
    skipped = len(facts.left) + len(facts.rows) - len(added)
    yield (
        f"{counted(len(added), 'image')} added, {skipped} skipped; {_record(options)} says where "
        "each came from"
    )


def _record(options: "Options") -> str:
    return os.path.join(options.output, RECORD)


def _image_notes(facts: Facts, job: "Job") -> Iterator[str]:
    """Lines on how images were found and rotated, and on those that needed nothing."""
    if job.images.by_name:
        number = counted(job.images.by_name, "image")
        yield f"{number} found by file name alone, in another folder than the labels name"
    turned = [item for item in facts.placed if item.turned]
    if turned:
        stored = sum(item.stored for item in turned)
        yield (
            f"{counted(len(turned), 'image')} rotated upright by EXIF; labels read as drawn on the "
            f"upright image for {len(turned) - stored}, on the unrotated one for {stored}"
        )
    guessed = [item.labelled for item in turned if item.labelled.size is None]
    if guessed:
        yield (
            f"{len(guessed)} of them do not state the size they were labelled at: look at "
            f"{guessed[0].name}, and if its labels are misplaced, use --frame stored"
        )
    if facts.known:
        yield f"already in the folder, left unchanged: {counted(facts.known, 'image')}"
    unlabelled = facts.left[len(job.findings.refusals) :]
    if unlabelled:
        number = counted(len(unlabelled), "image")
        yield f"{number} skipped for having no labels, such as {unlabelled[0].source}"


def _group_notes(groups: Sequence[int]) -> Iterator[str]:
    """Lines on what stays in one split."""
    several = [size for size in collections.Counter(groups).values() if size > 1]
    if not several:
        return
    yield (
        f"kept together: {sum(several)} images in {counted(len(several), 'group')} of "
        "near-duplicates or of one --groups key; no group is divided between splits"
    )
    if max(several) > LARGE_GROUP * len(groups):
        yield f"one group holds {max(several)} of all {len(groups)} images"


def _describe(split: str, rows: Iterable[Row], old: Sequence[Row]) -> str:
    """A line on one split."""
    rows = list(rows)
    words, ignored = sum(row.words for row in rows), sum(row.ignored for row in rows)
    empty = sum(not row.words and not row.ignored for row in rows)
    before = f", plus {len(old)} added earlier" if old else ""
    return (
        f"{split}: {counted(len(rows), 'image')}, {counted(words, 'word')}, {ignored} ignored, "
        f"{counted(empty, 'image')} without text{before}"
    )
