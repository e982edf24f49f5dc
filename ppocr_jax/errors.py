"""The one exception for mistakes of the user, and what it looks like on the terminal."""


class UserError(Exception):
    """A mistake that the user can repair. Its text is one line: what is wrong, where, what to do.

    The entry points print it after `error:` without a traceback and exit with status 2.
    """

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))
