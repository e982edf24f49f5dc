"""Weights by name: what arrives is the published file or nothing, whatever the network does."""

import concurrent.futures
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
import types

import numpy as np
import pytest
from loopback import Site
from tiny import ROOT

from ppocr_jax import download, extract
from ppocr_jax.errors import UserError
from ppocr_jax.weights import fetch, sources, transfer
from ppocr_jax.weights.paddle import variables_by_name
from ppocr_jax.weights.pdparams import read_pdparams, write_pdparams
from ppocr_jax.weights.published import FILES

PLAIN = "MobileNetV3_large_x0_5_pretrained"
PACKED = "ch_PP-OCRv3_det_distill_train"
KEPT = 2 * transfer.CHUNK  # bytes that surely arrived when CUT were sent
CUT = KEPT + 1000


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def make_arrays(seed=0):
    """Half a megabyte under names that a network of ours has."""
    rng = np.random.default_rng(seed)
    return {
        "backbone.conv.conv.weight": rng.normal(size=(8, 3, 3, 3)).astype("f4"),
        "neck.ins_conv.0.in_conv.weight": rng.normal(size=(96, 1100, 1, 1)).astype("f4"),
        "head.binarize.conv1.weight": rng.normal(size=(24, 96, 3, 3)).astype("f4"),
    }


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """The bytes of a `.pdparams` file."""
    path = tmp_path_factory.mktemp("weights") / "w.pdparams"
    write_pdparams(path, make_arrays())
    return path.read_bytes()


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """The bytes of the `.pdparams` file of two networks."""
    path = tmp_path_factory.mktemp("weights") / "t.pdparams"
    pairs = {"Student.": make_arrays(1), "Teacher.": make_arrays(2)}
    write_pdparams(path, {p + n: a for p, arrays in pairs.items() for n, a in arrays.items()})
    return path.read_bytes()


def pack(*entries):
    """A `.tar` of `(name, bytes)` or `(name, tar type, link target)`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content, *target in entries:
            entry = tarfile.TarInfo(name)
            if target:
                entry.type, entry.linkname = content, target[0]
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, a working folder without weights, and no patience."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PPOCR_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PPOCR_JAX_TIMEOUT", "0.3")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "RETRY_DELAYS_S", (0, 0, 0, 0))
    return tmp_path / "cache"


@pytest.fixture
def site(cache, weights, tree, monkeypatch):
    """A server with PLAIN, whose size and hash are known, and PACKED, of which they are not."""
    known = FILES[PLAIN]._replace(size=len(weights), sha256=sha256(weights))
    monkeypatch.setattr(fetch, "FILES", {**FILES, PLAIN: known})
    site = Site()
    site.plain, site.packed = (f"/mirror/{FILES[name].path}" for name in (PLAIN, PACKED))
    site.files[site.plain] = weights
    site.files[site.packed] = pack(
        (PACKED, tarfile.DIRTYPE, ""),
        (f"{PACKED}/best_accuracy.pdparams", tree),
        (f"{PACKED}/student.pdparams", b"another"),
    )
    monkeypatch.setenv("PPOCR_JAX_WEIGHTS_URL", site.url + "/mirror/")
    yield site
    site.close()


def leftovers(cache):
    """What lies in the cache beside locks."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def test_table_is_that_of_the_published_files(shared):
    path = shared(f"weights/{PLAIN}.pdparams")
    entry = FILES[PLAIN]
    assert (entry.size, entry.sha256) == (path.stat().st_size, sha256(path.read_bytes()))
    text = (path.parents[1] / "README.md").read_text()
    rows = dict(re.findall(r"`(\w+)\.pdparams`.*?\b([0-9a-f]{64})\b", text))
    known = {name: entry.sha256 for name, entry in FILES.items() if entry.sha256}
    assert {name: rows.get(name) for name in known} == known
    for name, entry in FILES.items():
        file, _, suffix = os.path.basename(entry.path).partition(".")
        assert file == name and suffix == ("tar" if entry.member else "pdparams")


