"""What `--config` may name, from whatever folder."""

import pathlib

import pytest
from tiny import ROOT

from ppocr_jax import config, config_files, forms
from ppocr_jax.errors import UserError

OWN = """
from configs import parts
from configs.sibling import EPOCHS

def get_config(argument="3"):
    config = parts.base(epochs=EPOCHS)
    config.roles = {"student": parts.small()}
    config.trainable = ("student",)
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(labels=("student",))
    config.seed = int(argument)
    return config
"""


def test_a_shipped_config_is_found_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, lines = config_files.open_config("configs/quickstart.py")
    assert lines == ["configs/quickstart.py: not there, taking the one of the program"]
    with pytest.raises(UserError, match="no such file"):
        config_files.open_config("configs/nothing.py")


def test_an_own_file_has_siblings_parts_and_an_argument(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "sibling.py").write_text("EPOCHS = 7\n")
    c, lines = config_files.open_config(f"{tmp_path / 'own.py'}:5")
    assert (c.epochs, c.seed, lines) == (7, 5, [])
    (tmp_path / "own.py").write_text(OWN.replace("return", "config.crp = 32\n    return"))
    c, [line] = config_files.open_config(str(tmp_path / "own.py"))
    assert "crp=32 (did you mean crop?)" in line and "crp" not in c


def test_a_saved_config_is_opened_like_any_other(tmp_path):
    c, _ = config_files.open_config(str(ROOT / "configs" / "quickstart_cml.py"))
    config.save(c, tmp_path / "config.json")
    again, lines = config_files.open_config(str(tmp_path / "config.json"))
    assert forms.plain(again) == forms.plain(c) and lines == []


def test_the_shipped_folder_lies_beside_the_package():
    assert config_files.shipped_folder() == pathlib.Path(ROOT / "configs")
