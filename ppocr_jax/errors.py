"""The one exception for mistakes of the user, and what it looks like on the terminal."""


class UserError(Exception):
    """A mistake that the user can repair. Its text is one line: what is wrong, where, what to do.

    The entry points print it after `error:` without a traceback and exit with status 2. Characters
    that would do something to a terminal, in a file's name for example, are shown as escapes.
    """

    def __init__(self, message: str):
        super().__init__(shown(str(message).strip()))


def shown(text: str) -> str:
    """A text with every character that does not print as its escape: a line break as `\\n`.

    Blanks and letters of all scripts stay as they are, so a name can be copied from a message.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\u3000" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def first_line(error: BaseException) -> str:
    """An exception in one line of at most 300 letters: its class and what it says first."""
    text = str(error).strip()
    return shown(f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"[:300])
