"""Reads labels: PaddleOCR's files with one line per image, or ICDAR's with one file per image."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ppocr_jax.data.label_columns import Columns
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
    """The content of a label file or folder.

    Attributes:
        samples: the images that can be used, a sequence of `Sample`.
        problems: the lines that cannot be used.
        notes: lines of text on how it was read: the format of a folder, images found under another
            path, unusual ignore marks.
    """

    samples: LabelIndex
    problems: list[Problem]
    notes: list[str]


def read_sources(
    sources: str | Sequence[str],
    root: str | os.PathLike[str],
    say: Callable[[str], object] | None = None,
) -> list[LabelIndex]:
    """Reads several label files or folders.

    Args:
        sources: label files, or folders of `gt_*.txt`: a comma-separated string or a sequence;
            relative to `root` or absolute.
        root: folder of the images.
        say: called with each line on how they were read.

    Returns:
        One index per source.

    Raises:
        UserError: a source is missing, empty or malformed; names file and line.
    """
    return [read_labels(source, root, say) for source in split_sources(sources)]


def split_sources(sources: str | Sequence[str]) -> list[str]:
    """The single sources of a comma-separated string or a sequence. Raises UserError: none."""
    if isinstance(sources, str):
        sources = [part.strip() for part in sources.split(",") if part.strip()]
    if not sources:
        raise UserError("no label file is named: set config.data.train and config.data.val")
    return list(sources)


def read_labels(
    source: str | os.PathLike[str],
    root: str | os.PathLike[str],
    say: Callable[[str], object] | None = None,
) -> LabelIndex:
    """The index of one label file, or of a folder of `gt_*.txt`. See `read_sources`."""
    samples, problems, notes = scan_labels(source, root)
    wrong = [problem for problem in problems if not problem.harmless]
    if wrong:
        more = f" (and {len(wrong) - 1} more such lines; run check_data)" if len(wrong) > 1 else ""
        raise UserError(f"{wrong[0]}{more}")
    if say is not None:
        for note in notes:
            say(note)
    return samples


def scan_labels(source: str | os.PathLike[str], root: str | os.PathLike[str]) -> Reading:
    """The `Reading` of a source: what can be used, and what cannot with the reason."""
    path, folder = find_source(source, root), pathlib.Path(root)

    def scan(columns: Columns) -> tuple[list[Problem], list[str], set[str]]:
        pictures, words = PicturePaths(root), WordCounts()
        notes: list[str] = []
        if path.is_dir():
            problems, notes = scan_folder(path, folder, columns, pictures, words)
        else:
            problems = scan_file(path, root, columns, pictures, words)
        notes = [*notes, *pictures.notes(len(columns)), *words.notes()]
        return problems, notes, pictures.folders

    samples, problems, notes = read_indexed(path, folder, scan)
    return Reading(samples, problems, [shown(f"{source}: {note}") for note in notes])


def require_text(samples: Sequence[Sample]) -> None:
    """Refuses training data without a single word to learn.

    Raises:
        UserError: every word is ignored, or there is none.
    """
    words = count_words(samples)
    if not words.learned:
        sources = ", ".join(sorted({sample.source for sample in samples})[:3])
        ignored = counted(words.ignored, "word")
        raise UserError(
            f"{sources}: {ignored} and all are ignored: their text is `*` or `###`, "
            "which means 'do not care'; give words to learn any other text"
        )


def find_source(source: str | os.PathLike[str], root: str | os.PathLike[str]) -> pathlib.Path:
    """Path of a source: below `root`, or else as given.

    Raises:
        UserError: it is in neither place; suggests a nearby root that would find it.
    """
    for path in (pathlib.Path(root) / source, pathlib.Path(source)):
        if path.exists():
            return path
    folders = near_folders(root) if str(root) else ()
    near = next((place for place in folders if os.path.exists(os.path.join(place, source))), None)
    hint = f"; --config.data.root={near} would find it" if near else _prepared_hint(source, root)
    below = f"{root} and in " if str(root) else ""
    raise UserError(f"label file {source} is missing in {below}the current folder{hint}")


def _prepared_hint(source, root):
    """The options for a root that `prepare_data` has made, whose label files have other names."""
    there = [s for s in ("train", "val") if os.path.isfile(os.path.join(root, f"{s}.txt"))]
    if there == ["train"] and os.path.basename(source) == "val.txt":
        return "; --config.data.val names another file, prepare_data with --val above 0 makes one"
    if not there or os.path.basename(source) in ("train.txt", "val.txt"):
        return ""
    options = " ".join(f"--config.data.{split}={split}.txt" for split in there)
    return f"; {root} has label files as prepare_data writes them: {options}"
