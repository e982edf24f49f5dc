"""Which file a label means: names of other machines and tools -> paths of pictures here."""

import collections
import os
import pathlib
import unicodedata

from ppocr_jax.data.labels import IMAGE_SUFFIXES

NAMED = 200  # letters of a name that are shown


class Pictures:
    """Finds pictures below some folders.

    Attributes:
        by_name: how many were found by their last name alone, in another folder than named.
    """

    def __init__(self, folders, leave_out=(), beside=()):
        """
        Args:
            folders: where to look; looked through once, when a name is not there as it stands.
            leave_out: folders that are not looked into.
            beside: more folders to look into, of which not every picture is meant.
        """
        self._given = list(folders)
        self._folders = [pathlib.Path(folder) for folder in (*folders, *beside)]
        self._leave_out = leave_out
        self._index = None
        self.by_name = 0

    def find(self, name, near):
        """Path of a picture.

        A file at the very path comes first: from the label file's folder, from the folder above
        (PPOCRLabel's paths begin with the folder's name), from the given folders. Else the file
        whose path ends as the name does, as far as possible; the ending of the name, such as
        `.jpg`, may be missing. Large and small letters, and composed ones, do not matter then.

        Args:
            name: as the label file has it, with `/` or `\\`.
            near: folder of the label file.

        Raises:
            ValueError: no such picture, or several of which none fits better.
        """
        if "\0" in name:
            raise ValueError("the path of the picture holds a NUL, which no path can")
        plain = name.strip().replace("\\", "/")
        near = pathlib.Path(near)
        for folder in (near, near.parent, *self._folders):
            for form in dict.fromkeys((name, plain)):
                path = folder / form
                if _is_picture(path):
                    return os.path.normpath(path)
        return self._search(plain, near)

    def beside(self, label_file):
        """The one picture beside a label file that has its name but for the ending, or None."""
        found = [
            str(path)
            for suffix in IMAGE_SUFFIXES
            for path in {label_file.with_suffix(suffix), label_file.with_suffix(suffix.upper())}
            if path.is_file()
        ]
        return found[0] if len(found) == 1 else None

    def all(self):
        """Every picture below the folders, by path, but for those that are only beside."""
        files = {
            os.path.abspath(path): path
            for folder in self._given
            for path in files_below(folder, self._leave_out)
            if path.lower().endswith(IMAGE_SUFFIXES)
        }
        return sorted(files.values())

    def _search(self, name, near):
        parts = _key(name).strip("/").split("/")
        found = self._indexed().get(parts[-1]) or self._indexed_stems().get(parts[-1]) or ()
        if not found:
            raise ValueError(
                f"its picture {name[-NAMED:]} is not there; --images names the folder of them"
            )
        near_parts = _key(os.path.abspath(near)).split("/")

        def closeness(path):
            own = _key(os.path.abspath(path)).split("/")
            return _same(own[-2::-1], parts[-2::-1]), _same(own, near_parts)

        best = max(map(closeness, found))
        chosen = [path for path in found if closeness(path) == best]
        if len(chosen) > 1:
            raise ValueError(
                f"its picture may be {chosen[0]} or {chosen[1]}; prepare each folder by itself"
            )
        self.by_name += len(parts) > 1 and best[0] == 0
        return chosen[0]

    def _indexed(self):
        """`{last part of a path as a key: paths}`."""
        if self._index is None:
            self._index = collections.defaultdict(list)
            seen = set()
            for folder in self._folders:
                for path in files_below(folder, self._leave_out):
                    real = os.path.abspath(path)
                    if path.lower().endswith(IMAGE_SUFFIXES) and real not in seen:
                        seen.add(real)
                        self._index[_key(os.path.basename(path))].append(path)
            self._stems = collections.defaultdict(list)
            for key, paths in self._index.items():
                self._stems[os.path.splitext(key)[0]] += paths
        return self._index

    def _indexed_stems(self):
        self._indexed()
        return self._stems


def files_below(folder, leave_out=()):
    """Paths of all files of a folder and its subfolders, sorted, without hidden ones."""
    found, left = [], {os.path.abspath(place) for place in leave_out}
    for place, folders, names in os.walk(folder):
        if os.path.abspath(place) in left:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(place, name) for name in names if not name.startswith(".")]
    return sorted(filter(os.path.isfile, found))  # a pipe would never end


def _is_picture(path):
    try:
        return str(path).lower().endswith(IMAGE_SUFFIXES) and os.path.isfile(path)
    except (OSError, ValueError):  # a name that is too long
        return False


def _key(name):
    return unicodedata.normalize("NFC", name).casefold().replace("\\", "/")


def _same(first, second):
    """How many leading elements two lists share."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
