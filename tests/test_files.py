"""Files that are whole or not there."""

import contextlib
import errno
import json
import os
import shutil
import threading
import time

import pytest
from etils import epath

from ppocr_jax import files
from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json, replacing, write_bytes, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read_back(tmp_path):
    write_text(tmp_path / "text", "häßlich\n")
    write_bytes(tmp_path / "bytes", b"\0\xff")
    write_json(tmp_path / "json", {"a": [1, None]})
    assert (tmp_path / "text").read_bytes() == "häßlich\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\0\xff"
    assert json.loads((tmp_path / "json").read_text()) == {"a": [1, None]}
    assert names(tmp_path) == ["bytes", "json", "text"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failed_attempt_leaves_what_was_there(tmp_path, kind):
    path = tmp_path / "it"
    with replacing(path) as temporary:
        _write(temporary, kind, "before")
    with pytest.raises(OSError, match="full"), replacing(path) as temporary:
        _write(temporary, kind, "half")
        raise OSError("the disk is full")
    assert _read(path, kind) == "before" and names(tmp_path) == ["it"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_it_takes_the_place_of_what_was_there(tmp_path, kind):
    path = tmp_path / "it"
    for text in ("before", "after"):
        with replacing(path) as temporary:
            _write(temporary, kind, text)
    assert _read(path, kind) == "after" and names(tmp_path) == ["it"]


@pytest.mark.parametrize("swaps", [True, False], ids=["at once", "one after the other"])
def test_a_folder_is_always_there_under_a_name(tmp_path, monkeypatch, swaps):
    """A kill at any point leaves the old one or the new one, and the next attempt finds it."""
    if not swaps:
        monkeypatch.setattr(files.ctypes, "CDLL", lambda _: object())
    calls = count_renames(monkeypatch)
    for stop in range(3 if swaps else 5):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        _write(tmp_path / "it", "folder", "before")
        calls[:] = [stop]
        with contextlib.suppress(KeyboardInterrupt), replacing(tmp_path / "it") as temporary:
            _write(temporary, "folder", "after")
        calls[:] = [100]
        with pytest.raises(OSError, match="later"), replacing(tmp_path / "it"):
            raise OSError("later")
        assert _read(tmp_path / "it", "folder") in ("before", "after")
        assert names(tmp_path) == ["it"]


def count_renames(monkeypatch):
    """`[n]`: the process is killed, as it were, before its rename or removal number n."""
    calls, rename, rmtree = [0], epath.Path.rename, files._remove

    def counted(function):
        def call(*args):
            calls[0] -= 1
            if calls[0] < 0:
                raise KeyboardInterrupt
            return function(*args)

        return call

    monkeypatch.setattr(type(epath.Path("/")), "rename", counted(rename))
    monkeypatch.setattr(files, "_remove", counted(rmtree))
    return calls


def test_what_the_system_refuses_names_the_file(tmp_path):
    with pytest.raises(OSError) as caught, replacing(tmp_path / "it") as temporary:
        (temporary / "inside").write_text("")  # no such folder
    assert caught.value.filename == str(tmp_path / "it")
    with pytest.raises(OSError) as caught, replacing(tmp_path / "it"):
        open(tmp_path / "another").close()
    assert caught.value.filename == str(tmp_path / "another")


def test_words_of_a_library_become_what_the_system_said(tmp_path):
    full = "RESOURCE_EXHAUSTED: Error writing 'x' [OS error 28: No space left on device]"
    with pytest.raises(OSError) as caught, replacing(tmp_path / "it"):
        raise ValueError(full)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "it")
    with pytest.raises(ValueError, match="another"), replacing(tmp_path / "it"):
        raise ValueError("another")


def test_threads_that_still_write_leave_nothing(tmp_path):
    def write():
        for _ in range(20):
            (tmp_path / "it.tmp" / "state").mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                (tmp_path / "it.tmp" / "state" / "late").write_text("")
            time.sleep(0.01)

    thread = threading.Thread(target=write)
    with pytest.raises(OSError, match="full"), replacing(tmp_path / "it"):
        (tmp_path / "it.tmp" / "state").mkdir(parents=True)
        thread.start()
        raise OSError("the disk is full")
    thread.join()
    assert names(tmp_path) == []


def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: done.append(os.readlink(f"/proc/self/fd/{handle}"))
    )
    monkeypatch.setattr(type(epath.Path("/")), "replace", lambda *_: done.append("rename"))
    with replacing(tmp_path / "it") as temporary:
        _write(temporary, "folder", "text")
    places = ["it.tmp/inside", "it.tmp", "rename", ""]
    assert done == [p if p == "rename" else os.path.normpath(tmp_path / p) for p in places]


def test_the_rest_of_a_killed_attempt_is_no_obstacle(tmp_path):
    (tmp_path / "it.tmp").mkdir()
    (tmp_path / "it.tmp" / "half").write_text("half")
    write_text(tmp_path / "it", "whole")
    assert names(tmp_path) == ["it"]


def test_what_is_no_file_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "a line\n")
    assert os.read(reader, 100) == b"a line\n" and names(tmp_path) == ["pipe"]
    os.close(reader)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\0", "1" * 10_000])
def test_what_is_no_json_is_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match="x.json: not readable as JSON"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize(("text", "what"), [("null", "nothing"), ("[]", "a list"), ("5", "number")])
def test_json_of_another_kind_is_one_line(tmp_path, text, what):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=f"x.json: holds .*{what}, not a mapping"):
        read_json(tmp_path / "x.json")


def _write(path, kind, text):
    if kind == "folder":
        path.mkdir()
        path = path / "inside"
    path.write_text(text)


def _read(path, kind):
    return (path / "inside" if kind == "folder" else path).read_text()
