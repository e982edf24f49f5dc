"""Tells damaged checkpoints from those that only cannot be read at the moment.

A damaged checkpoint may be moved aside. One that cannot be read now, for lack of memory,
permissions or a network disk, must stay: at the next start it may be as good as ever.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import NoReturn

from ppocr_jax.errors import UserError, first_line
from ppocr_jax.runtime.memory import free_memory


class Damaged(UserError):
    """The files can be read, but do not hold what was saved."""


@contextlib.contextmanager
def reading(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Context manager that turns whatever libraries raise while reading a folder into one line.

    Raises:
        Damaged: the files themselves are wrong.
        UserError: something else prevents reading them.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        obstacle = find_unreadable(folder) or find_obstacle(error)
        if obstacle:
            raise UserError(cannot_be_read(folder, obstacle)) from error
        raise Damaged(f"{folder} is damaged: {first_line(error)}") from error


def cannot_be_read(folder: str | os.PathLike[str], obstacle: str) -> str:
    """The message for a checkpoint that may be whole but cannot be read now."""
    return (
        f"{folder} cannot be read now ({obstacle}); nothing was changed: fix that and run the same "
        "command again"
    )


# How TensorStore, XLA and the C++ library report missing memory, permissions or answers.
OBSTACLES = re.compile(
    "RESOURCE_EXHAUSTED|PERMISSION_DENIED|UNAUTHENTICATED|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED"
    "|out of memory|bad_alloc|cannot allocate|permission denied|input/output error"
    "|stale file handle|too many open files|connection|timed? ?out",
    re.IGNORECASE,
)
QUOTED = re.compile(r'"[^"]*"')
MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)  # damage, not an obstacle


def find_obstacle(error: BaseException | None) -> str:
    """What prevented reading, in one line; "" when the files themselves are wrong.

    Args:
        error: an exception; its causes are examined too.
    """
    while error is not None:
        environment = isinstance(error, OSError) and not isinstance(error, MISSING)
        words = QUOTED.sub("", str(error))  # a quoted path may contain any of the words
        if isinstance(error, MemoryError) or environment or OBSTACLES.search(words):
            return first_line(error)
        error = error.__cause__ or error.__context__
    return ""


def find_unreadable(folder: str | os.PathLike[str], to_the_end: bool = True) -> str:
    """The first file below a folder that cannot be read, and why; "" when all can.

    Args:
        folder: a local path; nothing can be said of files in remote storage.
        to_the_end: read every file to its end, not only its first byte.
    """
    try:
        for place, _, names in os.walk(folder, onerror=_raise):
            for name in names:
                with open(os.path.join(place, name), "rb") as file:
                    while file.read(1 << 24 if to_the_end else 1) and to_the_end:
                        pass
    except MISSING:
        return ""
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def find_shortage(needed: int) -> str:
    """Why there is no memory for `needed` more bytes; "" when there is, or when it is not known.

    To be asked before reading a checkpoint: running out of memory inside a C++ library kills the
    process without a message.
    """
    free = free_memory()
    if free is None or free >= needed:
        return ""
    return f"reading it takes {needed >> 20} MiB of memory and {max(free, 0) >> 20} MiB are free"


def _raise(error: OSError) -> NoReturn:
    raise error
