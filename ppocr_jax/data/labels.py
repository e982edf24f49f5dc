"""Label files -> samples: PaddleOCR's one line per image, or ICDAR's one file per image."""

import dataclasses
import json
import pathlib

import numpy as np

from ppocr_jax.errors import UserError

IGNORED_TEXTS = ("*", "###")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jpe",
                  ".jfif", ".dib", ".avif", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm")  # fmt: skip


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
    """What is wrong with a line of a label file."""

    source: str
    line: int
    reason: str

    def __str__(self):
        where = f"{self.source} line {self.line}" if self.line else self.source
        return f"{where}: {self.reason}"


def read_sources(sources, root):
    """Samples of each of several sources.

    Args:
        sources: label files or folders of `gt_*.txt`, separated by commas, or a tuple of them;
            relative to `root` or absolute.
        root: folder of the images.

    Returns:
        A list of samples per source.

    Raises:
        UserError: a source is missing, empty or garbled; it names file and line.
    """
    return [read_labels(source, root) for source in split_sources(sources)]


def split_sources(sources):
    """The single sources of a comma-separated text or a tuple."""
    if isinstance(sources, str):
        sources = [part.strip() for part in sources.split(",") if part.strip()]
    if not sources:
        raise UserError("no label file is named: set config.data.train and config.data.val")
    return list(sources)


def read_labels(source, root):
    """Samples of a label file, or of a folder of `gt_*.txt`. See `read_sources`."""
    samples, problems = scan_labels(source, root)
    wrong = [problem for problem in problems if "byte order mark" not in problem.reason]
    if wrong:
        more = f" (and {len(wrong) - 1} more such lines; run check_data)" if len(wrong) > 1 else ""
        raise UserError(f"{wrong[0]}{more}")
    return samples


def scan_labels(source, root):
    """`(samples, problems)` of a source: what can be used and what cannot, with its reason."""
    path = find_source(source, root)
    if path.is_dir():
        return _scan_folder(path, pathlib.Path(root))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if not data.strip():
        raise UserError(f"{path}: the label file is empty")
    problems = []
    if data.startswith(b"\xef\xbb\xbf"):
        problems.append(Problem(str(path), 1, "begins with a byte order mark; save it without"))
        data = data[3:]
    samples = []
    for number, line in enumerate(data.split(b"\n"), 1):
        line = line.rstrip(b"\r")
        if not line.strip():
            continue
        try:
            samples.append(_parse_line(line, root, str(path), number))
        except ValueError as error:
            problems.append(Problem(str(path), number, str(error)))
    if not samples and not problems:
        raise UserError(f"{path}: holds no labelled image")
    return samples, problems


def find_source(source, root):
    """Path of a source: as it is, or below `root`."""
    for path in (pathlib.Path(root) / source, pathlib.Path(source)):
        if path.exists():
            return path
    raise UserError(f"label file {source} is missing, in {root or 'the current folder'} too")


def _parse_line(line, root, source, number):
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    name, tab, labels = text.partition("\t")
    if not tab:
        raise ValueError("has no tab between image path and labels")
    try:
        entries = json.loads(labels)
    except ValueError as error:
        raise ValueError(f"the labels are no JSON ({error})") from None
    if not isinstance(entries, list):
        raise ValueError("the labels are no JSON list")
    polygons, ignore = [], []
    for index, entry in enumerate(entries, 1):
        polygon, text = _parse_entry(entry, index)
        polygons.append(polygon)
        ignore.append(text in IGNORED_TEXTS)
    path = str(pathlib.Path(root) / name.strip())
    return Sample(path, tuple(polygons), tuple(ignore), source, number)


def _parse_entry(entry, index):
    """`(polygon, text)` of one element of a JSON list."""
    if not isinstance(entry, dict) or "points" not in entry or "transcription" not in entry:
        raise ValueError(f"label {index} lacks points or transcription")
    try:
        polygon = np.array(entry["points"], np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"label {index}: the points are not pairs of numbers") from None
    if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3:
        raise ValueError(f"label {index}: {len(polygon)} points; at least 3 pairs are needed")
    if not np.isfinite(polygon).all():
        raise ValueError(f"label {index}: a point is not finite")
    return polygon, str(entry["transcription"])


def _scan_folder(folder, root):
    """Samples of a folder of `gt_<name>.txt`, each line `x1,y1,...,xn,yn,text`."""
    files = sorted(folder.glob("gt_*.txt"))
    if not files:
        raise UserError(f"{folder}: holds no gt_*.txt")
    samples, problems = [], []
    for path in files:
        polygons, ignore, here = [], [], []
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                polygon, text = _parse_icdar(line)
                polygons.append(polygon)
                ignore.append(text in IGNORED_TEXTS)
            except ValueError as error:
                here.append(Problem(str(path), number, str(error)))
        image = _image_of(path.stem.removeprefix("gt_"), folder, root)
        if image is None:
            here.append(Problem(str(path), 0, f"no image of this name in {root} or {folder}"))
        else:
            samples.append(Sample(str(image), tuple(polygons), tuple(ignore), str(path), 0))
        problems += here
    return samples, problems


def _image_of(stem, folder, root):
    for place in (root, folder):
        for suffix in IMAGE_SUFFIXES:
            for name in (stem + suffix, stem + suffix.upper()):
                if (place / name).is_file():
                    return place / name
    return None


def _parse_icdar(line):
    """`(polygon, text)`: as many leading numbers as make whole points, then the text.

    A text may be a number or hold commas, so a line that could be read in two ways is read as a
    quad: four points come first, and further leading numbers only count when text follows them.
    """
    fields = line.split(",")
    numbers = 0
    while numbers < len(fields) and _is_number(fields[numbers]):
        numbers += 1
    points = numbers // 2
    if numbers == len(fields):  # the text is a number too
        points = (numbers - 1) // 2
    if 4 <= points and numbers <= 10:
        points = 4
    if points < 3:
        raise ValueError(f"{numbers} leading numbers; at least 3 points and a text are needed")
    polygon = np.array([float(field) for field in fields[: 2 * points]], np.float32)
    return polygon.reshape(-1, 2), ",".join(fields[2 * points :]).strip()


def _is_number(field):
    try:
        return bool(np.isfinite(float(field)))
    except ValueError:
        return False
