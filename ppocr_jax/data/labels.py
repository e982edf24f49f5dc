"""Label files -> samples: PaddleOCR's one line per image, or ICDAR's one file per image."""

import dataclasses
import json
import os
import pathlib
from typing import NamedTuple

import numpy as np

from ppocr_jax.data import icdar
from ppocr_jax.data.label_polygons import as_polygon, require_few
from ppocr_jax.data.marks import WordCounts, is_mark
from ppocr_jax.data.picture_paths import PicturePaths, near_folders
from ppocr_jax.errors import UserError, counted, shown

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jpe",
                  ".jfif", ".dib", ".avif", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm")  # fmt: skip

BYTE_ORDER_MARK = "begins with a byte order mark, which is passed over here; save it without"
NO_PICTURE = "no image of this name"
MOST_BYTES = 1 << 30  # of a label file: it is read at once, and ICDAR 2015's has 0.5 MB


@dataclasses.dataclass(frozen=True)
class Sample:
    """A labelled image that is not read yet.

    Attributes:
        image_path: of the file.
        polygons: float32 `[P, 2]` each, (x, y) in pixels, P >= 3.
        ignore: bool per polygon, text `*` or `###`.
        source: label file that it comes from.
        line: of that file, from 1; 0 where a file holds one image.
    """

    image_path: str
    polygons: tuple[np.ndarray, ...]
    ignore: tuple[bool, ...]
    source: str
    line: int


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is wrong with a line of a label file.

    Attributes:
        source, line: as those of `Sample`.
        reason: what is wrong.
        harmless: whether it can be read all the same.
        kind: what problems that are alike have in common; "": the reason without its numbers.
    """

    source: str
    line: int
    reason: str
    harmless: bool = False
    kind: str = ""

    def __str__(self):
        return shown(f"{place_of(self)}: {self.reason}")


def place_of(item):
    """Where a `Sample` or a `Problem` stands: `train.txt line 3`, or the file of one picture."""
    return f"{item.source} line {item.line}" if item.line else item.source


class Reading(NamedTuple):
    """What a source gives.

    Attributes:
        samples: list of `Sample`: what can be used.
        problems: list of `Problem`: what cannot.
        notes: lines on how it was read: the form of a folder, paths that were found under another
            name, marks that are not written as usual.
    """

    samples: list[Sample]
    problems: list[Problem]
    notes: list[str]


def read_sources(sources, root, say=None):
    """Samples of each of several sources.

    Args:
        sources: label files or folders of `gt_*.txt`, separated by commas, or a tuple of them;
            relative to `root` or absolute.
        root: folder of the images.
        say: called with every line on how they were read.

    Returns:
        A list of samples per source.

    Raises:
        UserError: a source is missing, empty or garbled; it names file and line.
    """
    return [read_labels(source, root, say) for source in split_sources(sources)]


def split_sources(sources):
    """The single sources of a comma-separated text or a tuple."""
    if isinstance(sources, str):
        sources = [part.strip() for part in sources.split(",") if part.strip()]
    if not sources:
        raise UserError("no label file is named: set config.data.train and config.data.val")
    return list(sources)


def read_labels(source, root, say=None):
    """Samples of a label file, or of a folder of `gt_*.txt`. See `read_sources`."""
    samples, problems, notes = scan_labels(source, root)
    wrong = [problem for problem in problems if not problem.harmless]
    if wrong:
        more = f" (and {len(wrong) - 1} more such lines; run check_data)" if len(wrong) > 1 else ""
        raise UserError(f"{wrong[0]}{more}")
    for note in notes if say else ():
        say(note)
    return samples


def scan_labels(source, root):
    """The `Reading` of a source: what can be used and what cannot, with its reason."""
    path = find_source(source, root)
    pictures, words = PicturePaths(root), WordCounts()
    scan = _scan_folder if path.is_dir() else _scan_file
    samples, problems, notes = scan(path, pathlib.Path(root), pictures, words)
    notes = [*notes, *pictures.notes(len(samples)), *words.notes()]
    return Reading(samples, problems, [shown(f"{source}: {note}") for note in notes])


def require_text(samples):
    """Refuses training data without a single word to learn from.

    Raises:
        UserError: every word is ignored, or there is none.
    """
    if not any(not ignored for sample in samples for ignored in sample.ignore):
        sources = ", ".join(sorted({sample.source for sample in samples})[:3])
        words = counted(sum(len(sample.ignore) for sample in samples), "word")
        raise UserError(
            f"{sources}: {words} and all are ignored: their text is `*` or `###`, which "
            "means 'do not care'; write any other text for words to learn"
        )


def find_source(source, root):
    """Path of a source: as it is, or below `root`."""
    for path in (pathlib.Path(root) / source, pathlib.Path(source)):
        if path.exists():
            return path
    near = near_folders(root) if str(root) else ()
    near = next((folder for folder in near if os.path.exists(os.path.join(folder, source))), None)
    hint = f"; --config.data.root={near} would find it" if near else ""
    raise UserError(f"label file {source} is missing, in {root or 'the current folder'} too{hint}")


def read_label_bytes(path):
    """The bytes of a label file, without a byte order mark: `(bytes, whether there was one)`."""
    if not path.is_file():
        raise UserError(f"{path}: not a file")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: more than {MOST_BYTES >> 20} MiB; split the label file")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: is UTF-16; save it as UTF-8")
    return data.removeprefix(b"\xef\xbb\xbf"), data.startswith(b"\xef\xbb\xbf")


# --- PaddleOCR's label files --------------------------------------------------------------------


def _scan_file(path, root, pictures, words):
    """The `Reading` of a label file, one line per picture."""
    data, marked = read_label_bytes(path)
    if not data.strip():
        raise UserError(f"{path}: the label file is empty")
    samples, problems = [], []
    if marked:
        problems.append(Problem(str(path), 1, BYTE_ORDER_MARK, harmless=True))
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, entries = parse_line(line)
            polygons = [_parse_entry(entry, index) for index, entry in enumerate(entries, 1)]
            require_few(polygons)
        except ValueError as error:
            problems.append(Problem(str(path), number, str(error)))
            continue
        ignore = [is_mark(entry["transcription"]) for entry in entries]
        for entry, ignored in zip(entries, ignore, strict=True):
            words.add(entry["transcription"], ignored, entry.get("difficult") is True)
        image = pictures.find(name)
        samples.append(Sample(image, tuple(polygons), tuple(ignore), str(path), number))
    if not samples and not problems:
        raise UserError(f"{path}: holds no labelled image")
    return Reading(samples, problems, [])


def parse_line(line):
    """`(path of the picture, list of labels)`. Raises ValueError with a reason."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    name, tab, labels = text.partition("\t")
    if not tab:
        raise ValueError("has no tab between image path and labels")
    if not name.strip():
        raise ValueError("has no image path before the tab")
    if "\0" in name:
        raise ValueError("the image path holds a NUL, which no path can")
    try:
        entries = json.loads(labels)
    except RecursionError:
        raise ValueError("the labels are nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the labels are no JSON ({error})") from None
    except ValueError:
        raise ValueError("the labels hold a number of thousands of digits") from None
    if not isinstance(entries, list):
        raise ValueError("the labels are no JSON list")
    return name, entries


