"""Finds out, by content, which format the labels of a source have, and reads them."""

import collections
import os
import pathlib
import re

from ppocr_jax.annotations import ACCEPTED, JSON_FORMATS, TEXT_FORMATS, accepted
from ppocr_jax.annotations.gt_files import PREFIX
from ppocr_jax.annotations.pictures import Pictures, files_below
from ppocr_jax.annotations.records import MALFORMED, Findings, counted, said, says_ignored
from ppocr_jax.data.labels import IMAGE_SUFFIXES
from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json

HEAD = 1 << 16  # bytes of a text file that are looked at
FEW_CLASSES, MANY_WORDS = 20, 10  # classes, and words per class, that make labels classes
ASIDE = ("filestate.txt", "rec_gt.txt", "cache.cach")  # of PPOCRLabel, beside its Label.txt
EMPTY = "empty"
PER_PICTURE = ("icdar", "totaltext", "totaltextmat")  # formats with a text file for every picture
YOLO = re.compile(rb"\s*\d+( [01]?\.\d+){4}")
OTHERS = (  # what is no label file that is read: what it looks like, what to do
    (b"_via_img_metadata", "a project of VIA: export it as COCO"),
    (b"<annotation>", "Pascal VOC's XML: convert it to COCO or labelme"),
    (b"<annotations>", "CVAT's own XML: export as COCO 1.0"),
    (b"PK\x03\x04", "a ZIP archive: unpack it"),
    (b"MATLAB", "a MATLAB file of a form that is not read"),
)


class Job:
    """What all readers of one run share.

    Attributes:
        pictures: `Pictures`.
        findings: `Findings`.
        notes: lines on what was recognised.
    """

    def __init__(self, pictures, classes=()):
        self.pictures, self.findings, self.notes = pictures, Findings(), []
        self._wanted = frozenset(classes)
        self.classes = collections.Counter()

    def say(self, line):
        self.notes.append(line)

    def takes(self, label):
        """Whether words of this class are wanted; counts the others."""
        name = label if isinstance(label, str) else ""
        if not says_ignored(name):
            self.classes[name] += 1
            if self._wanted and name not in self._wanted:
                self.findings.count(
                    "labels left out: of other classes than --classes", f"`{name[:40]}`"
                )
                return False
        return True

    def check_classes(self):
        """Says which classes there are, where labels are classes and not texts.

        Raises:
            UserError: none of the wanted classes occurs.
        """
        total, known = sum(self.classes.values()), sorted(self.classes)
        missing = self._wanted - set(known)
        if self._wanted and missing == self._wanted:
            names = ", ".join(known[:FEW_CLASSES]) or "none"
            raise UserError(f"--classes {','.join(sorted(missing))}: the labels have {names}")
        several = 2 <= len(known) <= FEW_CLASSES and total >= MANY_WORDS * len(known)
        if several and not self._wanted:
            names = ", ".join(f"{name or 'no name'} {n}" for name, n in self.classes.most_common())
            self.say(f"classes: {names}; all are taken as text, --classes NAME,NAME chooses")


def read_sources(sources, folders=(), wanted=None, classes=(), leave_out=()):
    """All labels of some files and folders.

    Args:
        sources: paths of label files, and of folders that are looked through to any depth.
        folders: more folders to look for pictures in.
        wanted: name of the one format that is read; None: the one that is recognised.
        classes: names of the classes that are taken; none for all.
        leave_out: folders that are not looked into.

    Returns:
        `(list of Labelled, Job)`.

    Raises:
        UserError: nothing is recognised, or several formats are.
    """
    if wanted is not None and wanted not in ACCEPTED:
        raise UserError(f"--format {wanted}: choose one of {', '.join(ACCEPTED)}")
    files, places, beside = _list_files(sources, leave_out)
    for folder in folders:
        if not os.path.isdir(folder):
            raise UserError(f"--images {folder}: there is no such folder")
    job = Job(Pictures([*places, *folders], leave_out, beside), classes)
    found, texts, unknown = collections.defaultdict(list), collections.defaultdict(list), []
    counts, empty = collections.Counter(), []
    for path in files:
        if path.suffix.lower() == ".json":
            name = _read_json(path, found, wanted, job)
        else:
            name = _recognise_text(path, wanted)
            if name in TEXT_FORMATS:
                texts[name].append(path)
        counts[name] += 1
        if name in (None, EMPTY):
            (empty if name else unknown).append(path)
    unknown = _settle_rest(texts, counts, empty, unknown)
    names = [name for name in ACCEPTED if counts[name]]
    if len(names) > 1:
        listed = ", ".join(f"{name} in {counted(counts[name], 'file')}" for name in names)
        raise UserError(
            f"{sources[0]}: labels of several formats: {listed}; choose one with --format"
        )
    if not names and not job.findings.refusals:
        raise UserError(_nothing(sources, files, unknown, wanted))
    for name in names:
        job.say(f"{name}: {counted(counts[name], 'label file')}")
        if name in TEXT_FORMATS:
            found[name] += TEXT_FORMATS[name].read(texts[name], job)
    if unknown and names:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        job.say(f"not read, as no labels: {unknown[0]}{more}")
    job.check_classes()
    return [labelled for name in names for labelled in found[name]], job


def _list_files(sources, leave_out):
    """`(files that may hold labels, folders that are given, folders of files that are given)`."""
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
    return [list(dict.fromkeys(found)) for found in (files, places, beside)]


def _read_json(path, found, wanted, job):
    """Reads a JSON file into `found`; the name of its format, or None."""
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
                job.findings.refuse(path, said(error))
            return name
    return None


def _recognise_text(path, wanted):
    """The name of a text file's format, "empty", or None."""
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


def _head(path):
    """The first bytes of a file, without a byte order mark; none of what is no plain file."""
    if not path.is_file():
        return b""
    with open(path, "rb") as file:
        return file.read(HEAD).removeprefix(b"\xef\xbb\xbf")


def _settle_rest(texts, counts, empty, unknown):
    """Gives files that say nothing themselves to the one format of a file per picture, if any.

    Empty ones are pictures without text; one named as labels that does not look like them is
    broken, which its reader says.

    Returns:
        Those that are no labels.
    """
    name = next((name for name in PER_PICTURE if counts[name]), None)
    if name is None:
        return sorted(unknown + empty)
    named = [p for p in unknown if PREFIX.match(p.name) and p.suffix.lower() == ".txt"]
    texts[name] = sorted([*texts[name], *empty, *named])
    counts[name] = len(texts[name])
    return [path for path in unknown if path not in named]


def _nothing(sources, files, unknown, wanted):
    """Why nothing was recognised, and what is accepted."""
    endings = collections.Counter(path.suffix.lower() or "without ending" for path in files)
    listed = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(4))
    hint = next(
        (f"; {path} looks like {_guess(path)}" for path in unknown[:20] if _guess(path)), ""
    )
    what = f"no labels of the format {wanted}" if wanted else "no labels that are known"
    return f"{sources[0]}: holds {what} ({listed or 'no file but pictures'}){hint}; accepted: " + (
        f"{wanted} ({ACCEPTED[wanted]})" if wanted else accepted()
    )


def _guess(path):
    """What a file that is not read may be, and what to do; "" for anything else."""
    head = _head(path)
    if YOLO.match(head):
        return "YOLO's boxes, which do not name their picture: convert them to COCO"
    return next((text for sign, text in OTHERS if sign in head), "")
