"""What a run leaves for people: records that end where the run continues, and lines to read."""

import errno
import json

import pytest
from event_files import event_values

from ppocr_jax.training.records import RunLog, format_duration, format_losses, keep_until


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_records_are_kept_under_their_kind(tmp_path, capsys):
    with RunLog(tmp_path, total_steps=9) as log:
        log.say("begins")
        log.record("train", 2, {"total": 0.5, "note": "x", "done": True})
        log.record("eval", 4, {"role": "student", "hmean": 0.25})
    first, second = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert first.pop("time") <= second.pop("time")
    assert first == {"kind": "train", "step": 2, "total": 0.5, "note": "x", "done": True}
    assert second == {"kind": "eval", "step": 4, "role": "student", "hmean": 0.25}
    assert capsys.readouterr().err == "begins\n"
    found = [(v.tag, step, v.simple_value) for step, v in event_values(tmp_path / "events")]
    assert found == [("train/total", 2, 0.5), ("eval/student/hmean", 4, 0.25)]


def test_a_process_that_does_not_lead_writes_nothing(tmp_path, capsys):
    with RunLog(tmp_path, total_steps=9, leads=False) as log:
        log.say("begins")
        log.advance()
        log.record("train", 2, {"total": 0.5})
    assert list(tmp_path.iterdir()) == [] and capsys.readouterr().err == ""


def test_a_run_that_continues_drops_what_came_after(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with RunLog(tmp_path, total_steps=9) as log:
        for step in range(1, 7):
            log.record("train", step, {"total": 1.0})
    with path.open("a") as file:
        file.write('{"kind": "train", "step": 3, "tot')  # a kill cut it short
    with RunLog(tmp_path, total_steps=9, first_step=4) as log:
        assert steps(path) == [1, 2, 3, 4]
        log.record("train", 5, {"total": 2.0})
    assert steps(path) == [1, 2, 3, 4, 5]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["events", "metrics.jsonl"]


def test_a_file_with_nothing_to_drop_is_left_alone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    keep_until(path, 3)
    assert not path.exists()
    path.write_text('{"step": 1}\n{"note": "without a step"}\n{"step": 3}\n')
    before = path.stat().st_ino
    keep_until(path, 3)
    assert path.stat().st_ino == before
    keep_until(path, 0)
    assert path.read_text() == '{"note": "without a step"}\n'


def test_lines_that_are_no_records_are_left_out_and_kept(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    good = [b'{"step": 1}\n', b'{"step": 2}\n']
    bad = [b"\0\0\0\n", b"\xff\n", b"[1]\n", b'{"step": null}\n', b"[" * 100_000 + b"\n"]
    whole = good[0] + b"".join(bad) + good[1] + b'{"st'
    path.write_bytes(whole)
    with RunLog(tmp_path, total_steps=9, first_step=2):
        pass
    assert path.read_bytes() == b"".join(good)
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == whole
    assert "metrics.jsonl: 5 damaged lines dropped" in capsys.readouterr().err


def test_a_full_disk_is_named_and_ends_quietly(tmp_path):
    """/dev/full takes nothing."""
    with pytest.raises(OSError, match="metrics.jsonl") as caught, RunLog(tmp_path, 9) as log:
        log._require_place = lambda: None
        log._file = open("/dev/full", "a")
        log.record("train", 1, {"total": 0.5})
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (59.6, "0:01:00"), (3723, "1:02:03"), (90061, "25:01:01")]
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_losses_have_four_digits():
    assert format_losses({"total": 1.0, "db": 0.12345}) == "total 1.0000, db 0.1235"
