"""Recognises the format of a source's labels by content, and reads them."""

import collections
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ppocr_jax.annotations import ACCEPTED, JSON_FORMATS, TEXT_FORMATS, accepted
from ppocr_jax.annotations.gt_files import PREFIX
from ppocr_jax.annotations.image_finder import ImageFinder, files_below
from ppocr_jax.annotations.records import (
    MALFORMED,
    Findings,
    LabelledImage,
    reason_of,
    says_ignored,
)
from ppocr_jax.data.labels import IMAGE_SUFFIXES
from ppocr_jax.errors import UserError, counted
from ppocr_jax.files import read_json

HEAD = 1 << 16  # bytes of a text file that recognition looks at
# At most so many different labels, each used so often on average: they must be classes, not texts.
FEW_CLASSES, MANY_WORDS = 20, 10
ASIDE = ("filestate.txt", "rec_gt.txt", "cache.cach")  # PPOCRLabel's other files
EMPTY = "empty"
PER_IMAGE = ("icdar", "totaltext", "totaltextmat")  # formats with one text file per image
YOLO = re.compile(rb"\s*\d+( [01]?\.\d+){4}")
# Bytes that tell a format which is not read, and what to do about it.
OTHERS = (
    (b"_via_img_metadata", "a VIA project: export it as COCO"),
    (b"<annotation>", "Pascal VOC's XML: convert it to COCO or labelme"),
    (b"<annotations>", "CVAT's own XML: export as COCO 1.0"),
    (b"PK\x03\x04", "a ZIP archive: unpack it"),
    (b"MATLAB", "a MATLAB file of a form that is not supported"),
)


class Job:
    """What all readers of one run share.

    Attributes:
        images: finds the images that labels name.
        findings: problems with the labels.
        notes: lines on what was recognised.
        classes: how often each class occurs.
    """

    def __init__(self, images: ImageFinder, classes: Iterable[str] = ()) -> None:
        self.images, self.findings = images, Findings()
        self.notes: list[str] = []
        self.classes: collections.Counter[str] = collections.Counter()
        self._wanted = frozenset(classes)

    def say(self, line: str) -> None:
        """Adds a note."""
        self.notes.append(line)

    def takes(self, label: Any) -> bool:
        """Whether words of this class are used; counts those that are not."""
        name = label if isinstance(label, str) else ""
        # Ignored words are kept whatever --classes says: they mask text that is not labelled.
        if not says_ignored(name):
            self.classes[name] += 1
            if self._wanted and name not in self._wanted:
                self.findings.count("labels skipped: not in --classes", f"`{name[:40]}`")
                return False
        return True

    def check_classes(self) -> None:
        """Notes which classes there are, if labels are classes rather than texts.

        Raises:
            UserError: none of the wanted classes occurs.
        """
        total, known = sum(self.classes.values()), sorted(self.classes)
        missing = self._wanted - set(known)
        if self._wanted and missing == self._wanted:
            names = ", ".join(known[:FEW_CLASSES]) or "none"
            raise UserError(
                f"--classes {','.join(sorted(missing))}: no label has such a class; found: {names}"
            )
        several = 2 <= len(known) <= FEW_CLASSES and total >= MANY_WORDS * len(known)
        if several and not self._wanted:
            names = ", ".join(f"{name or 'no name'} {n}" for name, n in self.classes.most_common())
            self.say(f"classes: {names}; all count as text unless --classes NAME,NAME selects some")


def read_sources(
    sources: Sequence[str],
    folders: Sequence[str] = (),
    wanted: str | None = None,
    classes: Iterable[str] = (),
    leave_out: Sequence[str] = (),
) -> tuple[list[LabelledImage], Job]:
    """Reads all labels of some files and folders.

    Args:
        sources: paths of label files, and of folders that are searched to any depth.
        folders: more folders to look for images in.
        wanted: name of the only format to read; None for whichever is recognised.
        classes: names of the classes to use; none for all.
        leave_out: folders to skip.

    Returns:
        `(images, job)`: the labelled images, and what was found on the way.

    Raises:
        UserError: no format is recognised, or several are.
    """
    if wanted is not None and wanted not in ACCEPTED:
        raise UserError(f"--format {wanted}: choose one of {', '.join(ACCEPTED)}")
    files, places, beside = _list_files(sources, leave_out)
    for folder in folders:
        if not os.path.isdir(folder):
            raise UserError(f"--images {folder}: there is no such folder")
    job = Job(ImageFinder([*places, *folders], leave_out, beside), classes)

    # JSON is parsed to be recognised, so it is read at once. Text files wait until all are known:
    # a folder of gt files decides its variant from all of them.
    found: dict[str, list[LabelledImage]] = collections.defaultdict(list)
    texts: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
    unknown: list[pathlib.Path] = []
    empty: list[pathlib.Path] = []
    counts: collections.Counter[str | None] = collections.Counter()
    for path in files:
        if path.suffix.lower() == ".json":
            name = _read_json(path, found, wanted, job)
        else:
            name = _recognise_text(path, wanted)
            if name is not None and name in TEXT_FORMATS:
                texts[name].append(path)
        counts[name] += 1
        if name in (None, EMPTY):
            (empty if name else unknown).append(path)
    unknown = _assign_rest(texts, counts, empty, unknown)

    names = [name for name in ACCEPTED if counts[name]]
    if len(names) > 1:
        listed = ", ".join(f"{name} in {counted(counts[name], 'file')}" for name in names)
        raise UserError(
            f"{sources[0]}: holds labels of several formats: {listed}; choose one with --format"
        )
    if not names and not job.findings.refusals:
        raise UserError(_nothing(sources, files, unknown, wanted))
    for name in names:
        job.say(f"{name}: {counted(counts[name], 'label file')}")
        if name in TEXT_FORMATS:
            found[name] += TEXT_FORMATS[name].read(texts[name], job)
    if unknown and names:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        job.say(f"not label files, so not read: {unknown[0]}{more}")
    job.check_classes()
    return [labelled for name in names for labelled in found[name]], job


