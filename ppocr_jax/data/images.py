"""Which images a user means: files, folders and globs -> paths; and the labels that are theirs."""

import glob
import os
import pathlib
import unicodedata
import warnings

from PIL import Image

from ppocr_jax.data.labels import IMAGE_SUFFIXES, read_labels
from ppocr_jax.errors import UserError

ORIENTATION = 0x0112  # EXIF: from 5 on, the sides are swapped


def find_images(given, leave_out=None):
    """Paths of images, in the order in which they are given; one that comes twice counts once.

    Args:
        given: texts, each a file, a folder, a glob (`**` for any depth), or several of these
            separated by commas. A folder stands for all images below it, at any depth, sorted;
            hidden files and folders are left out. A file that is named is taken whatever its
            suffix is, folders and globs give what ends as an image does.
        leave_out: a folder that folders and globs do not look into.

    Returns:
        A list of str.

    Raises:
        UserError: something that is not there or holds no image, or a name that no line of a
            text file can hold.
    """
    found = {}
    for text in given:
        whole = os.path.exists(text)
        for part in [text] if whole else [p.strip() for p in text.split(",") if p.strip()]:
            for path in _expand(part, leave_out and os.path.abspath(leave_out)):
                found.setdefault(os.path.abspath(path), path)
    if not found:
        raise UserError("--images names nothing: give files, folders or globs")
    for path in found.values():
        if any(sign in path for sign in "\t\n\r") or not _is_unicode(path):
            raise UserError(f"{path!r}: a tab, a line break or broken UTF-8; rename the file")
    return list(found.values())


def _expand(part, leave_out):
    """Images of one file, folder or glob."""
    if os.path.isfile(part):
        return [part]
    matches = [part] if os.path.isdir(part) else sorted(glob.glob(part, recursive=True))
    if not matches:
        raise UserError(f"--images {part}: there is no such file or folder")
    paths = []
    for match in matches:
        paths += _below(match) if os.path.isdir(match) else [match]
    images = [path for path in paths if path.lower().endswith(IMAGE_SUFFIXES)]
    if leave_out:
        images = [p for p in images if not os.path.abspath(p).startswith(leave_out + os.sep)]
    if not images:
        raise UserError(f"--images {part}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return images


def _below(folder):
    """Files of a folder and its subfolders, sorted by path, without hidden ones."""
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [os.path.join(place, name) for name in names if not name.startswith(".")]
    return sorted(files)


def _is_unicode(path):
    try:
        return bool(path.encode())
    except UnicodeEncodeError:
        return False


def read_size(path):
    """`(height, width)` from the header of a file, turned as `read_image` turns it, or None."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            width, height = image.size
            swapped = image.getexif().get(ORIENTATION, 1) >= 5
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        return None  # whoever reads the whole file says what is wrong with it
    return (width, height) if swapped else (height, width)


class Labels:
    """Labelled samples by image: a label is that of the image whose path ends as the label's."""

    def __init__(self, source):
        """Reads a label file in PaddleOCR's form. Raises UserError: it is missing or garbled."""
        samples = read_labels(source, "")
        self._samples = {_parts(sample.image_path): sample for sample in samples}
        self._depths = sorted({len(parts) for parts in self._samples}, reverse=True)

    def find(self, path):
        """The `Sample` of an image, the one with the longest path if there are several, or None."""
        parts = _parts(os.path.abspath(path))
        for depth in self._depths:
            if parts[-depth:] in self._samples:
                return self._samples[parts[-depth:]]
        return None


def _parts(path):
    """Parts of a path with composed letters: file systems and other tools compose otherwise."""
    return pathlib.Path(unicodedata.normalize("NFC", path)).parts
