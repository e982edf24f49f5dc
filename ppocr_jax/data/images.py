"""Which images a user means: files, folders and globs -> paths; and the labels that are theirs."""

import collections
import glob
import os
import pathlib
import unicodedata

from ppocr_jax.data.labels import IMAGE_SUFFIXES, read_labels
from ppocr_jax.errors import UserError

MOST_ENDINGS = 5  # that are named of what is no image


def find_images(given, leave_out=(), tell=None):
    """Paths of images, in the order in which they are given; one that comes twice counts once.

    Args:
        given: texts, each a file, a folder, a glob (`**` for any depth), or several of these
            separated by commas. A folder stands for all images below it, at any depth, sorted;
            hidden files and folders are left out. A file that is named is taken whatever its
            suffix is, folders and globs give what ends as an image does.
        leave_out: folders that folders and globs do not look into.
        tell: takes a line on what folders and globs hold that does not end as an image does, or
            cannot be looked into; None for nobody.

    Returns:
        A list of str.

    Raises:
        UserError: something that is not there or holds no image, or a name that no line of a
            text file can hold.
    """
    found, leave_out = {}, tuple(os.path.abspath(folder) + os.sep for folder in leave_out)
    for text in given:
        whole = os.path.exists(text)
        for part in [text] if whole else [p.strip() for p in text.split(",") if p.strip()]:
            for path in _expand(part, leave_out, tell):
                found.setdefault(os.path.abspath(path), path)
    if not found:
        raise UserError("--images names nothing: give files, folders or globs")
    for path in found.values():
        require_writable(path)
    return list(found.values())


def _expand(part, leave_out, tell):
    """Images of one file, folder or glob."""
    if os.path.lexists(part) and not os.path.isdir(part):
        return [part]
    matches = [part] if os.path.isdir(part) else sorted(glob.glob(part, recursive=True))
    if not matches:
        raise UserError(f"--images {part}: there is no such file or folder")
    paths = []
    for match in matches:
        paths += _below(match, tell) if os.path.isdir(match) else [match]
    paths = [path for path in paths if not os.path.abspath(path).startswith(leave_out)]
    images = [path for path in paths if path.lower().endswith(IMAGE_SUFFIXES)]
    others = _count_endings(set(paths) - set(images))
    if not images:
        rest = f", but {others}" if others else ""
        raise UserError(f"--images {part}: holds no image ({', '.join(IMAGE_SUFFIXES)}){rest}")
    if others and tell:
        tell(f"--images {part}: left out {others}, which do not end as an image does")
    return images


def _count_endings(paths):
    """Such as `3 .heic, 1 .txt`; "" for no path."""
    endings = collections.Counter(
        os.path.splitext(path)[1].lower() or "without ending" for path in sorted(paths)
    )
    shown = [f"{count} {ending}" for ending, count in endings.most_common(MOST_ENDINGS)]
    more = len(endings) - len(shown)
    return ", ".join(shown) + (f" and {more} other endings" if more else "")


def _below(folder, tell):
    """Files of a folder and its subfolders, sorted by path, without hidden ones."""

    def say(error):
        if tell:
            tell(f"{error.filename}: {error.strerror}; left out")

    files = []
    for place, folders, names in os.walk(folder, onerror=say):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [os.path.join(place, name) for name in names if not name.startswith(".")]
    return sorted(files)


def require_writable(path):
    """Raises UserError: no line of a label file can hold this path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        whole = False
    else:
        whole = not any(sign in path for sign in "\t\n\r")
    if not whole:
        raise UserError(f"{path!r}: a tab, a line break or broken UTF-8; rename the file")


class Labels:
    """Labelled samples by image: a label is that of the image whose path ends as the label's."""

    def __init__(self, source):
        """Reads a label file in PaddleOCR's form. Raises UserError: it is missing or garbled."""
        self._samples = read_labels(source, "")
        self._numbers = {_parts(s.image_path): number for number, s in enumerate(self._samples)}
        self._depths = sorted({len(parts) for parts in self._numbers}, reverse=True)

    def find(self, path):
        """The `Sample` of an image, the one with the longest path if there are several, or None."""
        parts = _parts(os.path.abspath(path))
        for depth in self._depths:
            if parts[-depth:] in self._numbers:
                return self._samples[self._numbers[parts[-depth:]]]
        return None


def _parts(path):
    """Parts of a path with composed letters: file systems and other tools compose otherwise."""
    return pathlib.Path(unicodedata.normalize("NFC", path)).parts
