"""The command that compares weights: one rule for all, what differs, mistakes in one line."""

import json

import cv2
import numpy as np
import pytest
from outcomes import EVIL
from strict_page import browse, check_alone
from tiny import draw_data, load_config, make_network, write_config

from ppocr_jax import compare
from ppocr_jax.detection.network import Network
from ppocr_jax.errors import UserError
from ppocr_jax.shipping.extraction import write_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn data, a config, and two extracted folders of one network with configs of their own."""
    folder = tmp_path_factory.mktemp("compare")
    draw_data(folder / "data")
    path = write_config(folder, folder / "data")
    variables = make_network()[1]
    for name, overrides in (("one", ()), ("two", ("postprocess.box_thresh=0.7",))):
        config = json.loads(load_config(path, *overrides).to_json())
        meta = {"role": "student", "roles": ["student"], "config": config}
        write_folder(folder / name, variables, meta)
        (folder / name / "config.json").write_text(json.dumps(config))
    return folder


def stand_in(erosion):
    """A network that finds dark bars, smaller with more erosion."""

    def predict(variables, image, area=None):
        kernel = np.ones((erosion, erosion))
        grey = np.asarray(image).mean(-1)
        return np.stack([cv2.erode((g < 100).astype(np.float32), kernel) for g in grey])

    return Network(predict, None, None, f"a stand-in of {erosion}")


@pytest.fixture
def networks(monkeypatch):
    """Weights whose paths end in `two` find little, all others everything."""
    monkeypatch.setattr(
        compare, "open_network", lambda c, w, r: stand_in(13 if str(w).endswith("two") else 5)
    )


def test_table_page_and_file(folder, networks, tmp_path, capsys):
    one, two = folder / "one", folder / "two"
    options = ["--report", str(tmp_path / "new" / "page"), "--output", str(tmp_path / "c.json")]
    rule = ["--config.eval.limit_side=32", "--config.postprocess.unclip_ratio=1.5"]
    assert compare.main([str(one), str(two), str(one), *options, *rule]) == 0
    out, err = capsys.readouterr()
    assert f"images, sizes and thresholds are from {one}/config.json" in err
    assert (
        f"{two} has other settings of its own, which are not used: eval.limit_side=96 (here 32)"
        in err
    )
    assert "postprocess.box_thresh=0.7 (here 0.6)" in err
    table = [line.rsplit(maxsplit=8) for line in out.splitlines()[1:4]]
    assert [row[0] for row in table] == [str(one), str(two), f"{one} again"]
    assert float(table[0][1]) > float(table[1][1]) and table[0][1:] == table[2][1:]
    assert f"{one} against {two}: hmean +" in out and "no image tells them apart" in out
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["rule"]["eval.limit_side"] == 32 and len(found["pairs"]) == 2
    assert found["weights"][0]["hmean"] == pytest.approx(float(table[0][1]), abs=1e-4)
    page = check_alone((tmp_path / "new" / "page" / "compare.html").read_text())
    assert "makes fewer errors than" in page.text and "the largest difference first (" in page.text
    assert f"{two} has other settings of its own" in page.text and page.images()
    assert all(source.startswith("data:image/jpeg") for source in page.images())


def test_page_in_a_browser(folder, networks, tmp_path, capsys):
    weights = [str(folder / name) for name in ("one", "two")]
    assert compare.main([*weights, "--report", str(tmp_path), "--images", "1"]) == 0
    said, dom = browse(tmp_path / "compare.html")
    assert said == [] and "one against two" in dom


def test_the_networks_themselves_are_read(folder, capsys):
    """No stand-in: the same network twice is told apart by no image."""
    assert compare.main([str(folder / "two"), str(folder / "one")]) == 0
    out, err = capsys.readouterr()
    assert "two against one: hmean +0.0000 (no image tells them apart)" in out
    assert (
        "one has other settings of its own, which are not used: postprocess.box_thresh=0.6" in err
    )


def test_what_cannot_be_read_counts_for_all(folder, networks, tmp_path, capsys):
    labels = tmp_path / "val.txt"
    lines = (folder / "data" / "val.txt").read_text().replace("val_1.png", EVIL)
    labels.write_text(lines)
    (folder / "data" / EVIL).write_bytes(b"")
    options = [f"--config.data.val={labels}", "--report", str(tmp_path)]
    assert compare.main([str(folder / "one"), str(folder / "two"), *options]) == 1
    assert capsys.readouterr().err.count("its words count as missed") == 1
    assert EVIL in check_alone((tmp_path / "compare.html").read_text()).text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["one"], "one: name other weights to compare with"),
        (["one", "two", "--images", "3"], "--images has no effect without --report"),
        (["one", "two", "--report", "x", "--images", "-1"], "--images -1: should be at least 0"),
        (["one", "two", "--role", "a,b,c"], "one name, or one for each of the 2 weights"),
        (["one", "two", "--role", "teacher"], "--role teacher: .*one has student"),
        (["one", "gone"], "gone"),
        (["one", "data/val.txt"], "val.txt"),
    ],
)
def test_mistakes_have_one_line(folder, options, message):
    options = [str(folder / o) if (o in ("one", "two", "gone") or "/" in o) else o for o in options]
    with pytest.raises(UserError, match=message) as caught:
        compare.main(options)
    assert "\n" not in str(caught.value)


def test_roles_of_one_state_are_told_apart():
    assert compare._names(["run", "run"], ["student", "teacher"]) == ["run student", "run teacher"]
    assert compare._names(["a/x.onnx", "a/y/"], [None] * 2) == ["x.onnx", "y"]
    assert compare._names(["x", "a/x"], [None] * 2) == ["x", "a/x"]
