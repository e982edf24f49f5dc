"""The ignore mark: the text of words that are neither learned nor scored, and texts like it."""

from __future__ import annotations

import collections
import functools
import re
import unicodedata

IGNORED_TEXTS = ("*", "###")  # the ignore marks of PaddleOCR and ICDAR
QUOTES = {'"': '"', "'": "'", "“": "”"}
WORDS = ("don't care", "dont care", "dontcare", "do not care", "illegible", "unreadable")


KEPT = 1 << 16  # texts whose result is cached: "the" is frequent


@functools.lru_cache(KEPT)
def is_mark(text: str) -> bool:
    """Whether a text is the ignore mark: `*` or `###`, also quoted, full-width, or with more `#`.

    PaddleOCR accepts only the two exact texts and learns the other forms. No real word reads
    `####`, so they are ignored here; `check_data` counts them.
    """
    if text in IGNORED_TEXTS:
        return True
    # The quick way out for most words: normalising turns no other ASCII character into `#` or `*`.
    if text.isascii() and "#" not in text and "*" not in text:
        return False
    plain = unquoted(unicodedata.normalize("NFKC", text))
    return plain == "*" or re.fullmatch("#{3,}", plain) is not None


@functools.lru_cache(KEPT)
def resembles_mark(text: str) -> bool:
    """Whether a text is not the ignore mark but may be meant as one: `##`, `***`, `###A`."""
    plain = unquoted(unicodedata.normalize("NFKC", text)).casefold()
    signs = "".join(c for c in plain if not c.isspace())
    return not is_mark(text) and (
        re.fullmatch(r"[#*]+", signs) is not None or "###" in signs or plain in WORDS
    )


def unquoted(text: str) -> str:
    """A text without surrounding blanks and without one pair of quotes."""
    text = text.strip()
    if len(text) >= 2 and QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text


class WordCounts:
    """Counts unusual texts, with an example of each kind."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self._examples: dict[str, str] = {}

    def add(self, text: str, ignored: bool, difficult: bool = False) -> None:
        """Adds a word.

        Args:
            text: its text.
            ignored: whether it is ignored.
            difficult: whether the label file calls it difficult.
        """
        if ignored and text not in IGNORED_TEXTS and is_mark(text):
            self._count("are ignored: their text is the mark in another form", text)
        elif not ignored and resembles_mark(text):
            self._count("are learned although their text looks like the mark; write ### to "
                        "ignore them", text)  # fmt: skip
        if difficult and not ignored:
            self._count("are learned although they are `difficult`, which is not read, as in "
                        "PaddleOCR; write ### as their text to ignore them", text)  # fmt: skip

    def merge(self, other: WordCounts) -> None:
        """Adds the counts of words that follow these."""
        for kind, count in other._counts.items():
            self._counts[kind] += count
            self._examples.setdefault(kind, other._examples[kind])

    def _count(self, kind: str, text: str) -> None:
        self._counts[kind] += 1
        self._examples.setdefault(kind, text[:40])

    def notes(self) -> list[str]:
        """One line of text per kind."""
        return [
            f"{count} words {kind} (such as `{self._examples[kind]}`)"
            for kind, count in self._counts.items()
        ]
