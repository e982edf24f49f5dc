"""What `--config` may name, from whatever folder."""

import pathlib
import sys

import pytest
from tiny import ROOT, load_config, write_config

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
    assert lines == ["configs/quickstart.py: no such file here, using the shipped one"]
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


def test_each_file_has_its_own_siblings_and_leaves_nothing_behind(tmp_path):
    before, modules = list(sys.path), {name for name in sys.modules if name.startswith("configs")}
    for folder, epochs in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(OWN)
        (tmp_path / folder / "sibling.py").write_text(f"EPOCHS = {epochs}\n")
        assert config_files.open_config(str(tmp_path / folder / "own.py"))[0].epochs == epochs
    assert sys.path == before
    assert {name for name in sys.modules if name.startswith("configs")} == modules


def test_a_file_in_the_root_folder(tmp_path):
    with config_files._importable(pathlib.Path("/")):
        assert sys.modules["configs"].__path__[0] == "/"


@pytest.mark.parametrize("suffix", ["yml", "yaml"])
def test_a_yaml_is_to_be_converted(tmp_path, suffix):
    path = tmp_path / f"det.{suffix}"
    path.write_text("Global: {}")
    with pytest.raises(UserError, match=f"ppocr_jax.convert_config {path} --output configs/mine"):
        config_files.open_config(str(path))


def test_a_sibling_by_the_name_of_the_folder(tmp_path):
    folder = tmp_path / "recipes_of_mine"
    folder.mkdir()
    (folder / "own.py").write_text(OWN.replace("configs.sibling", "recipes_of_mine.sibling"))
    (folder / "sibling.py").write_text("EPOCHS = 7\n")
    assert config_files.open_config(str(folder / "own.py"))[0].epochs == 7


def changed(folder, line):
    """A tiny config file with a line before its end; its path."""
    path = write_config(folder, folder)
    path.write_text(path.read_text().replace("    return config", f"    {line}\n    return config"))
    return path


def test_a_key_that_an_older_file_lacks_can_be_overridden(tmp_path, capsys):
    path = changed(tmp_path, "del config.remat, config.eval['pictures']")
    c = load_config(path, "eval.pictures=2")
    assert c.is_locked and c.remat is False and c.eval.pictures == 2
    assert "eval.pictures=8" in capsys.readouterr().err


def test_references_inside_a_config_stay(tmp_path):
    path = changed(tmp_path, "config.save.every_steps = config.eval.get_ref('every_steps')")
    assert load_config(path, "eval.every_steps=7").save.every_steps == 7


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 5", "should return a config, got 5"),
        ("return None", "should return a config, got None"),
        ("import configs.gone", "configs.gone"),
        ("return {'roles': 5}", "config.roles=5"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("raise ValueError('one' + chr(10) + 'two')", "ValueError: one$"),
    ],
)
def test_a_file_that_gives_no_config(tmp_path, body, message):
    path = tmp_path / "bad.py"
    path.write_text(f"def get_config():\n    {body}\n")
    with pytest.raises(UserError, match=message) as caught:
        config_files.open_config(str(path))
    assert "\n" not in str(caught.value)