def test_published_backbone_arrives(shared, site, monkeypatch):
    path = shared(f"weights/{PLAIN}.pdparams")
    monkeypatch.setattr(fetch, "FILES", FILES)
    site.files[site.plain] = path.read_bytes()
    arrays = sources.read_arrays(sources.open_source(PLAIN), "student")
    expected = read_pdparams(path)
    assert list(arrays) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_known_file_comes_once(site, cache, weights, capsys):
    assert download.main([PLAIN]) == 0
    assert capsys.readouterr().out == f"{cache / PLAIN}.pdparams\n"
    assert (cache / f"{PLAIN}.pdparams").read_bytes() == weights
    assert download.main([PLAIN + ".pdparams"]) == 0
    assert site.asked == [(site.plain, None)]
    assert leftovers(cache) == [f"{PLAIN}.pdparams"]


def test_archive_gives_its_weights_and_is_recorded(site, cache, tree, capsys):
    archive = site.files[site.packed]
    assert fetch.fetch(PACKED).read_bytes() == tree
    assert fetch.fetch(PACKED).read_bytes() == tree
    assert len(site.asked) == 1
    assert leftovers(cache) == [f"{PACKED}.json", f"{PACKED}.pdparams"]
    printed = f"{PACKED}: {len(archive)} bytes, sha256 {sha256(archive)}, first download, recorded"
    assert printed in capsys.readouterr().err
    assert json.loads((cache / f"{PACKED}.json").read_text()) == {
        "url": site.url + site.packed,
        "size": len(archive),
        "sha256": sha256(archive),
        "weights_sha256": sha256(tree),
    }


@pytest.mark.parametrize("size", ["same", "other"])
def test_archive_that_changed_is_refused(site, cache, tree, size):
    weights = fetch.fetch(PACKED)
    weights.unlink()
    changed = bytearray(site.files[site.packed])
    changed[-1] ^= 1  # in the padding: every other check would let it pass
    site.files[site.packed] = bytes(changed) + bytes(512 * (size == "other"))
    reason = "expected .* but got" if size == "same" else "bytes, not"
    with pytest.raises(UserError, match=f"is refused and not kept: .*{reason}.*delete .*json"):
        fetch.fetch(PACKED)
    assert leftovers(cache) == [f"{PACKED}.json"]
    (cache / f"{PACKED}.json").unlink()
    assert fetch.fetch(PACKED).read_bytes() == tree


@pytest.mark.parametrize("name", [PLAIN, PACKED])
def test_damaged_cache_is_repaired(site, cache, name, capsys):
    file = fetch.fetch(name)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    assert fetch.fetch(name).read_bytes() == content
    assert f"{name} in {cache} is not the published content" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_broken_transfer_goes_on_where_it_stopped(site, weights, fault, capsys):
    site.faults = [(fault, CUT), (fault, CUT)]
    assert fetch.fetch(PLAIN).read_bytes() == weights
    (_, first), (_, second), (_, third) = site.asked
    starts = [int(ask.removeprefix("bytes=").removesuffix("-")) for ask in (second, third)]
    assert first is None and KEPT <= starts[0] <= CUT and starts[0] + KEPT <= starts[1] <= 2 * CUT
    says = "sent nothing for 0.3 s" if fault == "stall" else "broke the connection"
    assert capsys.readouterr().err.count(says) == 2


def test_next_call_goes_on_where_the_last_one_gave_up(site, cache, weights):
    site.faults = [("cut", CUT), 503, "drop", 500, 429]
    with pytest.raises(UserError, match=f"{PLAIN} cannot be downloaded .*answers 429"):
        fetch.fetch(PLAIN)
    assert leftovers(cache) == [f"{PLAIN}.pdparams.part", f"{PLAIN}.pdparams.part.json"]
    kept = (cache / f"{PLAIN}.pdparams.part").read_bytes()
    assert KEPT <= len(kept) <= CUT and weights.startswith(kept)
    assert fetch.fetch(PLAIN).read_bytes() == weights
    assert site.asked[5:] == [(site.plain, f"bytes={len(kept)}-")]
    assert leftovers(cache) == [f"{PLAIN}.pdparams"]


def test_whole_transfer_is_not_repeated(site, cache, weights):
    """The process ended between the last byte and the move to its place."""
    site.faults = [("cut", CUT), 404]
    with pytest.raises(UserError):
        fetch.fetch(PLAIN)
    (cache / f"{PLAIN}.pdparams.part").write_bytes(weights)
    assert fetch.fetch(PLAIN).read_bytes() == weights
    assert len(site.asked) == 2


