"""Finds the image that a label names, although its path is that of another machine or tool."""

import collections
import os
import pathlib
import unicodedata
from collections.abc import Iterable, Sequence

from ppocr_jax.data.labels import IMAGE_SUFFIXES

NAMED = 200  # characters of a name that a message shows


class ImageFinder:
    """Finds images below some folders.

    Attributes:
        by_name: number of images found by file name alone, in another folder than the one named.
    """

    def __init__(
        self,
        folders: Iterable[str | os.PathLike[str]],
        leave_out: Sequence[str | os.PathLike[str]] = (),
        beside: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        """
        Args:
            folders: folders to search, subfolders included.
            leave_out: folders to skip.
            beside: more folders to search; their images are not all part of the data set.
        """
        self._given = list(folders)
        self._folders = [pathlib.Path(folder) for folder in (*self._given, *beside)]
        self._leave_out = leave_out
        # Filled on the first search, since labels usually give paths that can be opened directly.
        self._names: dict[str, list[str]] | None = None
        self._stems: dict[str, list[str]] = {}
        self.by_name = 0

    def find(self, name: str, near: str | os.PathLike[str]) -> str:
        """Path of the image that a label names.

        A file at exactly that path comes first: relative to the label file's folder, to the folder
        above (PPOCRLabel's paths begin with the folder's name), and to the given folders. Otherwise
        the file whose path agrees longest with the end of the name. That search ignores case and
        Unicode composition, and the name may lack its ending, such as `.jpg`.

        Args:
            name: the name in the label file, with `/` or `\\`.
            near: folder of the label file.

        Raises:
            ValueError: there is no such image, or several that fit equally well.
        """
        if "\0" in name:
            raise ValueError("its image path contains a NUL character")
        # On Linux a backslash or a blank may be part of a file name, so both forms are tried.
        plain = name.strip().replace("\\", "/")
        near = pathlib.Path(near)
        for folder in (near, near.parent, *self._folders):
            for form in dict.fromkeys((name, plain)):
                path = folder / form
                if _is_image(path):
                    return os.path.normpath(path)
        return self._search(plain, near)

    def beside(self, label_file: pathlib.Path) -> str | None:
        """The one image next to a label file that has its name but for the ending, or None."""
        found = [
            str(path)
            for suffix in IMAGE_SUFFIXES
            for path in {label_file.with_suffix(suffix), label_file.with_suffix(suffix.upper())}
            if path.is_file()
        ]
        return found[0] if len(found) == 1 else None

    def all(self) -> list[str]:
        """Every image below `folders`, sorted by path; those of `beside` are left out."""
        files = {
            os.path.abspath(path): path
            for folder in self._given
            for path in files_below(folder, self._leave_out)
            if path.lower().endswith(IMAGE_SUFFIXES)
        }
        return sorted(files.values())

    def _search(self, name: str, near: pathlib.Path) -> str:
        """The image whose path fits best among all of the same file name. Raises ValueError."""
        parts = _key(name).strip("/").split("/")
        names = self._indexed()
        found = names.get(parts[-1]) or self._stems.get(parts[-1]) or ()
        if not found:
            raise ValueError(
                f"its image {name[-NAMED:]} was not found; --images names the folder to look in"
            )
        near_parts = _key(os.path.abspath(near)).split("/")

        # The folders that the label names count first; a tie goes to the image nearest to the
        # label file, as in train/ and test/ with the same file names.
        def closeness(path: str) -> tuple[int, int]:
            own = _key(os.path.abspath(path)).split("/")
            return _count_same(own[-2::-1], parts[-2::-1]), _count_same(own, near_parts)

        best = max(map(closeness, found))
        chosen = [path for path in found if closeness(path) == best]
        if len(chosen) > 1:
            raise ValueError(
                f"its image could be {chosen[0]} or {chosen[1]}; prepare each folder separately"
            )
        self.by_name += len(parts) > 1 and best[0] == 0
        return chosen[0]

    def _indexed(self) -> dict[str, list[str]]:
        """`{key of a file name: paths}`; fills `_stems` too, which has the names without ending."""
        if self._names is None:
            names = collections.defaultdict(list)
            seen = set()
            for folder in self._folders:
                for path in files_below(folder, self._leave_out):
                    real = os.path.abspath(path)
                    if path.lower().endswith(IMAGE_SUFFIXES) and real not in seen:
                        seen.add(real)
                        names[_key(os.path.basename(path))].append(path)
            for key, paths in names.items():
                self._stems.setdefault(os.path.splitext(key)[0], []).extend(paths)
            self._names = names
        return self._names


def files_below(
    folder: str | os.PathLike[str], leave_out: Iterable[str | os.PathLike[str]] = ()
) -> list[str]:
    """Sorted paths of all files in a folder and its subfolders, except hidden ones.

    Args:
        folder: where to look.
        leave_out: folders to skip.
    """
    found, skipped = [], {os.path.abspath(place) for place in leave_out}
    for place, folders, names in os.walk(folder):
        if os.path.abspath(place) in skipped:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(place, name) for name in names if not name.startswith(".")]
    return sorted(filter(os.path.isfile, found))  # regular files only: reading a pipe would hang


def _is_image(path: pathlib.Path) -> bool:
    try:
        return str(path).lower().endswith(IMAGE_SUFFIXES) and os.path.isfile(path)
    except (OSError, ValueError):  # for example, the name is too long
        return False


def _key(name: str) -> str:
    """A path in the form in which paths are compared; macOS decomposes accents, others do not."""
    return unicodedata.normalize("NFC", name).casefold().replace("\\", "/")


def _count_same(first: Sequence[str], second: Sequence[str]) -> int:
    """How many leading elements two lists share."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