def _list_files(
    sources: Iterable[str], leave_out: Sequence[str]
) -> tuple[list[pathlib.Path], list[pathlib.Path], list[pathlib.Path]]:
    """`(files that may hold labels, folders among the sources, folders of files among them)`."""
    files, places, beside = [], [], []
    for source in map(pathlib.Path, sources):
        if source.is_dir():
            places.append(source)
            below = map(pathlib.Path, files_below(source, leave_out))
            files += [path for path in below if path.suffix.lower() not in IMAGE_SUFFIXES]
        elif source.is_file():
            files.append(source)
            beside.append(source.parent)
        else:
            raise UserError(f"{source}: there is no such file or folder")
    return list(dict.fromkeys(files)), list(dict.fromkeys(places)), list(dict.fromkeys(beside))


def _read_json(
    path: pathlib.Path, found: dict[str, list[LabelledImage]], wanted: str | None, job: Job
) -> str | None:
    """Reads a JSON file into `found`; returns the name of its format, or None."""
    try:
        value = read_json(path, kind=object)
    except UserError as error:
        job.findings.refuse(path, str(error).removeprefix(f"{path}: "))
        return "broken"
    for name, reader in JSON_FORMATS.items():
        if wanted in (None, name) and reader.fits(value):
            try:
                found[name] += reader.read(value, path, job)
            except MALFORMED as error:
                job.findings.refuse(path, reason_of(error))
            return name
    return None


def _recognise_text(path: pathlib.Path, wanted: str | None) -> str | None:
    """The name of a text file's format, "empty", "aside" for PPOCRLabel's other files, or None."""
    if path.name.lower() in ASIDE:
        return "aside"
    head = _head(path)
    if path.suffix.lower() not in (".txt", ".xml", ".mat", ""):
        return None
    if not head.strip():
        return EMPTY if path.suffix.lower() == ".txt" else None
    for name, reader in TEXT_FORMATS.items():
        if wanted in (None, name) and reader.fits(head):
            return name
    return None


def _head(path: pathlib.Path) -> bytes:
    """The first bytes of a file, without a byte order mark; none unless it is a regular file."""
    if not path.is_file():
        return b""
    with open(path, "rb") as file:
        return file.read(HEAD).removeprefix(b"\xef\xbb\xbf")


def _assign_rest(
    texts: dict[str, list[pathlib.Path]],
    counts: collections.Counter[str | None],
    empty: list[pathlib.Path],
    unknown: list[pathlib.Path],
) -> list[pathlib.Path]:
    """Assigns files without a recognisable content to the format with one file per image, if any.

    An empty file is an image without text. A file that is named like a label file but does not
    look like one is broken, and its reader says so.

    Returns:
        The files that are not labels.
    """
    name = next((name for name in PER_IMAGE if counts[name]), None)
    if name is None:
        return sorted(unknown + empty)
    named = [p for p in unknown if PREFIX.match(p.name) and p.suffix.lower() == ".txt"]
    texts[name] = sorted([*texts[name], *empty, *named])
    counts[name] = len(texts[name])
    return [path for path in unknown if path not in named]


def _nothing(
    sources: Sequence[str],
    files: Iterable[pathlib.Path],
    unknown: Sequence[pathlib.Path],
    wanted: str | None,
) -> str:
    """The message when no format was recognised: what is there, and what is accepted."""
    endings = collections.Counter(path.suffix.lower() or "without ending" for path in files)
    listed = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(4))
    hint = next(
        (f"; {path} looks like {_guess(path)}" for path in unknown[:20] if _guess(path)), ""
    )
    what = f"no labels in the format {wanted}" if wanted else "no labels in any known format"
    return f"{sources[0]}: holds {what} ({listed or 'only images'}){hint}; accepted: " + (
        f"{wanted} ({ACCEPTED[wanted]})" if wanted else accepted()
    )


def _guess(path: pathlib.Path) -> str:
    """What a file that is not read may be, and what to do about it; "" if nobody knows."""
    head = _head(path)
    if YOLO.match(head):
        return "YOLO's boxes, which do not name their image: convert them to COCO"
    return next((text for sign, text in OTHERS if sign in head), "")