def test_rest_that_nobody_asked_for_is_refused(site):
    site.faults = [206]
    with pytest.raises(UserError, match="answers 206"):
        fetch.fetch(PLAIN)


@pytest.mark.parametrize("answer", ["no range", "other part", 416])
def test_server_without_ranges_sends_it_anew(site, weights, answer):
    site.faults = [("cut", CUT), answer]
    assert fetch.fetch(PLAIN).read_bytes() == weights


@pytest.mark.parametrize("heeds", [True, False])
def test_version_that_changed_meanwhile_is_not_mixed(site, cache, tree, heeds):
    site.files[site.packed], new = (
        pack(("best_accuracy.pdparams", tree[::-1])),
        site.files[site.packed],
    )
    site.faults = [("cut", CUT), 404]
    with pytest.raises(UserError):
        fetch.fetch(PACKED)
    site.files[site.packed] = new
    site.faults = [] if heeds else ["deaf"]
    assert fetch.fetch(PACKED).read_bytes() == tree
    assert site.asked[2][1] is not None
    assert len(site.asked) == (3 if heeds else 4)


def test_file_without_a_version_is_fetched_anew(site, weights):
    site.versions = False
    site.faults = [("cut", CUT)]
    assert fetch.fetch(PLAIN).read_bytes() == weights
    assert site.asked == 2 * [(site.plain, None)]


def test_part_of_another_address_is_not_continued(site, cache, weights, monkeypatch):
    site.faults = [("cut", CUT), 404]
    with pytest.raises(UserError):
        fetch.fetch(PLAIN)
    monkeypatch.setenv("PPOCR_JAX_WEIGHTS_URL", site.url)
    site.files["/" + FILES[PLAIN].path] = weights
    assert fetch.fetch(PLAIN).read_bytes() == weights
    assert site.asked[-1][1] is None


def test_corrupt_file_is_refused(site, cache):
    site.faults = ["corrupt"]
    with pytest.raises(UserError, match="is refused and not kept: SHA256 hash .* but got") as error:
        fetch.fetch(PLAIN)
    assert site.url + site.plain in str(error.value)
    assert leftovers(cache) == []


def test_file_of_another_size_is_refused_at_once(site, cache, weights):
    site.files[site.plain] += b"?"
    with pytest.raises(UserError, match=f"has {len(weights) + 1} bytes, not {len(weights)}"):
        fetch.fetch(PLAIN)
    assert leftovers(cache) == []


def test_stalls_end(site):
    site.faults = 5 * [("stall", 0)]
    begin = time.monotonic()
    with pytest.raises(UserError, match="sent nothing for 0.3 s"):
        fetch.fetch(PLAIN)
    assert len(site.asked) == 5 and time.monotonic() - begin < 15


def test_size_is_needed_from_somewhere(site, weights):
    site.faults = [("chunked", 0), "no length"]
    assert fetch.fetch(PLAIN).read_bytes() == weights  # the table knows it
    with pytest.raises(UserError, match="does not say how large the file is"):
        fetch.fetch(PACKED)


def test_endless_answer_is_cut_off(site, cache, weights):
    site.faults = 5 * [("chunked", 10 * CUT)]
    with pytest.raises(UserError, match=f"sends more than the {len(weights)} bytes"):
        fetch.fetch(PLAIN)
    assert leftovers(cache) == []


def test_redirects(site, cache, weights):
    site.files["/moved"] = weights
    site.faults = [("redirect", "/moved"), ("cut", CUT), ("redirect", "/moved")]
    assert fetch.fetch(PLAIN).read_bytes() == weights
    assert [path for path, _ in site.asked] == [site.plain, "/moved", site.plain, "/moved"]
    assert site.asked[3][1].startswith("bytes=")


def test_redirects_in_a_circle_end(site):
    site.faults = 100 * [("redirect", site.plain)]
    with pytest.raises(UserError, match="redirects"):
        fetch.fetch(PLAIN)
    assert len(site.asked) < 50


def test_redirect_that_gives_up_protection_is_refused():
    answer = types.SimpleNamespace(history=[], url="http://b/x", status_code=200, headers={})
    loader = transfer.Downloader("part", None, 1.0)
    with pytest.raises(
        transfer.Failed, match="https://a/x redirects to http://b/x, which is not encrypted"
    ):
        loader._check("https://a/x", answer, 0)


