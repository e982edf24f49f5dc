"""The one exception for mistakes of the user, and what it looks like on the terminal."""

import errno
import os
import sys

ADVICE = {  # for what a system refuses; nothing is advised where its own words say it all
    errno.ENOSPC: "free some disk space and run the same command again",
    errno.EDQUOT: "free some disk space, or get a larger quota, and run the same command again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f) and run the same command again",
    errno.EMFILE: "raise the limit on open files (ulimit -n) and run the same command again",
    errno.EROFS: "name another place, or have it mounted for writing",
    errno.EACCES: "change its rights, or name another place",
    errno.EPERM: "change its rights, or name another place",
    errno.EIO: "the disk or its connection fails: the system's log says more",
}
TEXTS = {os.strerror(number): number for number in ADVICE}
PRESSING = ("error: ", "warning: ")  # how lines begin that `--quiet` lets through
_quiet = False


class UserError(Exception):
    """A mistake that the user can repair. Its text is one line: what is wrong, where, what to do.

    The entry points print it after `error:` without a traceback and exit with status 2. Characters
    that would do something to a terminal, in a file's name for example, are shown as escapes.
    """

    def __init__(self, message: str):
        super().__init__(shown(str(message).strip()))


def shown(text: str, kept: str = "\u3000") -> str:
    """A text with every character that does not print as its escape: a line break as `\\n`.

    Blanks and letters of all scripts stay as they are, so a name can be copied from a message;
    so do those in `kept`.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else _escape(c) for c in text)


def be_quiet(quiet: bool = True) -> None:
    """From here on only errors and warnings are told, and no progress is shown: `--quiet`."""
    global _quiet
    _quiet = quiet


def wanted(line: str) -> bool:
    """Whether a line for people is to be printed: with `--quiet`, warnings and errors alone."""
    return not _quiet or line.startswith(PRESSING)


def shows_progress() -> bool:
    """Whether there is somebody to see a progress bar, who has not asked for quiet."""
    return sys.stderr.isatty() and not _quiet


def tell(line: str) -> None:
    """Prints one line for people on stderr, whatever the names in it hold, if it is `wanted`."""
    if wanted(line):
        print(shown(line), file=sys.stderr, flush=True)


def counted(number: int, noun: str) -> str:
    """A number with its noun, which takes an s unless it is one: `1 step`, `2 boxes`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('x', 'ch', 's')) else 's'}"


class Escaping:
    """A text stream that shows what would do something to a terminal as escapes.

    Ends of lines and what a progress bar returns by pass; those in a name are for `tell`.
    """

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(shown(text, "\n\r\t\u3000"))

    def __getattr__(self, name):
        return getattr(self._stream, name)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def first_line(error: BaseException) -> str:
    """An exception in one line of at most 300 letters: its class and what it says first."""
    text = str(error).strip()
    return shown(f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"[:300])


def system_number(error: BaseException) -> int | None:
    """What the system refused, as a number of `errno`; None where it was not the system.

    Exceptions that this one came from count as well, and so do the system's words in the text of
    a library's exception.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in ADVICE:
            return error.errno
        text = str(error)
        for words, number in TEXTS.items():
            if words in text:
                return number
        error = error.__cause__ or error.__context__
    return None


def explain(error: BaseException) -> str:
    """Why something was not written, and what to do: `No space left on device; free some ...`."""
    number = system_number(error)
    if number is not None:
        return f"{os.strerror(number)}; {ADVICE[number]}"
    return (isinstance(error, OSError) and error.strerror) or first_line(error)
