"""Records that cannot be used are named once, and end the run when they are many."""

import pytest

from ppocr_jax.errors import UserError
from ppocr_jax.training.skipped import Skipped


class Log:
    def __init__(self):
        self.lines, self.records = [], []

    def say(self, line):
        self.lines.append(line)

    def record(self, kind, step, values):
        self.records.append((kind, step, values))


def test_each_path_is_named_once():
    log = Log()
    skipped = Skipped(total=100, max_share=0.5, log=log)
    skipped.note([("a.png", "a.png: empty"), ("b.png", "b.png: no image")], 3)
    skipped.note([("a.png", "a.png: empty")], 4)
    skipped.note([], 5)
    assert len(skipped) == 2
    assert log.lines == [
        "warning: record skipped: a.png: empty", "warning: record skipped: b.png: no image"
    ]  # fmt: skip
    assert log.records == [
        ("skipped", 3, {"path": "a.png", "reason": "a.png: empty"}),
        ("skipped", 3, {"path": "b.png", "reason": "b.png: no image"}),
    ]


def test_a_share_is_allowed_and_more_ends_the_run():
    skipped = Skipped(total=10, max_share=0.2, log=Log())
    skipped.note([("1", "reason 1"), ("2", "reason 2")], 1)  # a fifth, and no more
    with pytest.raises(UserError) as caught:
        skipped.note([("3", "reason 3"), ("4", "reason 4")], 2)
    text = str(caught.value)
    assert text.startswith("4 of 10 training records cannot be used, more than")
    assert "data.max_bad_share=0.2: reason 1; reason 2; reason 3" in text and "4;" not in text
