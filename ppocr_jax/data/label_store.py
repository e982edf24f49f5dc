"""Caches the label index of a label file or folder, under a hash of what it is made from.

The first process that needs an index builds it, while others on the same machine wait. A label file
enters the hash by its content, a folder by the names, sizes and times of its files. If the index
depends on which images are in a folder, that folder's modification time is compared too. Times of a
moment ago are not trusted, because another change may not alter them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pathlib
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

from ppocr_jax import __version__, files, locks
from ppocr_jax.data.label_columns import Columns
from ppocr_jax.data.label_file import Damaged, open_index, write_index
from ppocr_jax.data.label_index import LabelIndex
from ppocr_jax.data.sample import Problem
from ppocr_jax.errors import UserError, tell
from ppocr_jax.runtime.cache import cache_folder

FOLDER = "labels"  # in the cache folder
LARGE = 1 << 25  # bytes of labels; the index of more is collected in files, not in memory
RECENT_NS = 2 * 10**9  # file systems store times in steps of up to two seconds
MOST_PROBLEMS = 10_000  # an index with more is not kept: its labels will be corrected
UNUSED_DAYS = 30  # an index not opened for this long is removed
# The files whose code decides what an index holds.
RULES = ("label_lines.py", "label_folders.py", "label_polygons.py", "label_columns.py",
         "label_file.py", "icdar.py", "marks.py", "picture_paths.py")  # fmt: skip


class Scan(NamedTuple):
    """The content of a label file or folder.

    Attributes:
        samples: the images that can be used.
        problems: the lines that cannot be used.
        notes: lines of text on how it was read.
    """

    samples: LabelIndex
    problems: list[Problem]
    notes: list[str]


# `columns -> (problems, notes, folders whose content mattered)`.
ScanSource = Callable[[Columns], tuple[list[Problem], list[str], set[str]]]


def read_indexed(path: pathlib.Path, root: str | os.PathLike[str], scan: ScanSource) -> Scan:
    """The `Scan` of a source, from a cached index if there is one.

    Args:
        path: a label file, or a folder of them.
        root: folder of the images.
        scan: `columns -> (problems, notes, folders)`: reads the source into `Columns`; `folders`
            are those whose content mattered.

    Raises:
        UserError: whatever `scan` raises.
    """
    began, seen = time.time_ns(), _look(path)
    places = [str(path), str(root), os.path.realpath(path), os.path.realpath(root)]
    name, key = _hash(places), _hash([places, seen.digest, _rules()])
    place = pathlib.Path(cache_folder(), FOLDER, f"{name[:16]}-{key[:32]}.index")
    found = _open(place, key)
    if found:
        return found
    try:
        with contextlib.ExitStack() as stack:
            _hold(stack, place)
            found = _open(place, key)  # another process may have built it meanwhile
            return found or _build(place, key, path, scan, began, seen)
    except OSError as error:
        _say_once(
            f"warning: {place.parent}: {error.strerror or error}: the label index is not cached, "
            "every process holds it in memory; name another folder with PPOCR_JAX_CACHE"
        )
    columns = Columns()
    problems, notes, _ = scan(columns)
    return Scan(columns.in_memory(), problems, notes)


def _build(
    place: pathlib.Path, key: str, path: pathlib.Path, scan: ScanSource, began: int, seen: _Look
) -> Scan:
    """Reads the source, and caches its index if nothing can have changed meanwhile."""
    for left in place.parent.glob(f"{place.name}.*.tmp"):  # left by a process that was killed
        left.unlink(missing_ok=True)
    # --- read
    large = seen.size > LARGE
    columns = Columns(place.parent if large else "")
    problems, notes, folders = scan(columns)
    # --- is it safe to cache?
    times = {folder: _time_of(folder) for folder in sorted(folders)}
    newest = max([seen.newest, *(t for t in times.values() if t is not None)])
    sure = newest < began - RECENT_NS and _look(path) == seen and len(problems) <= MOST_PROBLEMS
    if not sure:
        return Scan(columns.in_memory(), problems, notes)
    # --- write, under a temporary name until it is complete
    facts = {
        "problems": [[p.source, p.line, p.reason, p.harmless, p.kind] for p in problems],
        "notes": notes,
        "folders": times,
    }
    temporary = place.with_name(f"{place.name}.{uuid.uuid4().hex}.tmp")
    try:
        with files.naming(temporary):
            write_index(temporary, key, columns, facts)
            files.settle(temporary, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _tidy(place)
    if large:
        return _open(place, key) or Scan(columns.in_memory(), problems, notes)
    return Scan(columns.in_memory(), problems, notes)


def _open(place: pathlib.Path, key: str) -> Scan | None:
    """The `Scan` of a cached index; None if there is none, or it is out of date."""
    try:
        samples, facts = open_index(place, key)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (Damaged, OSError) as error:
        why = getattr(error, "strerror", None) or error
        _say_once(f"warning: {place}: the label index is damaged ({why}): it will be rebuilt")
        return None
    if any(_time_of(folder) != then for folder, then in facts["folders"].items()):
        return None
    with contextlib.suppress(OSError):
        os.utime(place)  # marks it as used, for `_tidy`
    return Scan(samples, [Problem(*entry) for entry in facts["problems"]], facts["notes"])


def _hold(stack: contextlib.ExitStack, place: pathlib.Path) -> None:
    """Waits until no other process builds this index. Raises OSError: it cannot be written."""
    began, said = time.monotonic(), False
    while True:
        try:
            return stack.enter_context(locks.hold_output(place))
        except UserError:
            if not said and time.monotonic() - began > 1:
                tell(f"waiting for another process that builds the label index {place}")
                said = True
            time.sleep(0.1)


class _Look(NamedTuple):
    """The state of a source.

    Attributes:
        digest: hash of its content or, for a folder, of names, sizes and times.
        size: bytes.
        newest: the newest time in the hash, nanoseconds; 0 if it has none.
    """

    digest: str
    size: int
    newest: int = 0


def _look(path: pathlib.Path) -> _Look:
    """The state of a source. Raises UserError: it cannot be read."""
    digest, total, newest = hashlib.sha256(), 0, 0
    try:
        if not path.is_dir():
            if not path.is_file():  # a pipe would never end; the reader will report it
                return _Look("", 0)
            with open(path, "rb") as file:
                return _Look(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)
        with os.scandir(path) as found:
            entries = sorted((e for e in found if e.name.endswith(".txt")), key=_name)
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:  # the reader will report it
                digest.update(f"{entry.name}\n".encode(errors="surrogatepass"))
                continue
            times = status.st_mtime_ns, status.st_ctime_ns
            digest.update(
                f"{entry.name}\n{status.st_size} {times}\n".encode(errors="surrogatepass")
            )
            total += status.st_size
            newest = max(newest, *times)
    except OSError as error:
        raise UserError(f"{error.filename or path}: {error.strerror}") from None
    return _Look(digest.hexdigest(), total, newest)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _hash(value: object) -> str:
    return hashlib.sha256(repr(value).encode(errors="surrogatepass")).hexdigest()


@functools.cache
def _rules() -> str:
    """A hash of the code that reads labels: an index built by other code is not used."""
    digest = hashlib.sha256(__version__.encode())
    for name in RULES:
        with contextlib.suppress(OSError):
            digest.update(pathlib.Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


def _time_of(folder: str | os.PathLike[str]) -> int | None:
    """When a file was last added to or removed from a folder, nanoseconds; None: no such folder."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None


def _tidy(place: pathlib.Path) -> None:
    """Removes older indexes of the same source, and indexes not used for `UNUSED_DAYS`."""
    oldest = time.time() - UNUSED_DAYS * 86_400
    for path in place.parent.glob("*.index*"):
        with contextlib.suppress(OSError):
            older = path.suffix == ".index" and path.name.startswith(place.name[:17])
            if path != place and (older or path.stat().st_mtime < oldest):
                path.unlink()


@functools.cache
def _say_once(line: str) -> None:
    tell(line)
