"""check_data, the command: its status, its lines, and what it refuses."""

import shutil

import pytest
from tiny import draw_data, run, write_config

from ppocr_jax import check_data


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    draw_data(folder / "data")
    return folder


def test_command(clean, tmp_path):
    path = write_config(clean, clean / "data")
    assert check_data.main(["--config", str(path)]) == 0
    shutil.copytree(clean / "data", tmp_path / "data")
    (tmp_path / "data" / "val_2.png").unlink()
    status, out, err = run(
        "check_data", "--config", path, f"--config.data.root={tmp_path / 'data'}"
    )
    assert status == 1 and "val_2.png" in out and out.strip().endswith("\n1 problem")
    status, _, err = run("check_data", "--config", path, "--config.data.root=/nowhere")
    assert status == 2 and "no such folder" in err and "Traceback" not in err


def test_equal_findings_and_a_byte_order_mark(clean, tmp_path, capsys):
    """What is harmless is said and is no failure; the fourth of a kind is counted."""
    shutil.copytree(clean / "data", tmp_path / "data")
    options = ["--config", str(write_config(tmp_path, tmp_path / "data"))]
    train = tmp_path / "data" / "train.txt"
    train.write_bytes(b"\xef\xbb\xbf" + train.read_bytes())
    assert check_data.main(options) == 0
    out = capsys.readouterr().out
    assert "train.txt line 1: begins with a byte order mark" in out
    assert out.endswith("nothing is wrong\n") and "note: val: 3 images with 9 words" in out
    for index in range(5):
        (tmp_path / "data" / f"train_{index}.png").unlink()
    assert check_data.main(options) == 1
    out = capsys.readouterr().out
    assert out.count("No such file") == 3 and out.endswith("\n5 problems\n")
    assert f"... and 2 more like that, the last: {train} line 5" in out
