"""Writers beside metrics.jsonl: event files, MLflow, and what happens when one fails."""

import types

import cv2
import numpy as np
import pytest
from event_files import event_values, events
from tensorboardX.proto.event_pb2 import SessionLog

from ppocr_jax import writers
from ppocr_jax.training.records import RunLog
from ppocr_jax.writers import NotInstalled
from ppocr_jax.writers.tensorboard import TensorBoard

PICTURE = np.zeros((40, 60, 3), np.uint8)
PICTURE[..., 2] = 200  # red, as BGR


class Fake:
    """A `Writer` that records its calls, and fails in a chosen method."""

    fails_at = ""

    def __init__(self, workdir, first_step, config):
        self.got = [("open", workdir.name, first_step, config)]
        Fake.last = self
        self._fail("open")

    def _fail(self, method):
        if Fake.fails_at == method:
            raise RuntimeError("the server is gone\nand more")

    def scalars(self, step, values):
        self._fail("scalars")
        self.got.append(("scalars", step, values))

    def text(self, step, name, text):
        self._fail("text")
        self.got.append(("text", step, name, text))

    def image(self, step, name, picture):
        self._fail("image")
        self.got.append(("image", step, name, picture.shape))

    def close(self):
        self._fail("close")
        self.got.append(("close",))


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(Fake, "fails_at", "")
    table = writers.WRITERS
    monkeypatch.setitem(table._places, "fake", "fake.Fake")
    monkeypatch.setitem(
        __import__("sys").modules, "ppocr_jax.writers.fake", types.SimpleNamespace(Fake=Fake)
    )
    return Fake


def write_all(workdir, names, first_step=0):
    with RunLog(workdir, 9, first_step, writers=names, config={"crop": 64}) as log:
        log.record("train", first_step + 1, {"total": 0.5, "note": "x", "good": True})
        log.record("eval", first_step + 1, {"role": "student2", "hmean": 0.25})
        assert log.takes_pictures == bool(names)
        log.picture("predictions/student2/0", first_step + 1, PICTURE)
        log.record("train", first_step + 2, {"total": 0.25})


def test_a_writer_gets_all_that_a_run_has(tmp_path, fake):
    write_all(tmp_path, ("fake",), first_step=4)
    assert fake.last.got == [
        ("open", tmp_path.name, 4, {"crop": 64}),
        ("text", 4, "config", '{\n  "crop": 64\n}'),
        ("scalars", 5, {"train/total": 0.5}),
        ("scalars", 5, {"eval/student2/hmean": 0.25}),
        ("image", 5, "predictions/student2/0", (40, 60, 3)),
        ("scalars", 6, {"train/total": 0.25}),
        ("close",),
    ]
    assert not (tmp_path / "events").exists()


@pytest.mark.parametrize("method", ["open", "scalars", "text", "image", "close"])
def test_a_writer_that_fails_is_left_out_with_one_line(tmp_path, fake, capsys, method):
    fake.fails_at = method
    write_all(tmp_path, ("fake", "tensorboard"))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: log.writers: fake failed") and "the server is gone)" in line
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 3
    assert len(event_values(tmp_path / "events")) == 5  # the other one has everything


def test_no_writer_at_all(tmp_path, capsys):
    write_all(tmp_path, ())
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert capsys.readouterr().err == ""


def test_event_files_hold_numbers_pictures_and_the_config(tmp_path):
    write_all(tmp_path, ("tensorboard",))
    found = {(value.tag, step): value for step, value in event_values(tmp_path / "events")}
    assert sorted(found) == [
        ("config/text_summary", 0),
        ("eval/student2/hmean", 1),
        ("predictions/student2/0", 1),
        ("train/total", 1),
        ("train/total", 2),
    ]
    assert found["eval/student2/hmean", 1].simple_value == 0.25
    [text] = found["config/text_summary", 0].tensor.string_val
    assert text.decode() == '```\n{\n  "crop": 64\n}\n```'
    image = found["predictions/student2/0", 1].image
    assert (image.height, image.width, image.colorspace) == (40, 60, 3)
    decoded = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - PICTURE).max() < 10


def test_event_files_hide_what_is_done_again(tmp_path):
    write_all(tmp_path, ("tensorboard",))
    write_all(tmp_path, ("tensorboard",), first_step=1)
    starts = [
        event.step
        for event in events(tmp_path / "events")
        if event.session_log.status == SessionLog.START
    ]
    assert starts == [1, 2]


def test_a_full_disk_costs_the_event_files_alone(tmp_path, capsys):
    """/dev/full accepts nothing."""
    with RunLog(tmp_path, 9) as log:
        events = log._writers._open["tensorboard"]
        assert isinstance(events, TensorBoard)
        events._writer._py_recordio_writer._writer = open("/dev/full", "wb")
        events._next_flush = 0
        log.record("train", 1, {"total": 0.5})
        log.record("train", 2, {"total": 0.5})
    [line] = capsys.readouterr().err.splitlines()
    assert "tensorboard failed" in line and f"({tmp_path}/events: No space left" in line
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 2


def test_a_library_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sqlalchemy", None)
    monkeypatch.setitem(__import__("sys").modules, "alembic", None)
    with pytest.raises(NotInstalled, match=r"pip install 'ppocr_jax\[mlflow\]'"):
        with RunLog(tmp_path, 9, writers=("mlflow",)):
            pass
