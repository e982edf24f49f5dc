"""The index of a label file or folder, kept in the cache folder under a hash of what it is made of.

It is made once: by the first process that needs it, while others of the same machine wait. A label
file counts by its content, a folder by its files' names, sizes and times. Where it depends on which
pictures lie in a folder, that folder's time counts as well, and a time of a moment ago is not
relied upon, since something may change without another one.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import time
import uuid
from typing import NamedTuple

from ppocr_jax import __version__, files, locks
from ppocr_jax.data.label_columns import Columns
from ppocr_jax.data.label_file import Damaged, open_index, write_index
from ppocr_jax.data.label_index import LabelIndex
from ppocr_jax.data.sample import Problem
from ppocr_jax.errors import UserError, tell
from ppocr_jax.runtime.cache import cache_folder

FOLDER = "labels"
LARGE = 1 << 25  # bytes of labels: an index of more grows in files, not in memory
RECENT_NS = 2 * 10**9  # file systems count times in steps of up to two seconds
MOST_PROBLEMS = 10_000  # an index with more is not kept: its labels will be mended
UNUSED_DAYS = 30  # an index that nobody opened for so long is removed
RULES = ("label_lines.py", "label_folders.py", "label_polygons.py", "label_columns.py",
         "label_file.py", "icdar.py", "marks.py", "picture_paths.py")  # fmt: skip


class Scan(NamedTuple):
    """What a source gives.

    Attributes:
        samples: `LabelIndex`: what can be used.
        problems: list of `Problem`: what cannot.
        notes: lines on how it was read.
    """

    samples: LabelIndex
    problems: list[Problem]
    notes: list[str]


def read_indexed(path, root, scan):
    """The `Scan` of a source, from its index where there is one.

    Args:
        path: of a label file or a folder of them.
        root: folder of the pictures.
        scan: `columns -> (problems, notes, folders)`: reads the source into `Columns` and says
            the content of which folders it went by.

    Raises:
        UserError: what `scan` raises.
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
            found = _open(place, key)  # another process may have made it meanwhile
            return found or _build(place, key, path, scan, began, seen)
    except OSError as error:
        _say_once(
            f"warning: {place.parent}: {error.strerror or error}: the index of labels is not kept, "
            "every process holds it in memory; PPOCR_JAX_CACHE names another folder"
        )
    columns = Columns()
    problems, notes, _ = scan(columns)
    return Scan(columns.in_memory(), problems, notes)


def _build(place, key, path, scan, began, seen):
    """Reads the source, and keeps its index where that can be relied upon."""
    for left in place.parent.glob(f"{place.name}.*.tmp"):  # by a process that was killed
        left.unlink(missing_ok=True)
    large = seen.size > LARGE
    columns = Columns(place.parent if large else "")
    problems, notes, folders = scan(columns)
    times = {folder: _time_of(folder) for folder in sorted(folders)}
    newest = max([seen.newest, *(t for t in times.values() if t is not None)])
    sure = newest < began - RECENT_NS and _look(path) == seen and len(problems) <= MOST_PROBLEMS
    if not sure:
        return Scan(columns.in_memory(), problems, notes)
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


def _open(place, key):
    """The `Scan` of a kept index; None where there is none, or one that is no longer right."""
    try:
        samples, facts = open_index(place, key)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (Damaged, OSError) as error:
        why = getattr(error, "strerror", None) or error
        _say_once(f"warning: {place}: the index of labels is damaged ({why}): it is made anew")
        return None
    if any(_time_of(folder) != then for folder, then in facts["folders"].items()):
        return None
    with contextlib.suppress(OSError):
        os.utime(place)
    return Scan(samples, [Problem(*entry) for entry in facts["problems"]], facts["notes"])


def _hold(stack, place):
    """Waits until no other process makes this index. Raises OSError: none can be made here."""
    began, said = time.monotonic(), False
    while True:
        try:
            return stack.enter_context(locks.hold_output(place))
        except UserError:
            if not said and time.monotonic() - began > 1:
                tell(f"waiting for another process, which makes the index of labels {place}")
                said = True
            time.sleep(0.1)


class _Look(NamedTuple):
    """What a source is: a hash of it, its bytes, and the newest time that the hash goes by."""

    digest: str
    size: int
    newest: int = 0


def _look(path):
    """The `_Look` of a source. Raises UserError: it cannot be read."""
    digest, total, newest = hashlib.sha256(), 0, 0
    try:
        if not path.is_dir():
            if not path.is_file():  # a pipe would never end; who reads it says what it is
                return _Look("", 0)
            with open(path, "rb") as file:
                return _Look(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)
        with os.scandir(path) as entries:
            entries = sorted((e for e in entries if e.name.endswith(".txt")), key=_name)
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:  # who reads it says what is wrong with it
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


def _name(entry):
    return entry.name


def _hash(value):
    return hashlib.sha256(repr(value).encode(errors="surrogatepass")).hexdigest()


@functools.cache
def _rules():
    """A hash of the code that reads labels: an index of another version is not used."""
    digest = hashlib.sha256(__version__.encode())
    for name in RULES:
        with contextlib.suppress(OSError):
            digest.update(pathlib.Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


def _time_of(folder):
    """When something in a folder got or lost its name, in nanoseconds; None: no such folder."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None


def _tidy(place):
    """Removes older indexes of the same source, and what nobody has used for long."""
    oldest = time.time() - UNUSED_DAYS * 86_400
    for path in place.parent.glob("*.index*"):
        with contextlib.suppress(OSError):
            older = path.suffix == ".index" and path.name.startswith(place.name[:17])
            if path != place and (older or path.stat().st_mtime < oldest):
                path.unlink()


@functools.cache
def _say_once(line):
    tell(line)
