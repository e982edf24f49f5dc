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
    assert status == 1 and "val_2.png" in out and out.strip().endswith("1 problems")
    status, _, err = run("check_data", "--config", path, "--config.data.root=/nowhere")
    assert status == 2 and "no such folder" in err and "Traceback" not in err
