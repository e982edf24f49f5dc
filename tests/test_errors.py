"""What a mistake of the user looks like on the terminal, and the advice that fits it."""

import errno
import io
import os

import pytest

from ppocr_jax.errors import (
    ADVICE,
    Escaping,
    UserError,
    counted,
    explain,
    first_line,
    shown,
    system_number,
    tell,
)


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


def test_streams_show_the_same_but_keep_lines():
    stream = io.StringIO()
    print("a\x1b[31m\tb\udcff\r\nc\u3000d", file=Escaping(stream))
    assert stream.getvalue() == "a\\x1b[31m\tb\\udcff\r\nc\u3000d\n"


def test_a_line_is_one_line(capsys):
    tell("of a file\nerror: no")
    assert capsys.readouterr().err == "of a file\\nerror: no\n"


def test_an_exception_of_a_library_is_one_line():
    assert first_line(ValueError("first\nsecond")) == "ValueError: first"
    assert first_line(KeyError()) == "KeyError: "


@pytest.mark.parametrize("number", ADVICE)
def test_disk_space_is_advised_for_a_want_of_it_alone(number):
    line = explain(OSError(number, os.strerror(number), "x"))
    assert line.startswith(os.strerror(number) + "; ")
    assert ("disk space" in line) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_the_cause_of_a_cause_counts():
    try:
        try:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        except OSError as error:
            raise RuntimeError("the save failed") from error
    except RuntimeError as error:
        assert system_number(error) == errno.EDQUOT


def test_other_exceptions_keep_their_words():
    assert explain(ValueError("odd\nand more")) == "ValueError: odd"
    assert explain(FileNotFoundError(2, "No such file or directory")) == "No such file or directory"


def test_one_is_not_many():
    told = [counted(n, noun) for n, noun in ((0, "step"), (1, "box"), (1, "step"), (2, "box"))]
    assert told == ["0 steps", "1 box", "1 step", "2 boxes"]