@pytest.mark.parametrize("name", [PLAIN, PACKED])
def test_without_a_network(site, cache, name, weights, tree, capsys):
    site.close()
    with pytest.raises(UserError) as error:
        fetch.fetch(name)
    file = cache / os.path.basename(FILES[name].path)
    content = site.files[site.plain if name == PLAIN else site.packed]
    assert str(error.value) == (
        f"{name} cannot be downloaded (no connection to {site.url.removeprefix('http://')}): "
        f"download {fetch.address(name)} by other means and save it as {file}"
    )
    file.write_bytes(content)
    assert fetch.fetch(name).read_bytes() == (weights if name == PLAIN else tree)


GOOD = ("x/best_accuracy.pdparams", b"x")


def backwards():
    """An archive whose entry ends before it begins, so that the next one is itself again."""
    data = bytearray(pack(GOOD))
    data[124:136] = b"\xff" + (256**11 - 512).to_bytes(11)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


HOSTILE = {
    "absolute": (pack(GOOD, ("/tmp/ppocr_jax_absolute", b"x")), "points outside the archive"),
    "above": (pack(GOOD, ("x/../../above", b"x")), "points outside the archive"),
    "above itself": (pack(("../best_accuracy.pdparams", b"x")), "points outside the archive"),
    "symbolic link": (pack(GOOD, ("x/a", tarfile.SYMTYPE, "/etc/passwd")), "neither a plain file"),
    "link": (pack(GOOD, ("x/a", tarfile.LNKTYPE, GOOD[0])), "neither a plain file"),
    "linked weights": (
        pack(("x/best_accuracy.pdparams", tarfile.SYMTYPE, "/etc/passwd")),
        "neither a plain file",
    ),
    "device": (pack(GOOD, ("x/a", tarfile.CHRTYPE, "")), "neither a plain file"),
    "pipe": (pack(GOOD, ("x/a", tarfile.FIFOTYPE, "")), "neither a plain file"),
    "sparse": (pack((GOOD[0], tarfile.GNUTYPE_SPARSE, "")), "neither a plain file"),
    "none": (pack(("x/other.pdparams", b"x")), "should hold one best_accuracy.pdparams, holds 0"),
    "two": (pack(GOOD, ("y/best_accuracy.pdparams", b"y")), "holds 2"),
    "folder": (pack((GOOD[0], tarfile.DIRTYPE, "")), "holds 0"),
    "short": (pack(("x/best_accuracy.pdparams", bytes(4096)))[:2048], "cannot be read as a .tar"),
    "page": (b"<html>sign in first</html>" * 40, "not a .tar but a web page"),
    "backwards": (backwards(), "cannot be read as a .tar .*of -512 bytes"),
    "empty": (pack(), "holds 0"),
    "no weights": (
        pack(("x/best_accuracy.pdparams", b"x")),
        "not a .pdparams file but a text file",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archive_leaves_nothing(site, cache, kind):
    site.files[site.packed], reason = HOSTILE[kind]
    with pytest.raises(UserError, match=reason) as error:
        fetch.fetch(PACKED)
    assert site.url + site.packed in str(error.value) and "not kept" in str(error.value)
    assert leftovers(cache) == []
    assert sorted(path.name for path in cache.parent.iterdir()) == ["cache", "here"]
    assert not os.path.exists("/tmp/ppocr_jax_absolute")


def test_name_works_as_weights(site, cache, tmp_path, capsys):
    out = tmp_path / "teacher.pdparams"
    assert extract.main(["--weights", PACKED, "--role", "teacher", "--output", str(out)]) == 0
    for name, array in make_arrays(2).items():
        np.testing.assert_array_equal(read_pdparams(out)[name], array)
    template = variables_by_name(make_arrays())
    variables, report = sources.load_role(PLAIN, "student", template, trainable=True)
    kernel = make_arrays()["backbone.conv.conv.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(variables["params"]["backbone"]["conv"]["conv"]["kernel"], kernel)
    assert report.source == f"{cache / PLAIN}.pdparams"


@pytest.mark.parametrize("given", [PLAIN, PLAIN + ".pdparams"])
def test_local_file_wins_over_cache_and_cache_over_network(site, cache, tmp_path, given):
    def first_number():
        arrays = sources.read_arrays(sources.open_source(given), "student")
        return arrays["backbone.conv.conv.weight"].flat[0]

    def number(seed):
        return make_arrays(seed)["backbone.conv.conv.weight"].flat[0]

    write_pdparams(tmp_path / "here" / f"{PLAIN}.pdparams", make_arrays(5))
    assert first_number() == number(5)
    if given == PLAIN:
        write_pdparams(tmp_path / "here" / PLAIN, make_arrays(6))
        assert first_number() == number(6)
        (tmp_path / "here" / PLAIN).unlink()
    assert site.asked == []
    (tmp_path / "here" / f"{PLAIN}.pdparams").unlink()
    assert first_number() == number(0)
    assert first_number() == number(0)
    assert len(site.asked) == 1


@pytest.mark.parametrize("path", ["runs/x", f"./{PLAIN}.pdparams", f"{PLAIN}.onnx", "student"])
def test_other_paths_are_left_alone(site, path):
    assert sources.locate(path) == path


def test_threads_share_one_download(site, cache):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        files = [*pool.map(fetch.fetch, 4 * [PACKED])]
    assert files == 4 * [cache / f"{PACKED}.pdparams"]
    assert len(site.asked) == 1
    assert leftovers(cache) == [f"{PACKED}.json", f"{PACKED}.pdparams"]


def test_second_process_waits_and_takes_over(site, cache, tree):
    site.faults = [("stall", CUT)]
    environment = {**os.environ, "PPOCR_JAX_TIMEOUT": "60", "PYTHONPATH": str(ROOT)}

    command = [sys.executable, "-m", "ppocr_jax.download", PACKED]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    try:
        # Either of them may be the one that downloads; the other one says at first that it waits.
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            lines = [*pool.map(lambda process: process.stderr.readline(), processes)]
        waiting = processes["downloading" in lines[0]]
        assert sorted(line.split()[0] for line in lines) == ["downloading", "waiting"]
        part, deadline = cache / f"{PACKED}.tar.part", time.monotonic() + 30
        while not (part.exists() and part.stat().st_size >= KEPT) and time.monotonic() < deadline:
            time.sleep(0.02)
        processes["waiting" in lines[0]].kill()
        out, err = waiting.communicate(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert (waiting.returncode, out) == (0, f"{cache / PACKED}.pdparams\n"), err
    assert (cache / f"{PACKED}.pdparams").read_bytes() == tree
    assert len(site.asked) == 2 and site.asked[1][1].startswith("bytes=")


def test_list(site, cache, capsys):
    assert download.main(["--list"]) == 0
    before = capsys.readouterr().out
    for name, entry in FILES.items():
        assert f"{name}: {entry.what}\n  {site.url}/mirror/{entry.path}" in before
    assert "size not known yet, sha256 not known yet, not here" in before
    assert "not offered: ch_PP-OCRv3_det_infer: a program" in before
    assert f"cache: {cache}" in before
    fetch.fetch(PACKED)
    capsys.readouterr()
    download.main(["--list"])
    digest = sha256(site.files[site.packed])
    size = len(site.files[site.packed])
    assert f"{size:,} bytes, sha256 {digest}, in the cache" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["MobileNetV3_large_x05_pretrained"], f"did you mean {PLAIN}"),
        (["zzz"], "see --list"),
        (["ch_PP-OCRv3_det_infer"], "inference engine"),
        ([], "give either --list or"),
        (["--list", PLAIN], "give either --list or"),
    ],
)
def test_mistakes(cache, argv, message):
    with pytest.raises(UserError, match=message):
        download.main(argv)


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_timeout_is_a_number_of_seconds(site, monkeypatch, value):
    monkeypatch.setenv("PPOCR_JAX_TIMEOUT", value)
    with pytest.raises(UserError, match=f"PPOCR_JAX_TIMEOUT={value}: should be a number"):
        fetch.fetch(PLAIN)


def test_cache_that_cannot_be_written(site, cache):
    cache.write_text("a file")
    with pytest.raises(UserError, match=f"{cache}: cannot be written .*PPOCR_JAX_CACHE"):
        fetch.fetch(PLAIN)
