"""`--version` and `--quiet` of every command: results stay, what is said on the way goes."""

import importlib
import sys

import pytest
from tiny import ROOT, draw_data

from ppocr_jax import __version__, cli, errors
from ppocr_jax.__main__ import COMMANDS, file_of
from ppocr_jax.timing import compilations
from ppocr_jax.training.records import RunLog


@pytest.fixture(autouse=True)
def loud_again():
    yield
    errors.be_quiet(False)


def call(capsys, name, *argv):
    """`(status, stdout, stderr)` of a command within this process."""
    command = importlib.import_module(f"ppocr_jax.{file_of(name)}")
    with pytest.raises(SystemExit) as caught:
        cli.run(command.main, [str(item) for item in argv])
    return caught.value.code, *capsys.readouterr()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_both(capsys, name):
    assert call(capsys, name, "--version") == (0, f"ppocr_jax {__version__}\n", "")
    status, out, _ = call(capsys, name, "--help")
    assert status == 0 and "--quiet" in out and "--version" in out
    status, out, err = call(capsys, name, "--quiet", "--no-such-option", "x")
    assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_results_and_warnings_stay(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    data = draw_data(tmp_path / "data")
    options = ["--config", "configs/finetune.py", f"--config.data.root={data}",
               "--config.data.train=train.txt", "--config.data.val=val.txt"]  # fmt: skip
    for name, *argv in (
        ("check_data", *options),
        ("config", "crop"),
        ("download", "--list"),
        ("prepare_data", data / "val.txt", data / "train.txt", "--output", tmp_path / "prepared"),
    ):
        status, out, err = call(capsys, name, *argv, "--quiet")
        assert status == 0 and out and err == "", (name, err)
    (data / "val.txt").write_text("gone.png\t[]\n")
    status, out, err = call(
        capsys, "prepare_data", data / "val.txt", "--output", tmp_path / "other", "--quiet"
    )
    assert status != 0 and "gone.png" in err
    assert all(line.startswith(("warning: ", "error: ")) for line in err.splitlines())


def test_what_is_said_on_the_way_goes(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for quiet in (False, True):
        errors.be_quiet(quiet)
        assert errors.shows_progress() != quiet
        with RunLog(tmp_path, 4, writers=()) as log:
            log.advance()
            log.say("step 1/4")
            log.say("warning: record skipped")
        compilations._say("compiled in 9 s")
        errors.tell("no config: using the shipped one")
        errors.tell("warning: left out")
        err = capsys.readouterr().err
        loud = ["step 1/4", "/4 [", "compiled in", "no config"]
        assert [text in err for text in loud] == [not quiet] * 4
        assert "warning: record skipped" in err and "warning: left out" in err


def test_options_before_a_command(capsys, monkeypatch):
    from ppocr_jax import __main__

    monkeypatch.setattr(sys, "argv", ["ppocr-jax", "--quiet", "train"])
    with pytest.raises(SystemExit) as caught:
        __main__.main()
    line = "error: --quiet: options follow the command, as in ppocr-jax train --quiet\n"
    assert caught.value.code == 2 and capsys.readouterr().err == line


def test_only_one_place_asks_for_a_terminal():
    """A command that asks `isatty` itself would show its bar to people who asked for quiet."""
    for name in COMMANDS:
        path = ROOT / "ppocr_jax" / f"{file_of(name)}.py"
        assert "isatty" not in path.read_text(), f"{path.name}: ask errors.shows_progress()"
