"""What was seen of the images of a split, as arrays; a file that is named often is read once."""

import concurrent.futures
import hashlib
import itertools
import os
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ppocr_jax.data import label_index
from ppocr_jax.data.image_files import is_turned, read_bytes
from ppocr_jax.data.likeness import fingerprint
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.sample import Sample
from ppocr_jax.errors import UserError

CHUNK = 1000  # images whose labels are looked at together


class Picture(NamedTuple):
    """A labelled image that was looked at.

    Attributes:
        sample: its labels.
        reason: why it cannot be used; "" where it can.
        size: (height, width), pixels, turned; None where it cannot be read.
        digest: of the file's bytes; b"" where it cannot be read.
        turned: whether its EXIF entry turns it.
        mark: its `likeness.fingerprint`; None where it cannot be read.
    """

    sample: Sample
    reason: str = ""
    size: tuple[int, int] | None = None
    digest: bytes = b""
    turned: bool = False
    mark: np.ndarray | None = None


class Pictures(label_index.Sequence):
    """The labelled images of a split, a sequence of `Picture`.

    Args:
        samples: a sequence of `Sample`.

    Attributes:
        reasons: `{number: why it cannot be used}`.
        sizes: int32 `[S, 2]`, (height, width); 0 where it cannot be read.
        digests: uint8 `[S, 32]`.
        turned: bool `[S]`.
        marks: uint64 `[S, 4]`.
    """

    def __init__(self, samples):
        self.samples, total = samples, len(samples)
        self.reasons = {}
        self.sizes = np.zeros((total, 2), np.int32)
        self.digests = np.zeros((total, 32), np.uint8)
        self.turned = np.zeros(total, bool)
        self.marks = np.zeros((total, 4), np.uint64)

    def __len__(self):
        return len(self.samples)

    def _item(self, number):
        sample, reason = self.samples[number], self.reasons.get(number, "")
        if not self.sizes[number].any():
            return Picture(sample, reason)
        size, digest = self.sizes[number].tolist(), self.digests[number].tobytes()
        return Picture(
            sample, reason, tuple(size), digest, bool(self.turned[number]), self.marks[number]
        )

    def usable(self):
        """Those that can be read, as `Pictures`."""
        chosen = np.flatnonzero(self.sizes.any(1))
        if len(chosen) == len(self):
            return self
        part = Pictures(label_index.Chosen(self.samples, chosen))
        for name in ("sizes", "digests", "turned", "marks"):
            setattr(part, name, getattr(self, name)[chosen])
        return part

    def tables(self):
        """`(number of the first, Table, sizes, turned)` of some images after the other."""
        for first in range(0, len(self), CHUNK):
            part = slice(first, first + CHUNK)
            table = label_index.table(self.samples, first, first + CHUNK)
            yield first, table, self.sizes[part], self.turned[part]


def look_at_images(samples, progress=False, look=None):
    """`Pictures` of labelled images, each read as a whole.

    Args:
        samples: a sequence of `Sample`.
        progress: show a bar.
        look: `path -> (size, digest, turned, mark)`; raises UserError or OSError.
    """
    pictures, look = Pictures(samples), look or look_at_file
    alike = _find_files(samples)
    first = alike == np.arange(len(alike))

    def attempt(number):
        path = samples[number].image_path
        try:
            return number, look(path), ""
        except (UserError, OSError) as error:
            return number, None, str(error)

    def note(number, seen, reason):
        if reason:
            pictures.reasons[number] = reason
            return
        pictures.sizes[number], digest, pictures.turned[number], mark = seen
        pictures.digests[number] = np.frombuffer(digest, np.uint8)
        pictures.marks[number] = mark

    bar = tqdm(total=len(samples), unit="image", disable=not progress)
    with bar, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for numbers in _in_groups(np.flatnonzero(first).tolist()):
            for result in pool.map(attempt, numbers):
                note(*result)
                bar.update()
        repeated = np.flatnonzero(~first)
        for name in ("sizes", "digests", "turned", "marks"):
            values = getattr(pictures, name)
            values[repeated] = values[alike[repeated]]
        # A file that cannot be read is named by each path that it has.
        again = [number for number in repeated.tolist() if alike[number] in pictures.reasons]
        for result in map(attempt, again):
            note(*result)
        bar.update(len(repeated))
    return pictures


def look_at_file(path):
    """`(size, digest, turned, mark)` of an image, see `Picture`. Raises UserError."""
    size, mark = read_image(path, lambda image: (image.shape[:2], fingerprint(image)))
    return size, hashlib.sha256(read_bytes(path)).digest(), is_turned(path), mark


def _find_files(samples):
    """int64 `[S]`: of each image the first one that is the same file, by device and number."""
    files = np.empty((len(samples), 2), np.int64)
    number = 0
    for first in range(0, len(samples), CHUNK):
        for path in label_index.table(samples, first, first + CHUNK).paths:
            try:
                status = os.stat(path)
                files[number] = status.st_dev, status.st_ino
            except (OSError, ValueError):
                files[number] = -1, number  # like no other
            number += 1
    if not len(files):
        return np.zeros(0, np.int64)
    keys = np.ascontiguousarray(files).view([("device", np.int64), ("file", np.int64)]).ravel()
    _, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return firsts[inverse.ravel()]


def _in_groups(numbers):
    """Lists of some numbers after the other: a pool would take all of them at once."""
    numbers = iter(numbers)
    while group := list(itertools.islice(numbers, CHUNK)):
        yield group
