"""The mark of text that nobody should learn or be judged by, and what is written in its place."""

import collections
import functools
import re
import unicodedata

IGNORED_TEXTS = ("*", "###")
QUOTES = {'"': '"', "'": "'", "“": "”"}
WORDS = ("don't care", "dont care", "dontcare", "do not care", "illegible", "unreadable")


KEPT = 1 << 16  # texts whose answer is remembered: "the" comes often


@functools.lru_cache(KEPT)
def is_mark(text):
    """Whether a text is the mark: `*` or `###`, in quotes, blanks, wide letters or longer too.

    The original takes the two exact forms alone and learns the others. No word reads `####`, so
    that they are ignored here; `check_data` counts them.
    """
    if text in IGNORED_TEXTS:
        return True
    if text.isascii() and "#" not in text and "*" not in text:
        return False  # most words: no other letter becomes one of these
    plain = unquoted(unicodedata.normalize("NFKC", text))
    return plain == "*" or re.fullmatch("#{3,}", plain) is not None


@functools.lru_cache(KEPT)
def resembles_mark(text):
    """Whether a text that is not the mark may have been meant as it: `##`, `***`, `###A`."""
    plain = unquoted(unicodedata.normalize("NFKC", text)).casefold()
    signs = "".join(c for c in plain if not c.isspace())
    return not is_mark(text) and (
        re.fullmatch(r"[#*]+", signs) is not None or "###" in signs or plain in WORDS
    )


def unquoted(text):
    """A text without the blanks around it, and without one pair of quotes around the rest."""
    text = text.strip()
    if len(text) >= 2 and QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text


class WordCounts:
    """Counts what is unusual in the texts, with an example of each kind."""

    def __init__(self):
        self._counts, self._examples = collections.Counter(), {}

    def add(self, text, ignored, difficult=False):
        """A word with its text, and whether it is ignored."""
        if ignored and text not in IGNORED_TEXTS and is_mark(text):
            self._count("are ignored: their text is the mark in another form", text)
        elif not ignored and resembles_mark(text):
            self._count("are learned although their text looks like the mark; write ### to "
                        "ignore them", text)  # fmt: skip
        if difficult and not ignored:
            self._count("are learned although they are `difficult`, which is not read, as in "
                        "PaddleOCR; write ### as their text to ignore them", text)  # fmt: skip

    def merge(self, other):
        """The counts of words that come after these."""
        for kind, count in other._counts.items():
            self._counts[kind] += count
            self._examples.setdefault(kind, other._examples[kind])

    def _count(self, kind, text):
        self._counts[kind] += 1
        self._examples.setdefault(kind, text[:40])

    def notes(self):
        """A line per kind."""
        return [
            f"{count} words {kind} (such as `{self._examples[kind]}`)"
            for kind, count in self._counts.items()
        ]
