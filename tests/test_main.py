"""All commands under one name."""

import sys

import pytest

from ppocr_jax import __main__, __version__


def call(monkeypatch, capsys, *argv):
    monkeypatch.setattr(sys, "argv", ["ppocr-jax", *argv])
    with pytest.raises(SystemExit) as caught:
        __main__.main()
    return caught.value.code, *capsys.readouterr()


def test_help_lists_every_command(monkeypatch, capsys):
    status, out, _ = call(monkeypatch, capsys)
    shown = [name.replace("_", "-") for name in __main__.COMMANDS]
    assert status == 0 and all(f"\n  {name} " in out for name in shown)
    assert "Trains the networks of a config" in out
    assert call(monkeypatch, capsys, "--version")[1] == f"ppocr_jax {__version__}\n"


def test_the_nearest_command_is_named(monkeypatch, capsys):
    status, _, err = call(monkeypatch, capsys, "trian")
    assert status == 2 and err == "error: trian: no such command; did you mean train?\n"
    assert "did you mean check-data?" in call(monkeypatch, capsys, "chekdata")[2]
    assert "prepare-data, pack, check-data" in call(monkeypatch, capsys, "zzz")[2]


@pytest.mark.parametrize("name", ["convert-config", "convert_config"])
def test_a_command_takes_its_own_options(monkeypatch, capsys, name):
    status, out, _ = call(monkeypatch, capsys, name, "--help")
    assert status == 0 and out.startswith(f"usage: ppocr-jax {name}")
