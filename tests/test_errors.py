"""What a mistake of the user looks like on the terminal."""

import pytest

from ppocr_jax.errors import UserError, first_line, shown


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("two  blanks, häßlich, 文字\u3000文字", "two  blanks, häßlich, 文字\u3000文字"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("left\u202eright", "left\\u202eright"),
        ("bytes\udcff", "bytes\\udcff"),
    ],
)
def test_what_would_move_a_terminal_is_shown_as_an_escape(text, seen):
    assert shown(text) == seen == str(UserError(f" {text} "))


def test_an_exception_of_a_library_is_one_line():
    assert first_line(ValueError("first\nsecond")) == "ValueError: first"
    assert first_line(KeyError()) == "KeyError: "
