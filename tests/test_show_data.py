"""show_data, the command: what it writes, its status, and what it refuses."""

import pytest
from tiny import draw_data, write_config

from ppocr_jax import show_data
from ppocr_jax.errors import UserError
from ppocr_jax.pages import look


@pytest.fixture
def options(tmp_path):
    path = write_config(tmp_path, draw_data(tmp_path / "data", train=4, val=2))
    return ["--config", str(path), "--output", str(tmp_path / "look")]


def test_command(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(look, "draw_histograms", lambda *_: "data:image/svg+xml,")  # a second
    assert show_data.main([*options, "--images", "1", "--crops", "2"]) == 0
    out, err = capsys.readouterr()
    assert "train: 4 images, 12 words" in out and err == ""
    assert f"wrote {tmp_path}/look/index.html (4 pictures" in out
    (tmp_path / "data" / "val_1.png").write_bytes(b"no image")
    assert show_data.main([*options, "--images", "1", "--crops", "0"]) == 1
    assert "warning: val.txt line 2: " in capsys.readouterr().err.replace(f"{tmp_path}/data/", "")


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (["--images", "-1"], "--images -1: should be 0 to 500"),
        (["--role", "student"], "--role has no effect without --weights"),
        (["--weights", "w.onnx", "--role", "tutor"], "--role tutor: the config has student"),
        (["--config.data.root=/nowhere"], "no such folder"),
        (["--config.data.val=gone.txt"], "label file gone.txt is missing"),
    ],
)
def test_refused(options, extra, reason):
    with pytest.raises(UserError, match=reason):
        show_data.main([*options, *extra])
