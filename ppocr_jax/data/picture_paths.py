"""Which file a label means: paths as other systems write them."""

import collections
import os
import pathlib
import unicodedata

BACKSLASHES = "/ for \\ in their path"
LEVELS_UP, LEVELS_DOWN = 3, 2  # from a folder to those that may be meant in its place
MOST_FOLDERS = 200  # below it that are tried
OTHER_FORM = "another Unicode form of their name"


class PicturePaths:
    """Finds the pictures of a label file below a folder.

    A path that is there is taken as it is. Else blanks around it do not count, `\\` may stand for
    `/`, and letters may be composed otherwise than in the file's name ("é" is one character or
    two: other systems choose otherwise), where exactly one file is meant then.

    Attributes:
        changed: how many were found under another path, by kind.
        folders: whose content decided which file is meant.
    """

    def __init__(self, root):
        self._root = pathlib.Path(root)
        self._listings = {}
        self.changed = collections.Counter()
        self.folders = set()

    def find(self, name):
        """Path of a picture, as text; one that is not there is named all the same."""
        plain = name.strip()
        if name == plain and "\\" not in name and name.isascii():
            return str(self._root / name)  # nothing to try: saves a look at the disk
        turned = plain.replace("\\", "/")
        self.folders |= {os.path.dirname(self._root / form) for form in (name, plain, turned)}
        for form in (name, plain):
            if os.path.isfile(self._root / form):
                return str(self._root / form)
        path, kinds = self._root / turned, [BACKSLASHES] * (turned != plain)
        if not os.path.isfile(path):
            path = self.other_form(path)
            kinds.append(OTHER_FORM)
        if path is None:
            return str(self._root / turned)
        self.changed.update(kinds)
        self.folders.add(os.path.dirname(path))
        return str(path)

    def other_form(self, path):
        """The one file whose path differs in the composition of its letters alone, or None."""
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

    def _names(self, folder):
        """`{name in its composed form: names}` of what lies in a folder."""
        if folder not in self._listings:
            listing = collections.defaultdict(list)
            try:
                for name in os.listdir(folder):
                    listing[unicodedata.normalize("NFC", name)].append(name)
            except OSError:
                pass  # whoever opens the picture says what is wrong with the folder
            self._listings[folder] = listing
        return self._listings[folder]

    def notes(self, total):
        """Lines on what was changed, of so many pictures."""
        return [
            f"{count} of {total} pictures are found by {kind}"
            for kind, count in self.changed.items()
        ]


def near_folders(folder):
    """Folders above and below one that may have been meant instead, the nearest first."""
    for level in range(1, LEVELS_UP + 1):
        yield os.path.normpath(os.path.join(folder, *[".."] * level))
    below, left = [str(folder)], MOST_FOLDERS
    for _ in range(LEVELS_DOWN):
        below = [inner for outer in below for inner in _folders_in(outer)][:left]
        left -= len(below)
        yield from below


def _folders_in(folder):
    """Folders in a folder, without hidden ones; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError:
        return []
    return [os.path.join(folder, name) for name in sorted(names)[:MOST_FOLDERS]]
