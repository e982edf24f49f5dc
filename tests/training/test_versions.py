"""What is said of a run that another version has begun."""

import pytest

from ppocr_jax.runtime.platform import assume
from ppocr_jax.training.versions import MOVED, compare

TABLE = {"0.2.0": "sums of batch norm", "0.4": "resize"}


@pytest.mark.parametrize(
    ("begun", "line"),
    [
        ("0.1.0", "started by version 0.1.0: continues, but not bit for bit (sums of batch norm)"),
        ("0.2.0", ""),
        ("0.2.1", ""),
        ("0.3.0", ""),
        ("0.10.0", "started by version 0.10.0, newer than this one (0.3.0): results may differ in "
         "their last bits"),
        (None, "started by an older version: continues, but not bit for bit (sums of batch norm)"),
        ([], "started by an older version: continues, but not bit for bit (sums of batch norm)"),
    ],
)  # fmt: skip
def test_what_moved_in_between(begun, line):
    assert compare(begun, "0.3.0", TABLE) == line


def test_this_version_moves_nothing():
    assert MOVED == {} and compare("0.1.0") == "" and compare(None) == ""


def test_updates_on_gpus_moved_in_1_0():
    assert compare("0.1.0", "1.0.0") == ""
    with assume("gpu"):
        said = compare("0.1.0", "1.0.0")
        assert "not bit for bit (on GPUs other sums" in said and "precision=tf32" in said
        assert compare("1.0.0", "1.0.1") == ""
