"""Reads every image of a split once and keeps its size, hash and fingerprint as arrays."""

from __future__ import annotations

import concurrent.futures
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ppocr_jax.data import label_index
from ppocr_jax.data.image_files import is_turned, read_bytes
from ppocr_jax.data.likeness import fingerprint
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.sample import Sample
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt64

CHUNK = 1000  # images processed together

# (size, digest, turned, mark), see `Picture`.
Look = tuple[tuple[int, int], bytes, bool, np.ndarray]


class Picture(NamedTuple):
    """A labelled image that was read.

    Attributes:
        sample: its labels.
        reason: why it cannot be used; "" if it can.
        size: (height, width) in pixels, after EXIF rotation; None if it cannot be read.
        digest: SHA-256 of the file; b"" if it cannot be read.
        turned: whether EXIF rotates or flips it.
        mark: its `likeness.fingerprint`; None if it cannot be read.
    """

    sample: Sample
    reason: str = ""
    size: tuple[int, int] | None = None
    digest: bytes = b""
    turned: bool = False
    mark: UInt64[np.ndarray, " 4"] | None = None


class Pictures(label_index.Sequence):
    """The labelled images of a split, a sequence of `Picture`.

    Args:
        samples: the samples of the split.

    Attributes:
        samples: the same.
        reasons: `{number: why the image cannot be used}`.
        sizes: int32 `[S, 2]`, (height, width); 0 if the image cannot be read.
        digests: uint8 `[S, 32]`.
        turned: bool `[S]`.
        marks: uint64 `[S, 4]`.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples, total = samples, len(samples)
        self.reasons: dict[int, str] = {}
        self.sizes = np.zeros((total, 2), np.int32)
        self.digests = np.zeros((total, 32), np.uint8)
        self.turned = np.zeros(total, bool)
        self.marks = np.zeros((total, 4), np.uint64)

    def __len__(self) -> int:
        return len(self.samples)

    def _item(self, number: int) -> Picture:
        sample, reason = self.samples[number], self.reasons.get(number, "")
        if not self.sizes[number].any():
            return Picture(sample, reason)
        height, width = self.sizes[number].tolist()
        digest, turned = self.digests[number].tobytes(), bool(self.turned[number])
        return Picture(sample, reason, (height, width), digest, turned, self.marks[number])

    def usable(self) -> Pictures:
        """Only the images that can be read."""
        chosen = np.flatnonzero(self.sizes.any(1))
        if len(chosen) == len(self):
            return self
        part = Pictures(label_index.Chosen(self.samples, chosen))
        for name in ("sizes", "digests", "turned", "marks"):
            setattr(part, name, getattr(self, name)[chosen])
        return part

    def tables(self) -> Iterator[tuple[int, label_index.Table, np.ndarray, np.ndarray]]:
        """`(number of the first image, table, sizes, turned)` of every `CHUNK` images."""
        for first in range(0, len(self), CHUNK):
            part = slice(first, first + CHUNK)
            table = label_index.table(self.samples, first, first + CHUNK)
            yield first, table, self.sizes[part], self.turned[part]


def look_at_images(
    samples: Sequence[Sample],
    progress: bool = False,
    look: Callable[[str], Look] | None = None,
) -> Pictures:
    """Reads all images of a split completely; a file that several labels name is read once.

    Args:
        samples: the samples of the split.
        progress: show a progress bar.
        look: reads one image; raises UserError or OSError. By default `look_at_file`.
    """
    pictures, read = Pictures(samples), look or look_at_file
    alike = _find_files(samples)
    first = alike == np.arange(len(alike))

    def attempt(number: int) -> tuple[int, Look | None, str]:
        path = samples[number].image_path
        try:
            return number, read(path), ""
        except (UserError, OSError) as error:
            return number, None, str(error)

    def note(number: int, seen: Look | None, reason: str) -> None:
        if seen is None:
            pictures.reasons[number] = reason
            return
        pictures.sizes[number], digest, pictures.turned[number], mark = seen
        pictures.digests[number] = np.frombuffer(digest, np.uint8)
        pictures.marks[number] = mark

    bar = tqdm(total=len(samples), unit="image", disable=not progress)
    with bar, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        # --- each file once
        for numbers in _in_groups(np.flatnonzero(first).tolist()):
            for result in pool.map(attempt, numbers):
                note(*result)
                bar.update()
        # --- the other labels of the same files
        repeated = np.flatnonzero(~first)
        for name in ("sizes", "digests", "turned", "marks"):
            values = getattr(pictures, name)
            values[repeated] = values[alike[repeated]]
        # An unreadable file is read again under each of its paths, so that messages name that path.
        again = [number for number in repeated.tolist() if alike[number] in pictures.reasons]
        for result in map(attempt, again):
            note(*result)
        bar.update(len(repeated))
    return pictures


def look_at_file(path: str) -> Look:
    """`(size, digest, turned, mark)` of an image, see `Picture`. Raises UserError."""
    size, mark = read_image(path, lambda image: (image.shape[:2], fingerprint(image)))
    return size, hashlib.sha256(read_bytes(path)).digest(), is_turned(path), mark


def _find_files(samples: Sequence[Sample]) -> Int64[np.ndarray, " S"]:
    """For each image the number of the first one that is the same file, by device and inode."""
    files = np.empty((len(samples), 2), np.int64)
    number = 0
    for first in range(0, len(samples), CHUNK):
        for path in label_index.table(samples, first, first + CHUNK).paths:
            try:
                status = os.stat(path)
                files[number] = status.st_dev, status.st_ino
            except (OSError, ValueError):
                files[number] = -1, number  # equal to no other
            number += 1
    if not len(files):
        return np.zeros(0, np.int64)
    keys = np.ascontiguousarray(files).view([("device", np.int64), ("file", np.int64)]).ravel()
    _, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return firsts[inverse.ravel()]


def _in_groups(numbers: Iterable[Any]) -> Iterator[list[Any]]:
    """Lists of `CHUNK` items: a thread pool would queue all of them at once."""
    left = iter(numbers)
    while group := list(itertools.islice(left, CHUNK)):
        yield group
