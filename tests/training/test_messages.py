"""What a run says at its start."""

from types import SimpleNamespace

from tiny import draw_data, load_config, write_config

from ppocr_jax.training import segments
from ppocr_jax.training.loop import read_splits
from ppocr_jax.training.messages import announce, record_updates, warn_of_textless
from ppocr_jax.training.progress import Progress
from ppocr_jax.training.start import Start


def test_how_the_labels_were_read_is_said(tmp_path):
    data, lines = draw_data(tmp_path / "data", train=4, val=2), []
    (data / "gt").mkdir()
    (data / "gt" / "gt_val_0.txt").write_text("9,9,50,9,50,30,9,30,Latin,A\n")
    text = (data / "train.txt").read_text()
    (data / "train.txt").write_text(text.replace('"w0"', '" ### "'))
    config = load_config(write_config(tmp_path, data), "data.val=gt")
    training, validation = read_splits(config)
    log = SimpleNamespace(say=lines.append, record=lambda *_: None)
    setup = SimpleNamespace(config=config, mesh=SimpleNamespace(size=1), frozen={})
    begun = Start(
        SimpleNamespace(opt_state={}), Progress(segments=[segments.first(config, training)]), []
    )
    announce(log, setup, training, validation, begun, ["a note"], 1, False)
    assert "4 training and 1 validation image" in lines[0] and lines[-1] == "a note"
    assert lines[-3].startswith("train.txt: 4 words are ignored: their text is the mark in")
    assert lines[-2] == "gt: gt_*.txt with 4 points, language, text on 1 of 1 lines"


def test_the_time_to_go_counts_evaluations(tmp_path):
    config = load_config(write_config(tmp_path, draw_data(tmp_path / "data", train=4, val=2)))
    training, _ = read_splits(config)
    lines = []
    log = SimpleNamespace(say=lines.append, record=lambda *_: None)
    figures = {"images_per_s": 4.0, "waiting_share": 0.0, "textless_share": 0.0}
    meter = SimpleNamespace(
        take=lambda batch: ({"total": 1.0}, {**figures, "seconds_per_step": 1.0}),
        crops=(0, 0),
        warned=True,
    )
    progress = Progress(step=2, segments=[segments.first(config, training)])
    setup = SimpleNamespace(config=config)
    forecast = SimpleNamespace(measured=lambda *_: None)
    for metrics in (
        {},
        {"a": {"images": 9, "images_per_s": 0.3}, "b": {"images": 9, "images_per_s": 0.3}},
    ):
        progress.metrics = metrics
        record_updates(log, progress, meter, setup, training, forecast, 2, 2, 0)
    assert lines[0].endswith("eta 0:00:06") and lines[1].endswith("eta 0:02:06")


def test_many_crops_without_text_are_said_once(tmp_path):
    config = load_config(write_config(tmp_path, draw_data(tmp_path / "data", train=4, val=2)))
    lines, log = [], SimpleNamespace()
    log.say = lines.append
    meter = SimpleNamespace(crops=(39, 30), warned=False)  # too few to tell
    warn_of_textless(log, meter, 0.75, config)
    meter.crops = 100, 19
    warn_of_textless(log, meter, 0.75, config)
    assert not lines
    meter.crops = 100, 20
    for _ in range(2):
        warn_of_textless(log, meter, 0.75, config)
    assert len(lines) == 1 and lines[0].startswith("warning: 20 of 100 crops so far (20%) do not")
    assert "min_text_size=8" in lines[0] and "crops of 64 pixels" in lines[0]
    warn_of_textless(log, meter, 1.0, config)
    assert "no crop since the last record has text" in lines[1]
