"""Prediction: the boxes of evaluation, in order, in files that others read, and nothing lost."""

import json
import os

import cv2
import jax
import numpy as np
import pytest
from tiny import TINY, draw_data, load_config, write_config

from ppocr_jax import check_data, predict, train
from ppocr_jax.data import resize
from ppocr_jax.data.images import Labels
from ppocr_jax.data.labels import read_labels
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.splits import read_validation
from ppocr_jax.detection.network import open_network
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.pages import predictions, results
from ppocr_jax.scoring import evaluation
from ppocr_jax.shipping.extraction import write_folder

# A network that has learned nothing is sure of little; here it finds dozens of boxes.
LOW = ("postprocess.thresh=0.575", "postprocess.box_thresh=0.5")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a network, its config and images: `data/`, `student/`."""
    folder = tmp_path_factory.mktemp("run")
    draw_data(folder / "data", train=1, val=3)
    config = load_config(write_config(folder, folder / "data"), *LOW)
    variables = init_variables(build_detector(TINY), jax.random.key(12))
    rng = np.random.default_rng(0)
    variables["batch_stats"] = jax.tree.map(
        lambda leaf: leaf + rng.uniform(0, 0.3, leaf.shape).astype("f4"), variables["batch_stats"]
    )
    meta = {"role": "student", "roles": ["student"], "config": json.loads(config.to_json())}
    write_folder(folder / "student", variables, meta)
    return folder


@pytest.fixture
def config(run):
    return load_config(run / "configs_for_test" / "tiny_run.py", *LOW)


@pytest.fixture(scope="module")
def network(run):
    config = load_config(run / "configs_for_test" / "tiny_run.py", *LOW)
    return open_network(config, str(run / "student"), "student")


def write_blurred(path, height, width, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (7, 7, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC))
    return str(path)


def lists(polygons):
    return [np.asarray(polygon).tolist() for polygon in polygons]


def test_the_boxes_are_those_of_evaluation(run, network, config):
    samples = read_validation(config)
    _, outcomes = evaluation.evaluate(
        network.predict, network.variables, samples, config, network.sharding
    )
    paths = [sample.image_path for sample in samples]
    results = list(predictions.predict_images(network, paths, config))
    assert [result.path for result in results] == paths
    assert all(len(outcome.polygons) > 5 for outcome in outcomes)
    for outcome, result in zip(outcomes, results, strict=True):
        assert lists(result.polygons) == lists(outcome.polygons)
        assert result.size == (96, 96) and result.network_size == (96, 96)
        assert len(result.scores) == len(result.polygons) and (result.scores >= 0.5).all()


def test_command(run, tmp_path, capsys):
    data = tmp_path / "data"
    draw_data(data)
    (data / "val_1.png").write_bytes(b"no image")
    write_blurred(data / "more" / "val_0.png", 90, 200, seed=3)
    write_blurred(data / "more" / "deeper" / "other.bmp", 60, 64, seed=4)
    argv = ["--weights", str(run / "student"), "--output", str(tmp_path / "out")]
    argv += ["--images", f"{data}/val_*.png", f"{data}/more", "--labels", str(data / "val.txt")]
    assert predict.main(argv) == 1
    printed = capsys.readouterr()
    assert f"{data}/val_1.png: not an image, or a damaged one; left out" in printed.err
    assert "4 images, 1 unreadable" in printed.out and "no labels for 1 of 5 images" in printed.err
    names = ["val_0.png", "val_2.png", "more/deeper/other.bmp", "more/val_0.png"]
    records = [json.loads(line) for line in open(tmp_path / "out" / "predictions.jsonl")]
    assert [record["path"] for record in records] == [f"{data}/{name}" for name in names]
    assert (records[2]["width"], records[2]["height"]) == (64, 60)
    assert (records[2]["network_width"], records[2]["network_height"]) == (96, 96)
    assert all(record["boxes"] for record in records)
    # PaddleOCR's form reads back as labels, with the same points.
    samples = read_labels("predicts.txt", tmp_path / "out")
    assert [sample.image_path for sample in samples] == [record["path"] for record in records]
    for sample, record in zip(samples, records, strict=True):
        assert lists(sample.polygons) == [box["points"] for box in record["boxes"]]
        assert not any(sample.ignore)
    entries = json.loads(
        (tmp_path / "out" / "predicts.txt").read_text().split("\n")[0].split("\t")[1]
    )
    assert [list(entry) for entry in entries] == [["transcription", "points", "score"]] * len(
        entries
    )
    assert [e["score"] for e in entries] == [box["score"] for box in records[0]["boxes"]]
    # Pictures of the same base name do not replace each other; labels take the left half.
    shown = [read_image(tmp_path / "out" / record["picture"]) for record in records]
    assert [record["picture"] for record in records] == [
        "pictures/val_0.jpg", "pictures/val_2.jpg", "pictures/other.jpg", "pictures/val_0-2.jpg"
    ]  # fmt: skip
    assert [image.shape for image in shown] == [
        (96, 192, 3), (96, 192, 3), (60, 64, 3), (90, 400, 3)
    ]  # fmt: skip
    again = ["--images", str(tmp_path), "--no_pictures", "--box_type", "poly", "--limit_side", "64",
             "--limit_type", "max", "--output", str(tmp_path / "out")]  # fmt: skip
    assert predict.main(["--weights", str(run / "student"), *again]) == 1
    records = [json.loads(line) for line in open(tmp_path / "out" / "predictions.jsonl")]
    assert len(records) == 14 and not any("pictures" in record["path"] for record in records)
    assert {record["network_width"] for record in records} == {64}
    assert any(len(box["points"]) > 4 for record in records for box in record["boxes"])


def test_what_people_have_in_a_folder(run, tmp_path, capsys, monkeypatch):
    """A line, a pipe, a claim and a clear picture: each is read or named, and the good one is."""
    monkeypatch.setattr(resize, "ENLARGED_PIXELS", 100_000)
    good = write_blurred(tmp_path / "in" / "good.png", 90, 200)
    cv2.imwrite(str(tmp_path / "in" / "line.png"), np.full((1, 9000, 3), 200, np.uint8))
    clear = np.zeros((60, 64, 4), np.uint8)
    clear[20:40, 10:50, 3] = 255
    cv2.imwrite(str(tmp_path / "in" / "clear.png"), clear)
    os.mkfifo(tmp_path / "in" / "pipe.png")
    (tmp_path / "in" / "cut.png").write_bytes(open(good, "rb").read()[:-50])
    (tmp_path / "in" / "notes.heic").write_bytes(b"x")
    argv = ["--weights", str(run / "student"), "--images", str(tmp_path / "in")]
    argv += ["--output", str(tmp_path / "out")]
    assert predict.main(argv) == 1
    printed = capsys.readouterr().err
    assert "pipe.png: a pipe, not an image file; left out" in printed
    assert "cut.png: the PNG is cut short; left out" in printed
    assert "left out 1 .heic" in printed and "warning: warning" not in printed
    assert "line.png, 3104x32 instead of 864000x96" in printed
    records = [json.loads(line) for line in open(tmp_path / "out" / "predictions.jsonl")]
    assert [record["path"][-8:] for record in records] == ["lear.png", "good.png", "line.png"]


def test_a_picture_that_cannot_be_drawn_is_that_pictures(run, network, config, monkeypatch):
    def save(path, image_path, *_):
        if "val_1" in image_path:
            raise MemoryError
        raise error

    monkeypatch.setattr(predictions, "save_picture", save)
    paths = [str(run / "data" / f"val_{i}.png") for i in range(3)]
    error = ValueError("odd")
    found = list(predictions.predict_images(network, paths, config, pictures=run / "pictures"))
    assert [result.path for result in found] == paths
    assert found[0].reason == f"{paths[0]}: ValueError: odd"
    assert found[1].reason == f"{paths[1]}: not enough memory for this image"
    error = OSError(28, "No space left on device")  # not the picture's fault
    with pytest.raises(OSError, match="No space"):
        list(predictions.predict_images(network, paths, config, pictures=run / "pictures"))


def test_a_second_image_of_a_bucket_does_not_compile_again(run, config, tmp_path):
    network = open_network(config, str(run / "student"), "student")
    sizes = [(100 + 20 * i, 260 - 12 * i) for i in range(12)]
    paths = [write_blurred(tmp_path / f"{i}.png", *size, i) for i, size in enumerate(sizes)]
    assert predictions.choose_shapes(paths[:3], config) == 0
    assert predictions.choose_shapes(paths, config) == predictions.SHARED
    alone = list(predictions.predict_images(network, paths[:2], config))
    assert network.predict._cache_size() == len({result.network_size for result in alone}) == 2
    list(predictions.predict_images(network, paths[:2], config))
    assert network.predict._cache_size() == 2
    config.eval.shared_shapes = predictions.SHARED
    first = list(predictions.predict_images(network, paths[:2], config))
    programs = network.predict._cache_size()
    results = list(predictions.predict_images(network, paths[2:], config))
    buckets = {tuple(-(-side // 256) for side in r.network_size) for r in [*first, *results]}
    assert programs == 3 and network.predict._cache_size() == 2 + len(buckets) <= 5
    assert [result.path for result in results] == paths[2:]
    assert len({result.network_size for result in results}) > 8
    for plain, bucketed in zip(alone, first, strict=True):
        assert lists(plain.polygons) == lists(bucketed.polygons)


def test_the_text_of_the_labels_counts_where_there_is_some(run, network, config):
    path = str(run / "data" / "val_0.png")
    labels = Labels(str(run / "data" / "val.txt"))
    result = next(predictions.predict_images(network, [path], config, labels=labels))
    sides = [np.ptp(polygon[:, 1]) for polygon in labels.find(path).polygons]
    assert result.text_px == pytest.approx(np.quantile(sides, 0.1), abs=1e-4)


def test_regions_beyond_the_limit_are_said(run, network, config):
    path = str(run / "data" / "val_0.png")
    everything = next(predictions.predict_images(network, [path], config))
    config.postprocess.max_candidates = 1
    result = next(predictions.predict_images(network, [path], config))
    assert everything.passed_over == 0 and result.passed_over > 0 and len(result.polygons) <= 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--images", "nothing.png"], "nothing.png: there is no such file"),
        (["--role", "teacher"], "--role teacher: the config has student"),
        (["--limit_side", "8"], "eval.limit_side=8"),
        (["--limit_type", "mid"], "eval.limit_type=mid: should be min, max, resize_long"),
        (["--box_type", "circle"], "postprocess.box_type=circle"),
        (["--shared_shapes", "100"], "eval.shared_shapes=100"),
        (["--tile", "100"], "--tile 100"),
        (["--overlap", "32"], "--overlap needs --tile"),
        (["--tile", "96", "--limit_side", "96"], "--limit_side has no effect with --tile"),
        (["--labels", "train.txt"], "train.txt: none of its paths matches one of the images"),
    ],
)
def test_mistakes(run, monkeypatch, tmp_path, argv, message):
    monkeypatch.chdir(run / "data")
    given = [] if "--images" in argv else ["--images", "val_0.png"]
    with pytest.raises(UserError, match=message):
        predict.main(["--weights", str(run / "student"), "--output", str(tmp_path), *argv, *given])


def test_each_box_is_cut_out(run, tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    names = ["a.png", "more/a.png", "blank.png"]
    for seed, name in enumerate(names):
        write_blurred(data / name, 90, 200, seed)
    cv2.imwrite(str(data / "blank.png"), np.zeros((90, 200, 3), np.uint8))
    argv = ["--weights", str(run / "student"), "--images", str(tmp_path), "--output", str(out)]
    assert predict.main([*argv, "--crops", "--no_pictures"]) == 0
    assert f"Label.txt, {out}/crops" in capsys.readouterr().out and not (out / "pictures").exists()
    records = [json.loads(line) for line in open(out / "predictions.jsonl")]
    listed = [box["crop"] for record in records for box in record["boxes"]]
    written = sorted(path.relative_to(out).as_posix() for path in (out / "crops").iterdir())
    assert sorted(listed) == written and len(listed) > 10
    for record in records:
        assert record["boxes"] or "blank" in record["path"]
        for box in record["boxes"]:
            sides = np.linalg.norm(np.diff(box["points"], axis=0), axis=1)
            shape = sorted(read_image(out / box["crop"]).shape[:2])
            np.testing.assert_allclose(shape, sorted(sides[:2]), atol=3)
    # Once more: what is there is said, and not taken for pictures.
    assert predict.main([*argv, "--crops", "--box_type", "poly"]) == 0
    assert f"{out}/crops already contains files" in capsys.readouterr().err
    records = [json.loads(line) for line in open(out / "predictions.jsonl")]
    assert len(records) == 3 and all(record["picture"] for record in records)
    assert all((out / box["crop"]).is_file() for record in records for box in record["boxes"])


def test_small_text_is_told_by_the_resize(run, network, config):
    """The same picture with much found and with nothing found: the line is the same."""
    path, lines = str(run / "data" / "val_0.png"), []
    config.eval.limit_type = "max"
    for side, threshold in ((96, 0.5), (48, 0.5), (48, 1.0)):
        config.eval.limit_side, config.postprocess.box_thresh = side, threshold
        tally = results.Tally()
        for result in predictions.predict_images(network, [path], config):
            tally.add(result)
            assert bool(result.polygons) == (threshold < 1.0)
        lines.append([line for line in tally.warnings() if "reduced so much" in line])
    assert lines[0] == [] and lines[1] == lines[2] and len(lines[1]) == 1
    assert "96x96 reduced to 64x64, which leaves text below 12 pixels" in lines[1][0]


def correct(run, folder):
    """predict -> Label.txt beside the images, corrected as PPOCRLabel keeps it -> its config."""
    draw_data(folder / "photos", train=4, val=1)
    images = ["--images", "photos/train*.png", "--output", "out", "--no_pictures"]
    assert predict.main(["--weights", str(run / "student"), *images]) == 0
    lines = (folder / "out" / "Label.txt").read_text().splitlines()
    names, labels = zip(*(line.split("\t") for line in lines), strict=True)
    assert names == tuple(f"photos/train_{i}.png" for i in range(4))
    # As a person does there: one box is moved, one is deleted, one gets a text.
    entries = [json.loads(text)[:6] for text in labels]
    entries[0][0]["points"] = [[4, 4], [80, 4], [80, 30], [4, 30]]
    del entries[1][0]
    entries[2][0]["transcription"] = "word"
    pairs = zip(names, entries, strict=True)
    corrected = [f"{name}\t{json.dumps(kept)}\n" for name, kept in pairs]
    (folder / "photos" / "Label.txt").write_text("".join(corrected))
    (folder / "val.txt").write_text("photos/" + (folder / "photos" / "val.txt").read_text())
    return ["--config", str(write_config(folder, folder)), "--config.data.root=."]


def test_what_was_found_is_corrected_and_read_as_labels(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = correct(run, tmp_path)
    for file in ("out/predicts.txt", "photos/Label.txt"):
        assert check_data.main([*config, f"--config.data.train={file}"]) == 0
        assert "nothing is wrong" in capsys.readouterr().out
    samples = read_labels("photos/Label.txt", ".")
    assert lists(samples[0].polygons)[0] == [[4, 4], [80, 4], [80, 30], [4, 30]]
    assert [len(sample.polygons) for sample in samples[:2]] == [6, 5]


@pytest.mark.long
def test_what_was_corrected_is_trained_on(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = [*correct(run, tmp_path), "--config.data.train=photos/Label.txt", "--config.steps=2"]
    argv += [f"--config.init_from.student={run / 'student'}", "--workdir", "runs/mine"]
    assert train.main(argv) == 0
    assert "4 training and 1 validation image" in (printed := capsys.readouterr().err)
    assert "done: 2 steps" in printed


def test_images_that_are_one_to_ppocrlabel_are_said(capsys):
    predict.warn_of_others(["a/x/1.png", "b/x/1.png", "b/x/2.png", "b/y/1.png"], None)
    assert "several images are named x/1.png (1 such names)" in capsys.readouterr().err
    predict.warn_of_others(["b/x/1.png", "b/x/2.png"], None)
    assert capsys.readouterr().err == ""


def test_tiled_command(run, tmp_path, capsys):
    path = write_blurred(tmp_path / "page.png", 200, 300)
    argv = ["--weights", str(run / "student"), "--images", path, "--output", str(tmp_path / "out")]
    assert predict.main([*argv, "--tile", "96", "--overlap", "32", "--scale", "1.5"]) == 0
    record = json.loads((tmp_path / "out" / "predictions.jsonl").read_text())
    assert (record["network_width"], record["network_height"]) == (448, 288)
    assert (record["width"], record["height"]) == (300, 200)
    assert "1 image, 0 unreadable" in capsys.readouterr().out
