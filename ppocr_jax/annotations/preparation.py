"""Labels and pictures from elsewhere -> a folder to train from."""

import os
import pathlib
from typing import NamedTuple

from ppocr_jax.annotations import account, folder
from ppocr_jax.annotations.division import TEST, TRAIN, VAL, divide, group_keys, join_groups
from ppocr_jax.annotations.placing import place_all
from ppocr_jax.annotations.recognition import read_sources
from ppocr_jax.data.likeness import find_alike
from ppocr_jax.errors import UserError
from ppocr_jax.files import replacing, write_text
from ppocr_jax.locks import hold_output

UNLABELLED = "no labels"
TWO_SIDES = "shows the same as pictures of several splits"


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


def prepare(options, progress=False):
    """Makes a folder to train from, whole or not at all; the sources stay as they are.

    Returns:
        `account.Result`.

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
        if os.path.lexists(f"{output}.tmp"):
            job.say(f"removed {output}.tmp, which an earlier preparation left unfinished")
        with replacing(output.resolve()) as temporary:
            temporary = pathlib.Path(temporary)
            before = []
            if options.add:
                folder.carry_over(output, temporary)
                before = folder.read_rows(output)
            pictures = temporary / folder.IMAGES
            pictures.mkdir(parents=True, exist_ok=True)
            placed = place_all(found, pictures, options, job.findings, progress)
            facts = _write(placed, before, temporary, options, job)
    return account.sum_up(facts, options, job)


def _check(options, output):
    """Refuses options that cannot be."""
    for name in (VAL, TEST):
        value = getattr(options, name)
        if not (0 <= value < 1 or value >= 1 and float(value).is_integer()):
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
        folder.read_rows(output)
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


# --- splits, names, label files -----------------------------------------------------------------


def _write(placed, before, target, options, job):
    """Divides, names and writes; returns `account.Facts`."""
    old = [row for row in before if row.picture]
    whole = placed
    placed, known = _leave_known(placed, old)
    if not placed and not known:
        refusals = job.findings.refusals
        why = f": {refusals[0].where}: {refusals[0].reason}" if refusals else ""
        raise UserError(f"{options.sources[0]}: no picture can be taken{why}")
    paths = [item.labelled.path or item.labelled.where for item in placed]
    keys = [row.group for row in old] + group_keys(paths, options.groups)
    prints = [folder.unpack(row.fingerprint) for row in old]
    prints += [item.fingerprint for item in placed]
    fixed = [row.split for row in old] + [""] * len(placed)
    groups, splits, order = _divide(keys, find_alike(prints), fixed, options, job.findings)
    names = folder.Names(os.listdir(target / folder.IMAGES))
    count = len(old)
    rows = [
        _settle(item, splits[count + i], keys[count + i], names) for i, item in enumerate(placed)
    ]
    drawn = [index - count for index in order if index >= count]
    _write_labels(target, placed, rows, drawn)
    there = [item.labelled.path for item in whole]
    left = _left_out(job, [*there, *(row.source for row in before)])
    now = {row.source for row in rows}
    kept = [row for row in before if row.picture or row.source not in now]
    said = {(row.source, row.reason) for row in kept}
    new = [*rows, *(row for row in left if (row.source, row.reason) not in said)]
    folder.write_rows(target / folder.RECORD, [*kept, *new])
    return account.Facts(rows, old, known, left, groups, placed)


def _divide(keys, alike, fixed, options, findings):
    """`(groups, splits, order)`, see `division.divide`.

    Where all pictures are alike, so that keeping them together leaves a split empty, they are
    divided all the same, which is said: drawn pictures may be so, or pages of one form.
    """

    def draw(groups):
        return groups, *divide(groups, fixed, options.val, options.test, options.seed)

    groups, apart = join_groups(keys, alike), join_groups(keys)
    try:
        return draw(groups)
    except UserError:
        if groups == apart:
            raise
        result = draw(apart)
    findings.say(
        "nearly all pictures are alike, so that keeping those together would leave a split empty: "
        "they are divided all the same, and scores on val or test say little"
    )
    return result


def _leave_known(placed, old):
    """Pictures without those whose very bytes are in the folder already; and how many those are."""
    there = {row.sha256 for row in old}
    kept = [item for item in placed if item.sha256 not in there]
    for item in placed:
        if item.sha256 in there:
            item.place.unlink()
    return kept, len(placed) - len(kept)


def _settle(item, split, group, names):
    """Gives a picture its name; its `Row`."""
    labelled = item.labelled
    source = os.path.abspath(labelled.path) if labelled.path else labelled.where
    if not split:
        item.place.unlink()
        return folder.Row(source, labelled.where, reason=TWO_SIDES, group=group)
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


def _write_labels(target, placed, rows, order):
    """Adds lines to `train.txt`, `val.txt` and `test.txt`, in the order of drawing."""
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


def _left_out(job, there):
    """Rows of pictures that were refused, and of those that no label file names.

    Args:
        job: `recognition.Job`.
        there: paths of the pictures that are taken, or were accounted for before.
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
    free = [path for path in job.pictures.all() if os.path.realpath(path) not in used]
    return [*refused, *(folder.Row(os.path.abspath(path), reason=UNLABELLED) for path in free)]
