"""Label files -> samples: PaddleOCR's one line per image, or ICDAR's one file per image."""

import os
import pathlib
from typing import NamedTuple

from ppocr_jax.data.label_folders import IMAGE_SUFFIXES, NO_PICTURE, read_label_bytes, scan_folder
from ppocr_jax.data.label_index import LabelIndex, count_words
from ppocr_jax.data.label_lines import parse_line, scan_file
from ppocr_jax.data.label_store import read_indexed
from ppocr_jax.data.marks import WordCounts
from ppocr_jax.data.picture_paths import PicturePaths, near_folders
from ppocr_jax.data.sample import Problem, Sample, place_of
from ppocr_jax.errors import UserError, counted, shown

__all__ = [
    "IMAGE_SUFFIXES", "NO_PICTURE", "Problem", "Reading", "Sample", "find_source", "parse_line",
    "place_of", "read_label_bytes", "read_labels", "read_sources", "require_text", "scan_labels",
    "split_sources",
]  # fmt: skip


class Reading(NamedTuple):
    """What a source gives.

    Attributes:
        samples: `LabelIndex`, a sequence of `Sample`: what can be used.
        problems: list of `Problem`: what cannot.
        notes: lines on how it was read: the form of a folder, paths that were found under another
            name, marks that are not written as usual.
    """

    samples: LabelIndex
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
        A list with a `LabelIndex` per source.

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
    """`LabelIndex` of a label file, or of a folder of `gt_*.txt`. See `read_sources`."""
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
    path, folder = find_source(source, root), pathlib.Path(root)

    def scan(columns):
        pictures, words, notes = PicturePaths(root), WordCounts(), []
        if path.is_dir():
            problems, notes = scan_folder(path, folder, columns, pictures, words)
        else:
            problems = scan_file(path, root, columns, pictures, words)
        notes = [*notes, *pictures.notes(len(columns)), *words.notes()]
        return problems, notes, pictures.folders

    samples, problems, notes = read_indexed(path, folder, scan)
    return Reading(samples, problems, [shown(f"{source}: {note}") for note in notes])


def require_text(samples):
    """Refuses training data without a single word to learn from.

    Raises:
        UserError: every word is ignored, or there is none.
    """
    words = count_words(samples)
    if not words.learned:
        sources = ", ".join(sorted({sample.source for sample in samples})[:3])
        ignored = counted(words.ignored, "word")
        raise UserError(
            f"{sources}: {ignored} and all are ignored: their text is `*` or `###`, "
            "which means 'do not care'; write any other text for words to learn"
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