def _parse_entry(entry, index):
    """The polygon of one element of a JSON list, whose text becomes one in place."""
    if not isinstance(entry, dict) or "points" not in entry or "transcription" not in entry:
        raise ValueError(f"label {index} lacks points or transcription")
    try:
        polygon = as_polygon(entry["points"])
    except ValueError as error:
        raise ValueError(f"label {index}: {error}") from None
    if isinstance(entry["transcription"], (dict, list)):
        raise ValueError(f"label {index}: the transcription is no text")
    entry["transcription"] = str(entry["transcription"])
    return polygon


# --- folders of gt_*.txt ------------------------------------------------------------------------


def _scan_folder(folder, root, pictures, words):
    """The `Reading` of a folder of `gt_<name>.txt`, in one of the forms of `icdar`."""
    files = sorted(folder.glob("gt_*.txt"))
    if not files:
        raise UserError(f"{folder}: holds no gt_*.txt")
    samples, problems, fit = [], [], 0
    texts = {}
    for path in files:
        texts[path], marked = _read_lines(path)
        if marked:
            problems.append(Problem(str(path), 1, BYTE_ORDER_MARK, harmless=True))
    numbered = [(path, n, line) for path, lines in texts.items() for n, line in lines]
    form = icdar.settle([line for _, _, line in numbered])
    if numbered and form is None:
        path, number, line = numbered[0]
        reason = (
            f"the folder has none of the forms that are known: {icdar.KNOWN}; this is `{line[:60]}`"
        )
        return Reading([], [*problems, Problem(str(path), number, reason)], [])
    for path, lines in texts.items():
        polygons, ignore = [], []
        for number, line in lines:
            try:
                word = form.read(line)
                polygons.append(as_polygon(word.points))
            except ValueError as error:
                problems.append(Problem(str(path), number, str(error)))
                continue
            ignore.append(word.ignore)
            words.add(word.written, word.ignore)
            fit += 1
        try:
            require_few(polygons)
        except ValueError as error:
            problems.append(Problem(str(path), 0, str(error)))
            continue
        image = _image_of(path.stem.removeprefix("gt_"), folder, root, pictures)
        if image is None:
            reason = f"{NO_PICTURE} in {root} or {folder}"
            problems.append(Problem(str(path), 0, reason, kind=NO_PICTURE))
        else:
            samples.append(Sample(image, tuple(polygons), tuple(ignore), str(path), 0))
    return Reading(samples, problems, _folder_notes(folder, files, form, fit, len(numbered)))


def _folder_notes(folder, files, form, fit, total):
    """Lines on the form of a folder, and on what was left aside."""
    notes = [f"gt_*.txt with {form.name} on {fit} of {total} lines"] if form else []
    taken = {path.name for path in files}
    others = sum(n not in taken and n.lower().endswith(".txt") for n in os.listdir(folder))
    if others:
        notes.append(f"{others} other .txt files are not read: their names are not gt_<image>.txt")
    return notes


def _read_lines(path):
    """`(number, text)` of the lines that are not blank, and whether a byte order mark begins it."""
    data, marked = read_label_bytes(path)
    # A text in another encoding is still a text: only the numbers and the mark matter.
    lines = [line.decode("utf-8", "replace") for line in data.splitlines()]
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()], marked


def _image_of(stem, folder, root, pictures):
    names = [stem + form for suffix in IMAGE_SUFFIXES for form in (suffix, suffix.upper())]
    for place in (root, folder):
        for name in names:
            if (place / name).is_file():
                return str(place / name)
    if not stem.isascii():
        found = [pictures.other_form(place / name) for place in (root, folder) for name in names]
        for path in filter(None, found):
            return str(path)
    return None
