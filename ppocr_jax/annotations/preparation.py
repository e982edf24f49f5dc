"""Labels and pictures from elsewhere -> a folder to train from."""

import collections
import concurrent.futures
import functools
import hashlib
import os
import pathlib
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ppocr_jax.annotations.copies import write_copy
from ppocr_jax.annotations.division import TEST, TRAIN, VAL, divide, group_keys, join_groups
from ppocr_jax.annotations.folder import (
    IMAGES,
    RECORD,
    Names,
    Row,
    carry_over,
    label_line,
    pack,
    read_rows,
    unpack,
    write_rows,
)
from ppocr_jax.annotations.frames import Frame, find_frame, read_orientation
from ppocr_jax.annotations.recognition import read_sources
from ppocr_jax.annotations.records import Labelled, Refusal, counted
from ppocr_jax.data.likeness import fingerprint
from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError
from ppocr_jax.files import replacing, write_text
from ppocr_jax.locks import hold_output

UNLABELLED = "no labels"
LARGE_GROUP = 0.5  # share of all pictures in one group from which on it is said


class Options(NamedTuple):
    """What `prepare` is asked for.

    Attributes:
        sources: label files and folders.
        output: folder to make.
        images: more folders of pictures.
        format: the one that is read; None: what is recognised.
        classes: those that are text; none for all.
        val, test: shares below 1, or numbers of pictures.
        seed: of the split.
        groups: see `division.group_keys`.
        max_side: pixels of the longer side at most; 0 for any.
        link: links instead of copies, where pictures stay as they are.
        frame: "auto", "upright" or "stored", see `frames`.
        add: whether to continue a folder that is there.
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


class Placed(NamedTuple):
    """A picture that lies in the new folder under a name for the time being."""

    labelled: Labelled
    place: pathlib.Path
    ending: str
    size: tuple[int, int]  # (height, width) in the new folder
    scale: tuple[float, float]  # (x, y), by which it is smaller
    frame: Frame
    fingerprint: np.ndarray
    sha256: str
    turned: bool


class Result(NamedTuple):
    """notes: lines on what was done; warnings: on what was not, which is not the user's fault
    alone; faults: whether something is left out that is broken."""

    notes: list[str]
    warnings: list[str]
    faults: bool


def prepare(options, progress=False):
    """Makes a folder to train from, whole or not at all; the sources stay as they are.

    Returns:
        `Result`.

    Raises:
        UserError: nothing to take, an output that is there, options that cannot be.
    """
    output = pathlib.Path(options.output)
    _check(options, output)
    with hold_output(output):
        _require_place(options, output)
        own = [f"{output}{ending}" for ending in ("", ".tmp", ".old")]
        found, job = read_sources(
            options.sources, options.images, options.format, options.classes, leave_out=own
        )
        found = _each_once(found, job.findings)
        with replacing(output.absolute()) as temporary:
            temporary = pathlib.Path(temporary)
            before = []
            if options.add:
                carry_over(output, temporary)
                before = read_rows(output)
            (temporary / IMAGES).mkdir(parents=True, exist_ok=True)
            placed = _place_all(found, temporary / IMAGES, options, job.findings, progress)
            result = _write(placed, before, temporary, options, job)
    return result


def _check(options, output):
    """Refuses options that cannot be."""
    for name in (VAL, TEST):
        value = getattr(options, name)
        if not (0 <= value < 1 or value == int(value) >= 1):
            raise UserError(f"--{name} {value}: give a share below 1, or a number of pictures")
    if options.val < 1 and options.test < 1 and options.val + options.test >= 1:
        raise UserError("--val and --test leave nothing to train on: their sum has to be below 1")
    if options.max_side < 0 or 0 < options.max_side < 32:
        raise UserError(f"--max-side {options.max_side}: give at least 32 pixels")
    for source in options.sources:
        if os.path.abspath(source) == os.path.abspath(output):
            raise UserError(f"--output {output}: is the source itself; name another folder")


def _require_place(options, output):
    """Refuses an output that is there, or, with --add, that is not."""
    if options.add:
        if not output.is_dir():
            raise UserError(f"--add: there is no folder {output} to continue")
        read_rows(output)
    elif output.is_dir() and any(output.iterdir()):
        raise UserError(f"--output {output}: is there already; --add continues it")
    elif output.exists() and not output.is_dir():
        raise UserError(f"--output {output}: is a file; name a folder")


def _each_once(found, findings):
    """Pictures without those that were labelled before, in another file."""
    first, kept = {}, []
    for labelled in found:
        key = os.path.realpath(labelled.path) if labelled.path else labelled.where
        if key in first:
            reason = f"its picture is labelled in {first[key]} already"
            findings.refuse(labelled.where, reason, labelled.path)
        else:
            first[key] = labelled.where
            kept.append(labelled)
    return kept


# --- pictures -----------------------------------------------------------------------------------


def _place_all(found, folder, options, findings, progress):
    """`Placed` of every picture that can be taken."""
    jobs = [(labelled, folder / f".{index}") for index, labelled in enumerate(found)]
    work = functools.partial(_place, options=options)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            done = pool.map(lambda job: work(*job), jobs)
            bar = tqdm(done, total=len(jobs), unit="picture", disable=not progress)
            results = list(bar)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    placed = []
    for result in results:
        if isinstance(result, Refusal):
            findings.refusals.append(result)
        else:
            placed.append(result)
    return placed


def _place(labelled, place, options):
    """Puts one picture into the new folder; `Placed`, or `Refusal`."""
    try:
        if labelled.path:
            try:
                return _place_file(labelled, labelled.path, place, options)
            except ValueError:
                if labelled.embedded is None:
                    raise
        written = place.with_name(place.name + ".embedded")
        written.write_bytes(labelled.embedded())
        try:
            return _place_file(labelled, written, place, options, embedded=True)
        finally:
            written.unlink()
    except UserError as error:
        reason = str(error).removeprefix(f"{labelled.path}: ")
        reason = "its embedded picture cannot be read" if ".embedded" in reason else reason
        return Refusal(labelled.where, labelled.path or labelled.name, reason)
    except ValueError as error:
        return Refusal(labelled.where, labelled.path or labelled.name, str(error))


def _place_file(labelled, path, place, options, embedded=False):
    path = pathlib.Path(path)
    orientation = read_orientation(path)

    def use(image):
        frame = find_frame(labelled, image.shape[:2], orientation, options.frame)
        larger = options.max_side and max(image.shape[:2]) > options.max_side
        if options.link and not larger and not embedded:
            os.symlink(path.resolve(), place)
            ending, scale = path.suffix, 1.0
        else:
            ending, scale = write_copy(path, image, orientation > 1, place, options.max_side)
        height, width = image.shape[:2]
        size = (height, width) if scale == 1 else _scaled(height, width, scale)
        factors = (size[1] / width, size[0] / height)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Placed(
            labelled, place, ending, size, factors, frame, fingerprint(image), digest,
            orientation > 1,
        )  # fmt: skip

    return read_image(path, then=use)


def _scaled(height, width, scale):
    return max(1, round(height * scale)), max(1, round(width * scale))


# --- splits, names, label files -----------------------------------------------------------------


def _write(placed, before, folder, options, job):
    """Divides, names and writes; returns the `Result`."""
    old = [row for row in before if row.picture]
    placed, known = _leave_known(placed, old)
    if not placed and not known:
        refusals = job.findings.refusals
        why = f": {refusals[0].where}: {refusals[0].reason}" if refusals else ""
        raise UserError(f"{options.sources[0]}: no picture can be taken{why}")
    paths = [item.labelled.path or item.labelled.where for item in placed]
    keys = [row.group for row in old] + group_keys(paths, options.groups)
    prints = [unpack(row.fingerprint) for row in old] + [item.fingerprint for item in placed]
    groups = join_groups(keys, np.array(prints).reshape(-1, 4))
    fixed = [row.split for row in old] + [""] * len(placed)
    splits, order = divide(groups, fixed, options.val, options.test, options.seed)
    rows, lines = {}, collections.defaultdict(list)
    names = Names(os.listdir(folder / IMAGES))
    for index, item in enumerate(placed):
        split = splits[len(old) + index]
        rows[index], line = _settle(item, split, keys[len(old) + index], names)
        if line:
            lines[index] = [split, line]
    _write_labels(folder, lines, [i - len(old) for i in order if i >= len(old)])
    new = list(rows.values())
    unlabelled = _unlabelled(job, new, before)
    refused = [
        Row(refusal.name or refusal.where, refusal.where, reason=refusal.reason)
        for refusal in job.findings.refusals
    ]
    seen = {(row.source, row.reason) for row in before if row.reason}
    left = [row for row in [*refused, *unlabelled] if (row.source, row.reason) not in seen]
    write_rows(folder / RECORD, [*before, *new, *left])
    return _summary(new, old, known, unlabelled, groups, placed, options, job)


def _leave_known(placed, old):
    """Pictures without those whose very bytes are in the folder already; and how many those are."""
    there = {row.sha256 for row in old}
    kept = [item for item in placed if item.sha256 not in there]
    for item in placed:
        if item.sha256 in there:
            item.place.unlink()
    return kept, len(placed) - len(kept)


def _settle(item, split, group, names):
    """Gives a picture its name: `(Row, line of the label file or "")`."""
    labelled = item.labelled
    source = labelled.path or labelled.where
    if not split:
        item.place.unlink()
        reason = "shows the same as pictures of several splits"
        return Row(source, labelled.where, reason=reason, group=group), ""
    ending = item.ending if item.ending.strip() else ".png"
    name = names.choose(labelled.path or labelled.name, ending)
    item.place.rename(item.place.with_name(name))
    ignored = sum(word.ignored for word in labelled.words)
    row = Row(
        source=source,
        labels=labelled.where,
        picture=f"{IMAGES}/{name}",
        split=split,
        words=len(labelled.words) - ignored,
        ignored=ignored,
        width=item.size[1],
        height=item.size[0],
        group=group,
        sha256=item.sha256,
        fingerprint=pack(item.fingerprint),
    )
    return row, label_line(row.picture, labelled.words, item.frame, item.scale)


def _write_labels(folder, lines, order):
    """Adds lines to `train.txt`, `val.txt` and `test.txt`, in the order of drawing."""
    for split in (TRAIN, VAL, TEST):
        path = folder / f"{split}.txt"
        new = "".join(lines[i][1] for i in order if i in lines and lines[i][0] == split)
        if new:
            text = path.read_bytes().decode() if path.exists() else ""
            write_text(path, text + "\n" * bool(text and text[-1] != "\n") + new)


def _unlabelled(job, new, before):
    """Rows of pictures that no label file names."""
    used = {os.path.realpath(row.source) for row in [*new, *before]}
    used |= {os.path.realpath(refusal.name) for refusal in job.findings.refusals}
    free = [path for path in job.pictures.all() if os.path.realpath(path) not in used]
    return [Row(path, reason=UNLABELLED) for path in free]


# --- what is said -------------------------------------------------------------------------------


def _summary(new, old, known, unlabelled, groups, placed, options, job):
    """The `Result` in words."""
    taken = [row for row in new if row.picture]
    notes, warnings = list(job.notes), []
    for refusal in job.findings.refusals:
        warnings.append(f"{refusal.where}: {refusal.reason}; left out")
    warnings += job.findings.lines()
    if job.pictures.by_name:
        notes.append(
            f"{counted(job.pictures.by_name, 'picture')} found by the last part of the path alone"
        )
    notes += _turn_notes(placed)
    if known:
        notes.append(f"there already, and left as it is: {counted(known, 'picture')}")
    if unlabelled:
        notes.append(
            f"left out, without labels: {counted(len(unlabelled), 'picture')}, such as "
            f"{unlabelled[0].source}"
        )
    unsettled = [row for row in new if not row.picture]
    if unsettled:
        warnings.append(f"left out: {counted(len(unsettled), 'picture')}: {unsettled[0].reason}")
    notes += _group_notes(groups)
    for split in (TRAIN, VAL, TEST):
        rows = [row for row in taken if row.split == split]
        if rows or split == TRAIN:
            notes.append(_describe(split, rows, [row for row in old if row.split == split]))
    left = len(job.findings.refusals) + len(unlabelled) + len(unsettled)
    notes.append(
        f"{counted(len(taken), 'picture')} taken, {left} left out: "
        f"{os.path.join(options.output, RECORD)} says where each is from"
    )
    return Result(notes, warnings, bool(job.findings.refusals) or job.findings.broken)


def _turn_notes(placed):
    turned = [item for item in placed if item.turned]
    stored = sum(item.frame.turn > 1 for item in turned)
    guessed = [item for item in turned if item.labelled.size is None]
    notes = []
    if turned:
        notes.append(
            f"{counted(len(turned), 'picture')} turned upright as EXIF says; the labels are for the "
            f"upright picture with {len(turned) - stored}, for the stored one with {stored}"
        )
    if guessed:
        notes.append(
            f"{len(guessed)} of them state no size: look at {guessed[0].labelled.name}, and take "
            "--frame stored if its labels lie elsewhere"
        )
    return notes


def _group_notes(groups):
    sizes = collections.Counter(groups)
    several = [size for size in sizes.values() if size > 1]
    if not several:
        return []
    notes = [
        f"kept together: {sum(several)} pictures in {counted(len(several), 'group')}, with the same "
        "key of --groups, or alike"
    ]
    if max(several) > LARGE_GROUP * len(groups):
        notes.append(f"one group has {max(several)} of all {counted(len(groups), 'picture')}")
    return notes


def _describe(split, rows, old):
    words, ignored = sum(row.words for row in rows), sum(row.ignored for row in rows)
    empty = sum(not row.words and not row.ignored for row in rows)
    before = f", beside {len(old)} from before" if old else ""
    return (
        f"{split}: {counted(len(rows), 'picture')}, {counted(words, 'word')}, {ignored} ignored, "
        f"{counted(empty, 'picture')} without text{before}"
    )
