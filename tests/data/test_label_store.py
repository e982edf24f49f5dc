"""The cached label index: same samples, changes noticed, damage named, waiting for others."""

import json
import os
import pathlib
import pickle
import threading

import numpy as np
import pytest

from ppocr_jax import locks
from ppocr_jax.data import label_file, label_folders, label_index, label_lines, label_store
from ppocr_jax.data.labels import read_labels, read_sources, scan_labels
from ppocr_jax.errors import UserError

QUAD = [[0, 0], [10, 0], [10.5, 5], [0, 5]]
LABELS = [{"transcription": "word", "points": QUAD}, {"transcription": "###", "points": QUAD[:3]}]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A private cache folder, in which even an index of a moment ago is kept."""
    monkeypatch.setenv("PPOCR_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(label_store, "RECENT_NS", -(10**15))
    return tmp_path / "cache" / "labels"


def write(tmp_path, count=9, extra=""):
    lines = [f"img/{n}.jpg\t{json.dumps(LABELS[: n % 3])}\n" for n in range(count)]
    path = tmp_path / "labels.txt"
    path.write_text("".join(lines) + extra)
    return path


def plain(samples):
    return [
        (s.image_path, [p.tolist() for p in s.polygons], s.ignore, s.source, s.line)
        for s in samples
    ]


def kept(cache):
    (path,) = cache.glob("*.index")
    return path


def forbid(monkeypatch):
    """From here on, reading a label file is an error."""
    monkeypatch.setattr(label_lines, "read_lines", None)
    monkeypatch.setattr(label_folders, "_read_lines", None)


BAD = "no tab\n\na.jpg\t[7]\n\u00e9.jpg\t[]\r\nb.jpg\t" + json.dumps(LABELS) + "\n"


@pytest.mark.parametrize("many", [0, 1 << 30])
def test_an_index_is_the_same_however_it_is_made(tmp_path, monkeypatch, many):
    write(tmp_path, 40, BAD)
    expected = scan_labels("labels.txt", tmp_path)
    monkeypatch.setattr(label_lines, "BLOCK", 300)
    monkeypatch.setattr(label_lines, "MANY", many)  # 0: by several processes
    monkeypatch.setattr(label_lines.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(label_store, "LARGE", 0)  # in files, and never in memory
    monkeypatch.setattr(label_file, "SMALL", 0)
    monkeypatch.setenv("PPOCR_JAX_CACHE", str(tmp_path / "other"))
    found = scan_labels("labels.txt", tmp_path)
    assert plain(found.samples) == plain(expected.samples) and len(found.samples) == 42
    assert found.problems == expected.problems
    assert [problem.line for problem in found.problems] == [41, 43]
    assert found.notes == expected.notes and found.samples.words == expected.samples.words
    assert [sample.line for sample in found.samples[-2:]] == [44, 45]
    assert isinstance(found.samples.columns["points"], label_file.StoredColumn)
    copy = pickle.loads(pickle.dumps(found.samples))  # as a worker process gets it
    assert plain(copy) == plain(expected.samples)


def test_slow_and_fast_reading_agree(tmp_path):
    write(tmp_path)
    fast = plain(read_labels("labels.txt", tmp_path))
    write(
        tmp_path, extra='x.jpg\t[{"transcription": 7, "points": [["1", 2], [3, 4], [5, true]]}]\n'
    )
    slow = plain(read_labels("labels.txt", tmp_path))
    assert slow[:-1] == fast and slow[-1][1] == [[[1, 2], [3, 4], [5, 1]]]


def test_a_kept_index_is_used_and_a_change_is_noticed(tmp_path, monkeypatch, cache):
    path = write(tmp_path, extra=BAD)
    first = scan_labels("labels.txt", tmp_path)
    with monkeypatch.context() as patched:
        forbid(patched)
        again = scan_labels("labels.txt", tmp_path)
    assert plain(again.samples) == plain(first.samples)
    assert again[1:] == first[1:] and again.problems
    status = path.stat()
    path.write_text(path.read_text().replace("img/4.jpg", "img/X.jpg"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # its content tells
    assert scan_labels("labels.txt", tmp_path).samples[4].image_path.endswith("img/X.jpg")
    (tmp_path / "e\u0301.jpg").write_bytes(b"x")  # which the label means by another form
    assert any("Unicode" in note for note in scan_labels("labels.txt", tmp_path).notes)


def test_a_folder_of_labels_is_watched(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / f"gt_{name}.txt").write_text("0,0,9,0,9,5,0,5,word\n")
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert len(scan_labels(".", tmp_path).problems) == 1
    with monkeypatch.context() as patched:
        forbid(patched)
        assert len(scan_labels(".", tmp_path).problems) == 1
    (tmp_path / "b.jpg").write_bytes(b"x")
    first, second = read_labels(".", tmp_path)
    assert second.source.endswith("gt_b.txt") and second.image_path.endswith("b.jpg")
    (tmp_path / "gt_b.txt").write_text("0,0,8,0,8,5,0,5,word\n")
    assert read_labels(".", tmp_path)[1].polygons[0].max() == 8


def test_a_large_folder_is_settled_by_some_of_its_lines(tmp_path, monkeypatch):
    for n in range(30):
        lines = ["0,0,9,0,9,5,0,5,word"] * (n % 5) + ["1,2,bad"] * (n == 7)
        (tmp_path / f"gt_{n}.txt").write_bytes(
            b"\xef\xbb\xbf" * (n == 3) + "\n".join(lines).encode()
        )
        (tmp_path / f"{n}.jpg").write_bytes(b"x")
    whole = scan_labels(".", tmp_path)
    monkeypatch.setattr(label_folders, "MOST_SETTLED", 300)
    monkeypatch.setenv("PPOCR_JAX_CACHE", str(tmp_path / "other"))
    some = scan_labels(".", tmp_path)
    assert plain(some.samples) == plain(whole.samples) and len(some.samples) == 30
    assert some[1:] == whole[1:] and len(some.problems) == 2
    assert some.notes == [".: gt_*.txt with 4 points, text on 60 of 61 lines"]
    files = label_folders._Files(sorted(tmp_path.glob("gt_*.txt")))
    assert 10 < len(files.some) < files.total == 61


def test_what_changed_a_moment_ago_is_not_relied_upon(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(label_store, "RECENT_NS", 2 * 10**9)
    (tmp_path / "gt_a.txt").write_text("0,0,9,0,9,5,0,5,word\n")
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert len(read_labels(".", tmp_path)) == 1 and not list(cache.glob("*.index"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-9] + b"!" + data[-8:], "wrong checksum of"),
        (lambda data: data[:60] + b"!" + data[61:], "wrong checksum of the description"),
        (lambda data: data[:-100], "cut short"),
        (lambda data: b"something else", "not a label index"),
        (lambda data: b"", "not a label index"),
    ],
)
def test_a_damaged_index_is_named_and_made_anew(tmp_path, cache, capfd, damage, reason):
    write(tmp_path)
    expected = plain(read_labels("labels.txt", tmp_path))
    good = kept(cache).read_bytes()
    kept(cache).write_bytes(damage(good))
    assert plain(read_labels("labels.txt", tmp_path)) == expected
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"warning: {kept(cache)}: the label index is damaged ({reason}")
    assert kept(cache).read_bytes() == good


def test_an_index_of_other_labels_is_not_taken(tmp_path, cache, capfd):
    write(tmp_path)
    read_labels("labels.txt", tmp_path)
    other = kept(cache).read_bytes()
    kept(cache).unlink()
    write(tmp_path, 5)
    read_labels("labels.txt", tmp_path)
    kept(cache).write_bytes(other)
    assert len(read_labels("labels.txt", tmp_path)) == 5
    assert "made from other labels" in capfd.readouterr().err


def test_without_a_cache_folder_labels_stay_in_memory(tmp_path, monkeypatch, capfd):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PPOCR_JAX_CACHE", str(tmp_path / "file" / "cache"))
    write(tmp_path)
    assert len(read_labels("labels.txt", tmp_path)) == 9
    assert len(read_labels("labels.txt", tmp_path)) == 9
    (line,) = capfd.readouterr().err.splitlines()  # said once
    assert "the label index is not cached" in line and "PPOCR_JAX_CACHE" in line


def test_an_index_that_goes_while_it_is_in_use(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(label_file, "SMALL", 0)
    monkeypatch.setattr(label_store, "LARGE", 0)
    write(tmp_path)
    samples = read_labels("labels.txt", tmp_path)
    job = pickle.dumps(samples)
    os.truncate(kept(cache), 500)
    with pytest.raises(UserError, match="cut short while it was in use: run the same command"):
        samples[8]
    kept(cache).unlink()
    with pytest.raises(UserError, match="disappeared while it was in use"):
        pickle.loads(job)


def test_one_process_makes_it_and_another_waits(tmp_path, monkeypatch, cache):
    write(tmp_path)
    read_labels("labels.txt", tmp_path)
    place, found = kept(cache), []
    good = place.read_bytes()
    place.unlink()
    waiting = threading.Thread(target=lambda: found.append(read_labels("labels.txt", tmp_path)))
    with locks.hold_output(place), monkeypatch.context() as patched:
        waiting.start()
        waiting.join(0.3)
        assert not found
        forbid(patched)  # what the other one has made is taken
        pathlib.Path(place).write_bytes(good)
    waiting.join(20)
    assert len(found[0]) == 9
    assert [path.name for path in cache.iterdir()] == [place.name]


def test_sources_joined_give_the_same_tables(tmp_path):
    write(tmp_path)
    (tmp_path / "more.txt").write_text(f"z.jpg\t{json.dumps(LABELS)}\n")
    samples = label_index.join(read_sources("labels.txt,more.txt", tmp_path))
    assert len(samples) == 10 and samples[-1].image_path.endswith("z.jpg")
    assert samples.words == label_index.count_words(list(samples)) == (7, 4, 3)
    for first, last in ((0, 10), (7, 10), (9, 20), (2, 5)):
        expected = label_index.table(list(samples), first, last)
        for name, values in label_index.table(samples, first, last)._asdict().items():
            np.testing.assert_array_equal(values, getattr(expected, name), name)
    for group, part in enumerate(label_index.table(samples, 0, 10).split(4)):
        expected = label_index.table(samples, 4 * group, 4 * group + 4)
        for name, values in part._asdict().items():
            np.testing.assert_array_equal(values, getattr(expected, name), name)
    with pytest.raises(IndexError):
        samples[10]
