"""Finds the image files that labels refer to, also if another system wrote the paths."""

from __future__ import annotations

import collections
import os
import pathlib
import unicodedata
from collections.abc import Iterator

BACKSLASHES = "using / for \\ in their path"
LEVELS_UP, LEVELS_DOWN = 3, 2  # how far from a folder its alternatives are looked for
MOST_FOLDERS = 200  # folders below it that are tried
OTHER_FORM = "using another Unicode form of their name"


class PicturePaths:
    """Finds the images of a label file below a folder.

    A path that exists is used as written. Otherwise surrounding blanks are dropped, `\\` is read as
    `/`, and letters may be composed differently than in the file's name ("é" is one character or
    two, depending on the system), provided that exactly one file matches.

    Args:
        root: folder of the images.

    Attributes:
        changed: number of images found under another path, by kind.
        folders: folders whose content mattered.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = pathlib.Path(root)
        self._listings: dict[pathlib.Path, dict[str, list[str]]] = {}
        self.changed: collections.Counter[str] = collections.Counter()
        self.folders: set[str] = set()

    def find(self, name: str) -> str:
        """Path of the image that a label calls `name`, whether or not it exists."""
        plain = name.strip()
        # The usual case has no alternative, which saves an access to the disk.
        if name == plain and "\\" not in name and name.isascii():
            return str(self._root / name)
        turned = plain.replace("\\", "/")
        self.folders |= {os.path.dirname(self._root / form) for form in (name, plain, turned)}
        for form in (name, plain):
            if os.path.isfile(self._root / form):
                return str(self._root / form)
        path: pathlib.Path | None = self._root / turned
        kinds = [BACKSLASHES] * (turned != plain)
        if not os.path.isfile(self._root / turned):
            path = self.other_form(self._root / turned)
            kinds.append(OTHER_FORM)
        if path is None:
            return str(self._root / turned)
        self.changed.update(kinds)
        self.folders.add(os.path.dirname(path))
        return str(path)

    def other_form(self, path: pathlib.Path) -> pathlib.Path | None:
        """The one file whose path differs only in how its letters are composed, or None."""
        # Part by part, since each folder's name may be composed differently.
        place = pathlib.Path(path.anchor or ".")
        for part in path.relative_to(path.anchor).parts:
            if os.path.exists(place / part):
                place = place / part
                continue
            names = self._names(place).get(unicodedata.normalize("NFC", part), ())
            if len(names) != 1:
                return None
            place = place / names[0]
        return place if os.path.isfile(place) else None

    def _names(self, folder: pathlib.Path) -> dict[str, list[str]]:
        """`{composed form (NFC): names}` of the entries of a folder."""
        if folder not in self._listings:
            listing: dict[str, list[str]] = collections.defaultdict(list)
            try:
                for name in os.listdir(folder):
                    listing[unicodedata.normalize("NFC", name)].append(name)
            except OSError:
                pass  # opening the image will tell what is wrong with the folder
            self._listings[folder] = listing
        return self._listings[folder]

    def notes(self, total: int) -> list[str]:
        """Lines of text on images found under another path, of `total` images."""
        return [
            f"{count} of {total} images are found by {kind}" for kind, count in self.changed.items()
        ]


def near_folders(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Folders above and below one that may be meant instead, nearest first."""
    for level in range(1, LEVELS_UP + 1):
        yield os.path.normpath(os.path.join(folder, *[".."] * level))
    below, left = [str(folder)], MOST_FOLDERS
    for _ in range(LEVELS_DOWN):
        below = [inner for outer in below for inner in _folders_in(outer)][:left]
        left -= len(below)
        yield from below


def _folders_in(folder: str) -> list[str]:
    """Folders in a folder, without hidden ones; an empty list if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError:
        return []
    return [os.path.join(folder, name) for name in sorted(names)[:MOST_FOLDERS]]
