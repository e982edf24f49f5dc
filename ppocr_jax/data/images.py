"""Resolves the images a user names (files, folders, globs), and finds the labels of an image."""

from __future__ import annotations

import collections
import glob
import os
import pathlib
import unicodedata
from collections.abc import Callable, Iterable

from ppocr_jax.data.labels import IMAGE_SUFFIXES, read_labels
from ppocr_jax.data.sample import Sample
from ppocr_jax.errors import UserError

MOST_ENDINGS = 5  # suffixes listed of files that are not images


def find_images(
    given: Iterable[str],
    leave_out: Iterable[str | os.PathLike[str]] = (),
    tell: Callable[[str], object] | None = None,
) -> list[str]:
    """Paths of images, in the given order and without duplicates.

    Args:
        given: each a file, a folder, a glob (`**` for any depth), or several of these separated by
            commas. A folder stands for all images below it, sorted, without hidden files and
            folders. A single file is accepted with any suffix; folders and globs give only files
            with the suffix of an image.
        leave_out: folders that folders and globs do not search.
        tell: called with a line on files without such a suffix and on folders that cannot be read.

    Raises:
        UserError: a name does not exist, holds no image, or cannot be written in a label file.
    """
    found: dict[str, str] = {}
    excluded = tuple(os.path.abspath(folder) + os.sep for folder in leave_out)
    for text in given:
        # A name that contains a comma is used as it is if it exists.
        whole = os.path.exists(text)
        for part in [text] if whole else [p.strip() for p in text.split(",") if p.strip()]:
            for path in _expand(part, excluded, tell):
                found.setdefault(os.path.abspath(path), path)
    if not found:
        raise UserError("--images names nothing: give files, folders or globs")
    for path in found.values():
        require_writable(path)
    return list(found.values())


def _expand(
    part: str, leave_out: tuple[str, ...], tell: Callable[[str], object] | None
) -> list[str]:
    """The images of one file, folder or glob."""
    if os.path.lexists(part) and not os.path.isdir(part):
        return [part]
    matches = [part] if os.path.isdir(part) else sorted(glob.glob(part, recursive=True))
    if not matches:
        raise UserError(f"--images {part}: there is no such file or folder")
    paths: list[str] = []
    for match in matches:
        paths += _below(match, tell) if os.path.isdir(match) else [match]
    paths = [path for path in paths if not os.path.abspath(path).startswith(leave_out)]
    images = [path for path in paths if path.lower().endswith(IMAGE_SUFFIXES)]
    others = _count_endings(set(paths) - set(images))
    if not images:
        rest = f", but {others}" if others else ""
        raise UserError(f"--images {part}: holds no image ({', '.join(IMAGE_SUFFIXES)}){rest}")
    if others and tell:
        tell(f"warning: --images {part}: left out {others}: not images by their suffix")
    return images


def _count_endings(paths: Iterable[str]) -> str:
    """The suffixes of files, such as `3 .heic, 1 .txt`; "" for no file."""
    endings = collections.Counter(
        os.path.splitext(path)[1].lower() or "without suffix" for path in sorted(paths)
    )
    shown = [f"{count} {ending}" for ending, count in endings.most_common(MOST_ENDINGS)]
    more = len(endings) - len(shown)
    return ", ".join(shown) + (f" and {more} other suffixes" if more else "")


def _below(folder: str, tell: Callable[[str], object] | None) -> list[str]:
    """Files of a folder and its subfolders, sorted by path, without hidden ones."""

    def say(error: OSError) -> None:
        if tell:
            tell(f"warning: {error.filename}: {error.strerror}; left out")

    files: list[str] = []
    for place, folders, names in os.walk(folder, onerror=say):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [os.path.join(place, name) for name in names if not name.startswith(".")]
    return sorted(files)


def require_writable(path: str) -> None:
    """Raises UserError: the path cannot be written in a line of a label file."""
    try:
        path.encode()
    except UnicodeEncodeError:
        whole = False
    else:
        whole = not any(sign in path for sign in "\t\n\r")
    if not whole:
        raise UserError(f"{path!r}: contains a tab, a line break or invalid UTF-8; rename the file")


class Labels:
    """Finds the labels of an image: those whose path is the end of the image's path.

    Args:
        source: a label file in PaddleOCR's format.

    Raises:
        UserError: it is missing or malformed.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self._samples = read_labels(source, "")
        self._numbers = {_parts(s.image_path): number for number, s in enumerate(self._samples)}
        self._depths = sorted({len(parts) for parts in self._numbers}, reverse=True)

    def find(self, path: str | os.PathLike[str]) -> Sample | None:
        """The labels of an image, those with the longest path if several match; None if none."""
        parts = _parts(os.path.abspath(path))
        for depth in self._depths:
            if parts[-depth:] in self._numbers:
                return self._samples[self._numbers[parts[-depth:]]]
        return None


def _parts(path: str) -> tuple[str, ...]:
    """Parts of a path in composed Unicode (NFC), since systems compose letters differently."""
    return pathlib.Path(unicodedata.normalize("NFC", path)).parts
