"""One writer at a time, and nothing that has to be cleaned up by hand."""

import contextlib
import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest
from tiny import ROOT

from ppocr_jax.errors import UserError
from ppocr_jax.locks import hold_folder, hold_output

HOLDER = """
import os, sys, time
from ppocr_jax.locks import hold_folder
with hold_folder(sys.argv[1]):
    if os.fork() == 0:  # a data worker that outlives its parent
        os.write(1, b"child\\n")
        os.close(1)
        time.sleep(60)
        os._exit(0)
    os.write(1, b"holds\\n")
    sys.stdin.read()
"""


@contextlib.contextmanager
def holder(folder):
    """Another process, with a child of its own, that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert {process.stdout.readline(), process.stdout.readline()} == {"child\n", "holds\n"}
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.communicate()


def test_another_process_is_named(tmp_path):
    with holder(tmp_path) as process:
        with pytest.raises(UserError, match=f"{tmp_path}: another .* {process.pid} on .* since 20"):
            with hold_folder(tmp_path):
                pass
        assert (tmp_path / ".lock").exists()
        process.kill()  # its child lives on
        process.wait()
        with hold_folder(tmp_path):
            assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_process_does_not_let_itself_in_twice(tmp_path):
    with hold_folder(tmp_path), pytest.raises(UserError, match="already"), hold_folder(tmp_path):
        pass
    with hold_folder(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "{", "\0" * 60, "[]", '{"pid": 4}'])
def test_what_a_killed_process_left_is_no_obstacle(tmp_path, capsys, text):
    (tmp_path / ".lock").write_text(text)
    with hold_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == [] and capsys.readouterr().err == ""


def test_what_another_host_left_is_said(tmp_path, capsys):
    (tmp_path / ".lock").write_text('{"pid": 4, "host": "elsewhere", "since": "2026-01-01"}')
    with hold_folder(tmp_path):
        pass
    err = capsys.readouterr().err
    assert err.startswith(f"warning: {tmp_path}/.lock was left by pid 4 on elsewhere since 2026")
    assert err.count("\n") == 1


def test_a_file_system_without_locks_is_said_once(tmp_path, capsys, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with hold_folder(tmp_path):
        pass
    assert capsys.readouterr().err.count("this file system has no locks (No locks available)") == 1


def test_a_folder_that_is_moved_takes_its_lock_along(tmp_path):
    (tmp_path / "run").mkdir()
    with hold_folder(tmp_path / "run"):
        (tmp_path / "run").rename(tmp_path / "moved")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / ".lock").write_text("of another one")
    assert (tmp_path / "run" / ".lock").read_text() == "of another one"


def test_outputs(tmp_path):
    with hold_output(tmp_path / "new" / "x.onnx"):
        assert (tmp_path / "new" / "x.onnx.lock").exists()
    assert list((tmp_path / "new").iterdir()) == []
    os.mkfifo(tmp_path / "pipe")
    with hold_output(tmp_path / "pipe"):
        assert [path.name for path in tmp_path.glob("pipe*")] == ["pipe"]
