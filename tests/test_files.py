"""Files that are whole or not there."""

import json
import os

import pytest

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
