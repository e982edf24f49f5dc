"""Packs the images and labels of a config into a folder of shards, see `packed`."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ppocr_jax import files, locks
from ppocr_jax.data import image_files, packed
from ppocr_jax.data.images import require_writable
from ppocr_jax.data.labels import read_labels, split_sources
from ppocr_jax.data.sample import Sample, place_of
from ppocr_jax.data.splits import prepare_root
from ppocr_jax.errors import UserError, counted

if TYPE_CHECKING:
    from ml_collections import ConfigDict

SPLITS = ("train", "val")
WRITING = "group_size:1,uncompressed"  # records are read one by one, and images are compressed


def pack(
    config: ConfigDict, output: str | os.PathLike[str], shard_bytes: int, progress: bool = False
) -> list[str]:
    """Writes a folder of shards that can replace the folder of images as `data.root`.

    Args:
        config: a whole config; `data.root`, `data.train` and `data.val` are read.
        output: new folder: shards, `train.txt` and `val.txt`, and more label files if a split has
            several sources (`train-2.txt`).
        shard_bytes: size of a shard, at which the next one begins.
        progress: show a progress bar.

    Returns:
        Lines of text: what was written, and the options that select it.

    Raises:
        UserError: labels that training refuses, an image that cannot be read, or an output that
            exists already.
    """
    prepare_root(config)
    output = pathlib.Path(output)
    if output.exists():
        raise UserError(f"--output {output}: already exists: name another folder")
    lines, keys = [], [f"--config.data.root={output}"]
    with locks.hold_output(output), files.replacing(output) as folder:
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True)
        for split in SPLITS:
            names = []
            for number, source in enumerate(split_sources(config.data[split]), 1):
                name = split if number == 1 else f"{split}-{number}"
                said = _pack_source(config, source, folder, name, shard_bytes, progress)
                lines.append(f"{name}: {said}")
                names.append(f"{name}.txt")
            keys.append(f"--config.data.{split}={','.join(names)}")
    return [*lines, f"to train on it: {' '.join(keys)}"]


def _pack_source(
    config: ConfigDict,
    source: str,
    folder: pathlib.Path,
    name: str,
    shard_bytes: int,
    progress: bool,
) -> str:
    """Writes the shards and the label file of one source; returns a line of text on them."""
    root = config.data.root
    samples = read_labels(source, root)
    shards, size, texts = Shards(folder, name, shard_bytes), 0, _read_texts(samples)
    bar = tqdm(total=len(samples), desc=name, unit="image", disable=not progress)
    with bar, open(folder / f"{name}.txt", "wb") as lines, shards:
        for sample, text in zip(samples, texts, strict=True):
            try:
                picture = image_files.read_bytes(sample.image_path)
            except UserError as error:
                raise UserError(
                    f"{place_of(sample)}: {error}; repair it or remove the line: check-data finds "
                    "all such images"
                ) from None
            path = _below(sample.image_path, root)
            record = packed.make_record(path, json.loads(text), picture)
            lines.write(f"{shards.add(record)}/{path}\t".encode() + text + b"\n")
            size += len(picture)
            bar.update()
    return f"{len(samples)} images, {size / 1e6:.1f} MB, in {counted(shards.count, 'shard')}"


class Shards:
    """Writes records into one shard after the other. Use it as a context manager.

    Args:
        folder: folder to write into.
        name: beginning of the shards' names.
        shard_bytes: size of a shard, at which the next one begins.

    Attributes:
        count: number of shards.
    """

    def __init__(self, folder: pathlib.Path, name: str, shard_bytes: int) -> None:
        self._folder, self._name, self._most = folder, name, shard_bytes
        self._writer: Any = None
        self._bytes, self._number = 0, 0
        self.count = 0

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, record: bytes) -> str:
        """Writes a record; returns its place, `shard/number`."""
        if self._writer is None or self._bytes + len(record) > self._most and self._number:
            self._close()
            self._open()
        self._writer.write(record)
        self._bytes += len(record)
        self._number += 1
        return f"{self._shard}/{self._number - 1}"

    def _open(self) -> None:
        from array_record.python import array_record_module  # only here, since it loads a library

        self._shard = f"{self._name}-{self.count:05d}{packed.ENDING}"
        path = str(self._folder / self._shard)
        self._writer = array_record_module.ArrayRecordWriter(path, WRITING)
        self._bytes, self._number, self.count = 0, 0, self.count + 1

    def _close(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        writer.close()
        if packed.count_records(self._folder / self._shard) != self._number:
            raise OSError(f"{self._folder / self._shard}: not all of it was written")


def _read_texts(samples: Iterable[Sample]) -> Iterator[bytes]:
    """The labels of each sample as JSON: those of its line in the label file, if it has one."""
    for _, group in itertools.groupby(samples, key=lambda sample: sample.source):
        lines = None
        for sample in group:
            if not sample.line:
                yield json.dumps(_labels_of(sample)).encode()
                continue
            lines = lines or enumerate(_lines(sample.source), 1)
            line = next(line for number, line in lines if number == sample.line)
            yield line.partition(b"\t")[2].strip()


def _lines(path: str) -> Iterator[bytes]:
    """The lines of a label file, read piece by piece, since it may be large."""
    with open(path, "rb") as file:
        for part in file:
            yield from part.splitlines()


def _labels_of(sample: Sample) -> list[dict[str, Any]]:
    """Labels in PaddleOCR's format; of other formats only the ignore marks are kept, not texts."""
    return [
        {"transcription": "###" if ignored else "text", "points": polygon.tolist()}
        for polygon, ignored in zip(sample.polygons, sample.ignore, strict=True)
    ]


def _below(path: str, root: str) -> str:
    """An image's path relative to the root, or its file name if it is elsewhere.

    Raises:
        UserError: the name cannot be written in a line of a label file.
    """
    place = packed.find_place(path)
    name = place.name if place else os.path.relpath(path, root)
    require_writable(name)
    return os.path.basename(name) if name.startswith("..") else name
