"""What the system refuses, and the advice that fits it."""

import errno
import os

import pytest

from ppocr_jax.errors import ADVICE, explain, system_number


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
