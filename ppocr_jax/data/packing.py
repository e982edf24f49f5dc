"""Pictures and labels of a config -> a folder of shards with label files, see `packed`."""

import itertools
import json
import os
import pathlib

from tqdm import tqdm

from ppocr_jax import files, locks
from ppocr_jax.data import image_files, packed
from ppocr_jax.data.images import require_writable
from ppocr_jax.data.labels import read_labels, split_sources
from ppocr_jax.data.sample import place_of
from ppocr_jax.data.splits import prepare_root
from ppocr_jax.errors import UserError, counted

SPLITS = ("train", "val")
WRITING = "group_size:1,uncompressed"  # records are read one by one, and pictures are compressed


def pack(config, output, shard_bytes, progress=False):
    """Writes a folder that `data.root` takes in the place of the pictures' own.

    Args:
        config: a whole config, of which `data.root`, `data.train` and `data.val` are read.
        output: folder to make: shards, `train.txt` and `val.txt`, with more of them where a split
            has several sources (`train-2.txt`).
        shard_bytes: pictures of a shard; a new one begins where it has more.
        progress: show a bar.

    Returns:
        Lines of text: what was written, and the keys of the config that name it.

    Raises:
        UserError: labels that `train` refuses, a picture that cannot be read, an output that is
            there.
    """
    prepare_root(config)
    output = pathlib.Path(output)
    if output.exists():
        raise UserError(f"--output {output}: is there already: name another folder")
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
    return [*lines, f"to train from it: {' '.join(keys)}"]


def _pack_source(config, source, folder, name, shard_bytes, progress):
    """Writes the shards and the label file of one source: a line on them."""
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
                    f"{place_of(sample)}: {error}; mend it, or take the line out: check-data finds "
                    "all of them"
                ) from None
            path = _below(sample.image_path, root)
            record = packed.make_record(path, json.loads(text), picture)
            lines.write(f"{shards.add(record)}/{path}\t".encode() + text + b"\n")
            size += len(picture)
            bar.update()
    return f"{len(samples)} images, {size / 1e6:.1f} MB, in {counted(shards.count, 'shard')}"


class Shards:
    """Writes records into one shard after the other. Use as a context manager."""

    def __init__(self, folder, name, shard_bytes):
        self._folder, self._name, self._most = folder, name, shard_bytes
        self._writer, self._bytes, self._number = None, 0, 0
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()

    def add(self, record):
        """Writes a record: `shard/number`, which names it."""
        if self._writer is None or self._bytes + len(record) > self._most and self._number:
            self._close()
            self._open()
        self._writer.write(record)
        self._bytes += len(record)
        self._number += 1
        return f"{self._shard}/{self._number - 1}"

    def _open(self):
        from array_record.python import array_record_module  # loads a library

        self._shard = f"{self._name}-{self.count:05d}{packed.ENDING}"
        path = str(self._folder / self._shard)
        self._writer = array_record_module.ArrayRecordWriter(path, WRITING)
        self._bytes, self._number, self.count = 0, 0, self.count + 1

    def _close(self):
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        writer.close()
        if packed.count_records(self._folder / self._shard) != self._number:
            raise OSError(f"{self._folder / self._shard}: not all of it was written")


def _read_texts(samples):
    """The labels of each sample as JSON, bytes: those of its line as they stand, if it has one."""
    for _, group in itertools.groupby(samples, key=lambda sample: sample.source):
        lines = None
        for sample in group:
            if not sample.line:
                yield json.dumps(_labels_of(sample)).encode()
                continue
            lines = lines or enumerate(_lines(sample.source), 1)
            line = next(line for number, line in lines if number == sample.line)
            yield line.partition(b"\t")[2].strip()


def _lines(path):
    """The lines of a label file, as it is read: it may be large."""
    with open(path, "rb") as file:
        for part in file:
            yield from part.splitlines()


def _labels_of(sample):
    """Labels in PaddleOCR's form; texts are not kept of other forms."""
    return [
        {"transcription": "###" if ignored else "text", "points": polygon.tolist()}
        for polygon, ignored in zip(sample.polygons, sample.ignore, strict=True)
    ]


def _below(path, root):
    """A picture's path below the root, or its name where it lies elsewhere.

    Raises:
        UserError: a name that no line of a label file can hold.
    """
    place = packed.find_place(path)
    name = place.name if place else os.path.relpath(path, root)
    require_writable(name)
    return os.path.basename(name) if name.startswith("..") else name
