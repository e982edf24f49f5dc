"""What is said at the end: what was taken, what was not and why."""

import collections
import os
from typing import NamedTuple

from ppocr_jax.annotations.division import TEST, TRAIN, VAL
from ppocr_jax.annotations.folder import RECORD
from ppocr_jax.annotations.records import counted

LARGE_GROUP = 0.5  # share of all pictures in one group from which on it is said
SHOWN = 5  # pictures that are refused; the record names all


class Result(NamedTuple):
    """notes: lines on what was done; warnings: on what was not; faults: whether something that is
    broken was left out."""

    notes: list[str]
    warnings: list[str]
    faults: bool


class Facts(NamedTuple):
    """What was done.

    Attributes:
        rows: `folder.Row` of every new picture; without a name where it was left out.
        old: rows of the pictures that were there before.
        known: how many pictures were there already, byte for byte.
        left: rows of what was refused or has no labels.
        groups: group of every old and new picture.
        placed: `Placed` of every new picture.
    """

    rows: list
    old: list
    known: int
    left: list
    groups: list[int]
    placed: list


def sum_up(facts, options, job):
    """The `Result` in words."""
    refusals = job.findings.refusals
    unlabelled = facts.left[len(refusals) :]
    unsettled = [row for row in facts.rows if not row.picture]
    record = os.path.join(options.output, RECORD)
    warnings = [f"{r.where}: {r.reason}; left out" for r in refusals[:SHOWN]]
    if len(refusals) > SHOWN:
        warnings.append(f"and {len(refusals) - SHOWN} more are left out; {record} says why")
    warnings += job.findings.lines()
    if unsettled:
        number, reason = counted(len(unsettled), "picture"), unsettled[0].reason
        warnings.append(f"left out: {number}, such as {unsettled[0].source}: {reason}")
    notes = [*job.notes, *_picture_notes(facts, unlabelled, job), *_group_notes(facts.groups)]
    taken = [row for row in facts.rows if row.picture]
    for split in (TRAIN, VAL, TEST):
        rows, old = ([r for r in part if r.split == split] for part in (taken, facts.old))
        if rows or old or split == TRAIN:
            notes.append(_describe(split, rows, old))
    left = len(facts.left) + len(unsettled)
    notes.append(
        f"{counted(len(taken), 'picture')} taken, {left} left out: {record} says where each is from"
    )
    return Result(notes, warnings, bool(refusals) or job.findings.broken)


def _picture_notes(facts, unlabelled, job):
    """Lines on how pictures were found and turned, and which are there or have no labels."""
    notes = []
    if job.pictures.by_name:
        number = counted(job.pictures.by_name, "picture")
        notes.append(f"{number} found by the last part of the path alone")
    turned = [item for item in facts.placed if item.turned]
    if turned:
        stored = sum(item.stored for item in turned)
        notes.append(
            f"{counted(len(turned), 'picture')} turned upright as EXIF says; the labels are taken "
            f"for those of the upright picture with {len(turned) - stored}, of the stored one with "
            f"{stored}"
        )
    guessed = [item.labelled for item in turned if item.labelled.size is None]
    if guessed:
        notes.append(
            f"{len(guessed)} of them state no size: look at {guessed[0].name}, and take --frame "
            "stored if its labels lie elsewhere"
        )
    if facts.known:
        notes.append(f"there already, and left as it is: {counted(facts.known, 'picture')}")
    if unlabelled:
        number = counted(len(unlabelled), "picture")
        notes.append(f"left out, without labels: {number}, such as {unlabelled[0].source}")
    return notes


def _group_notes(groups):
    """Lines on what stays together."""
    several = [size for size in collections.Counter(groups).values() if size > 1]
    if not several:
        return []
    notes = [
        f"kept together: {sum(several)} pictures in {counted(len(several), 'group')}, alike or "
        "with the same key of --groups"
    ]
    if max(several) > LARGE_GROUP * len(groups):
        notes.append(f"one group has {max(several)} of all {len(groups)} pictures")
    return notes


def _describe(split, rows, old):
    """A line on a split."""
    words, ignored = sum(row.words for row in rows), sum(row.ignored for row in rows)
    empty = sum(not row.words and not row.ignored for row in rows)
    before = f", beside {len(old)} from before" if old else ""
    return (
        f"{split}: {counted(len(rows), 'picture')}, {counted(words, 'word')}, {ignored} ignored, "
        f"{counted(empty, 'picture')} without text{before}"
    )
