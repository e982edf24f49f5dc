"""What a run leaves for people: records that end where the run continues, and lines to read."""

import errno
import json

import pytest
from tensorboardX.proto import event_pb2

from ppocr_jax.training.records import RunLog, format_duration, format_losses, keep_until


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_records_are_kept_under_their_kind(tmp_path, capsys):
    with RunLog(tmp_path, total_steps=9) as log:
        log.say("begins")
        log.record("train", 2, {"total": 0.5, "note": "x", "done": True})
        log.record("eval", 4, {"hmean": 0.25})
    first, second = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert first.pop("time") <= second.pop("time")
    assert first == {"kind": "train", "step": 2, "total": 0.5, "note": "x", "done": True}
    assert second == {"kind": "eval", "step": 4, "hmean": 0.25}
    assert capsys.readouterr().err == "begins\n"
    assert scalars(tmp_path / "events") == [("train/total", 2, 0.5), ("eval/hmean", 4, 0.25)]


def scalars(folder):
    """`[(tag, step, value)]` of event files, read by their published form."""
    found = []
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):  # length of 8 bytes, checksum of 4, the record, checksum of 4
            length = int.from_bytes(data[at : at + 8], "little")
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
            at += 16 + length
    return found


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
    assert "metrics.jsonl: 5 damaged lines left out" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["metrics.jsonl", "events"])
def test_a_full_disk_is_named_and_ends_quietly(tmp_path, part):
    """/dev/full takes nothing."""
    with pytest.raises(OSError, match=part) as caught, RunLog(tmp_path, total_steps=9) as log:
        if part == "events":
            log._events._writer._py_recordio_writer._writer = open("/dev/full", "wb")
            log._events._next_flush = 0
        else:
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
