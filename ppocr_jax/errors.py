"""The one exception for user errors, and how messages appear on the terminal."""

import errno
import os
import sys
from typing import IO, Any

ADVICE = {  # what to do about an error of the system, where its own text does not say
    errno.ENOSPC: "free some disk space and run the same command again",
    errno.EDQUOT: "free some disk space, or get a larger quota, and run the same command again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f) and run the same command again",
    errno.EMFILE: "raise the limit on open files (ulimit -n) and run the same command again",
    errno.EROFS: "use another folder, or remount this one for writing",
    errno.EACCES: "change its permissions, or use another folder",
    errno.EPERM: "change its permissions, or use another folder",
    errno.EIO: "the disk or its connection is failing: see the system's log",
}
TEXTS = {os.strerror(number): number for number in ADVICE}
PRESSING = ("error: ", "warning: ")  # lines with these prefixes are printed despite `--quiet`
_quiet = False


class UserError(Exception):
    """A mistake that the user can fix. Its text is one line: what is wrong, where, what to do.

    The commands print it after `error:`, without a traceback, and exit with status 2. Control
    characters, in a file name for example, are escaped so that they cannot affect a terminal.
    """

    def __init__(self, message: object) -> None:
        super().__init__(shown(str(message).strip()))


def shown(text: str, kept: str = "\u3000") -> str:
    """Escapes every non-printable character: a line break becomes `\\n`.

    Spaces, letters of all scripts and the characters in `kept` stay, so that a name can be copied
    from a message.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else _escape(c) for c in text)


def be_quiet(quiet: bool = True) -> None:
    """`--quiet`: from now on print only errors and warnings, and no progress."""
    global _quiet
    _quiet = quiet


def wanted(line: str) -> bool:
    """Whether a line should be printed: with `--quiet` only warnings and errors."""
    return not _quiet or line.startswith(PRESSING)


def shows_progress() -> bool:
    """Whether to show progress bars: stderr is a terminal, and no `--quiet`."""
    return sys.stderr.isatty() and not _quiet


def tell(line: str) -> None:
    """Prints a line on stderr if it is `wanted`, with control characters escaped."""
    if wanted(line):
        print(shown(line), file=sys.stderr, flush=True)


def counted(number: int, noun: str) -> str:
    """A number with its noun in the singular or plural: `1 step`, `2 boxes`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('x', 'ch', 's')) else 's'}"


class Escaping:
    """A text stream that escapes control characters.

    Line breaks and carriage returns pass, for progress bars; `tell` escapes those in names.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes the escaped text."""
        return self._stream.write(shown(text, "\n\r\t\u3000"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def first_line(error: BaseException) -> str:
    """An exception as one line of at most 300 characters: its class and its first line."""
    text = str(error).strip()
    return shown(f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"[:300])


def system_number(error: BaseException) -> int | None:
    """The `errno` behind an exception; None if the system was not the cause.

    Also looks at the exceptions it was raised from, and for the system's text in the message of a
    library's exception.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in ADVICE:
            return cause.errno
        text = str(cause)
        for words, number in TEXTS.items():
            if words in text:
                return number
        cause = cause.__cause__ or cause.__context__
    return None


def explain(error: BaseException) -> str:
    """Why a write failed and what to do: `No space left on device; free some ...`."""
    number = system_number(error)
    if number is not None:
        return f"{os.strerror(number)}; {ADVICE[number]}"
    return (isinstance(error, OSError) and error.strerror) or first_line(error)
