"""Why a state could not be read: it is damaged, or something keeps this process from reading it.

Only damage may move a state aside. What stands in the way today (memory, rights, a network disk)
may be gone at the next start, and then the state is as good as it was.
"""

import contextlib
import os
import re

from ppocr_jax.errors import UserError, first_line
from ppocr_jax.runtime.memory import free_memory


class Damaged(UserError):
    """Files that can be read and do not hold what was saved."""


@contextlib.contextmanager
def reading(folder):
    """Turns whatever libraries raise while they read a folder into one line.

    Raises:
        Damaged: the files themselves are wrong.
        UserError: something keeps this process from reading them.
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


def cannot_be_read(folder, obstacle):
    """What to say where a state may be whole and something else is in the way."""
    return (
        f"{folder} cannot be read now ({obstacle}); nothing was changed: run the same command "
        "again when that is mended"
    )


# What TensorStore, XLA and the C++ library call a want of memory, of rights, or of an answer.
OBSTACLES = re.compile(
    "RESOURCE_EXHAUSTED|PERMISSION_DENIED|UNAUTHENTICATED|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED"
    "|out of memory|bad_alloc|cannot allocate|permission denied|input/output error"
    "|stale file handle|too many open files|connection|timed? ?out",
    re.IGNORECASE,
)
QUOTED = re.compile(r'"[^"]*"')
MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)  # damage, not an obstacle


def find_obstacle(error):
    """What kept this process from reading, in a line; "" when the files themselves are wrong.

    Args:
        error: an exception; those that it came from are looked at as well.
    """
    while error is not None:
        environment = isinstance(error, OSError) and not isinstance(error, MISSING)
        words = QUOTED.sub("", str(error))  # a path may have any name
        if isinstance(error, MemoryError) or environment or OBSTACLES.search(words):
            return first_line(error)
        error = error.__cause__ or error.__context__
    return ""


def find_unreadable(folder, to_the_end=True):
    """Which file below a folder cannot be read, and why; "" when all can.

    Args:
        folder: a local one; of another kind nothing is known here.
        to_the_end: read all of each file, not its first bytes alone.
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


def find_shortage(needed):
    """Why this process cannot hold `needed` more bytes, in words; "" when it can, or may.

    Asked before a state is read: what runs out of memory inside a C++ library ends the process.
    """
    free = free_memory()
    if free is None or free >= needed:
        return ""
    return f"reading it takes {needed >> 20} MiB of memory and {max(free, 0) >> 20} are free"


def _raise(error):
    raise error
