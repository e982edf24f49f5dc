"""The sweep of thresholds: every point equals the plain evaluation with these thresholds."""

import json
import shlex

import cv2
import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax import cli, evaluate
from ppocr_jax.data.labels import Sample
from ppocr_jax.data.splits import read_validation
from ppocr_jax.detection.inference import Predicted
from ppocr_jax.detection.network import Network
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.errors import UserError
from ppocr_jax.scoring import evaluation
from ppocr_jax.scoring.metrics import match_image, summarise
from ppocr_jax.scoring.sweep import AXES, Sweep, explain, grid_polygons, make_grid

GRID = ["thresh=0.2,0.4", "box_thresh=0.4,0.55,0.7", "unclip_ratio=1.2,1.9"]
VARIANTS = [
    {},
    {"use_dilation": True},
    {"score_mode": "slow"},
    {"box_type": "poly"},
    {"max_candidates": 4, "use_dilation": True, "box_type": "poly"},
]


class Darkness:
    """Stands in for a network: dark pixels are text. Counts the images that it sees."""

    def __init__(self):
        self.images = 0

    def __call__(self, variables, image, area=None):
        self.images += len(image)
        dark = np.clip(1.1 - np.asarray(image).mean(-1) / 160, 0, 1).astype(np.float32)
        shrunk = [cv2.erode(part, np.ones((7, 7))) for part in dark]
        return np.stack([cv2.GaussianBlur(part, (0, 0), 2) for part in shrunk])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return write_config(folder, draw_data(folder / "data", val=5))


@pytest.fixture
def config(path):
    return load_config(path, "eval.limit_side=32", "eval.batch_size=2")


def draw_maps():
    """Maps with bars of any height and angle; the last is noise alone."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        shrink_map = np.zeros((128, 160), np.float32)
        for _ in range(9):
            size = rng.uniform(20, 60), rng.uniform(3, 14)
            points = cv2.boxPoints((tuple(rng.uniform(10, 120, 2)), size, rng.uniform(0, 180)))
            cv2.fillPoly(shrink_map, [points.astype(np.int32)], float(rng.uniform(0.3, 1)))
        yield cv2.GaussianBlur(shrink_map, (0, 0), 1.5)
    yield cv2.GaussianBlur(rng.random((96, 128)).astype(np.float32), (0, 0), 2)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_point_finds_what_find_polygons_finds(config, variant):
    post = config.postprocess.to_dict() | variant
    grid = make_grid(post, GRID)
    seen = []
    for shrink_map in draw_maps():
        points = set()
        for i, k, polygons, keep in grid_polygons(shrink_map, (300, 200), grid, post):
            for j, kept in enumerate(keep):
                values = (grid["thresh"][i], grid["box_thresh"][j], grid["unclip_ratio"][k])
                point = dict(zip(AXES, values, strict=True))
                expected, _ = find_polygons(shrink_map, (300, 200), **{**post, **point})
                found = [p for p, here in zip(polygons, kept, strict=True) if here]
                assert [p.tolist() for p in found] == [p.tolist() for p in expected]
                points.add((i, j, k))
                seen.append(len(found))
        assert len(points) == 3 * 4 * 3
    assert len(set(seen)) > 3 and max(seen) > 3


def test_a_sweep_costs_no_pass_and_holds_the_plain_evaluation(config):
    samples, plain, swept = read_validation(config), Darkness(), Darkness()
    expected, _ = evaluation.evaluate(plain, None, samples, config)
    sweep = Sweep(config.postprocess, GRID)
    metrics, _ = evaluation.evaluate(swept, None, samples, config, sweep=sweep)
    result = sweep.result()
    assert swept.images == plain.images == 6  # 5 images and one that fills the last batch
    assert {**metrics, "images_per_s": 0} == {**expected, "images_per_s": 0}
    assert expected["boxes_matched"] > 0
    assert {key: result["own"][key] for key in summarise([])} == {
        key: expected[key] for key in summarise([])
    }
    assert result["own"] in result["points"] and len(result["points"]) == 3 * 4 * 3
    assert json.loads(json.dumps(result)) == result


def make_items(config):
    """`(sample, Predicted)` of the validation images, without a network's pass."""
    for sample in read_validation(config):
        image = cv2.imread(sample.image_path)
        yield sample, Predicted(0, Darkness()(None, image[None])[0], image.shape[:2])


def test_what_is_chosen_on_one_half_is_measured_on_the_other(config):
    items, sweep = list(make_items(config)), Sweep(config.postprocess, GRID)
    for index, (sample, item) in enumerate(items):
        sweep.add(index, sample, item)
    result, post = sweep.result(), config.postprocess.to_dict()

    def hmean(half, point):
        counts = []
        for sample, item in half:
            options = {**post, **{name: point[name] for name in AXES}}
            polygons, _ = find_polygons(item.shrink_map, item.size, **options)
            counts.append(match_image(sample.polygons, sample.ignore, polygons))
        return summarise(counts)["hmean"]

    gains = []
    for one, other in ((items[::2], items[1::2]), (items[1::2], items[::2])):
        highest = max(hmean(one, point) for point in result["points"])
        equal = [p for p in result["points"] if hmean(one, p) == highest]
        gains.append([hmean(other, p) - hmean(other, result["own"]) for p in equal])
    assert all(gain in among for gain, among in zip(result["held_out"], gains, strict=True))
    assert result["best"]["hmean"] == max(hmean(items, point) for point in result["points"])
    assert result["gain"] == result["best"]["hmean"] - hmean(items, result["own"]) > 0


def test_the_overrides_give_the_best_point(config, path):
    sweep = Sweep(config.postprocess, ["box_thresh=0.2,0.35,0.1", *GRID])
    for index, (sample, item) in enumerate(make_items(config)):
        sweep.add(index, sample, item)
    result = sweep.result()
    options = ["--config", str(path), *shlex.split(result["overrides"])]
    best = cli.parse(cli.parser(""), options)[1]
    best.eval.limit_side = 32
    assert best.postprocess != config.postprocess
    metrics, _ = evaluation.evaluate(Darkness(), None, read_validation(best), best)
    assert metrics["hmean"] == result["best"]["hmean"]


def test_the_config_wins_among_equals_and_the_edge_is_named(config):
    word = np.array([[20, 20], [90, 20], [90, 50], [20, 50]], np.float32)
    sample = Sample("x.png", (word,), (False,), "x.txt", 1)
    shrink_map = np.zeros((96, 128), np.float32)
    shrink_map[28:42, 28:82] = 0.75
    sweep = Sweep(config.postprocess, GRID)
    sweep.add(0, sample, Predicted(0, shrink_map, shrink_map.shape))
    result = sweep.result()
    assert result["best"] == result["own"] and result["best"]["hmean"] == 1.0
    assert result["edges"] == [] and result["gain"] == 0.0
    lines = list(explain(result))
    assert "gain +0.0000" in lines[0] and not any("to use the best" in line for line in lines)
    assert "keep them" in lines[-1]
    shrink_map[:] *= 0.6
    sweep = Sweep(config.postprocess, GRID)
    sweep.add(0, sample, Predicted(0, shrink_map, shrink_map.shape))
    result = sweep.result()
    assert result["best"]["box_thresh"] == 0.4 and result["best"]["thresh"] == 0.3
    assert result["edges"] == ["box_thresh"] and result["gain"] == 1.0
    lines = list(explain(result))
    assert "gain +1.0000" in lines[0] and "box_thresh: widen" in lines[2]
    assert lines[-1].startswith("to use the best: --config.postprocess.")


def test_words_of_an_unreadable_image_are_missed_everywhere(config):
    word = np.array([[0, 0], [20, 0], [20, 9], [0, 9]], np.float32)
    sample = Sample("gone.png", (word, word), (False, True), "x.txt", 1)
    sweep = Sweep(config.postprocess, GRID)
    sweep.add(1, sample, Predicted(0, None, (0, 0), "gone.png: there is no such file"))
    for point in sweep.result()["points"]:
        assert (point["boxes_labelled"], point["boxes_ignored"], point["boxes_found"]) == (1, 1, 0)


def test_grid(config):
    grid = make_grid(config.postprocess)
    assert all(config.postprocess[name] in values for name, values in grid.items())
    assert grid["unclip_ratio"] == (1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0)
    config.postprocess.thresh = 0.33
    assert make_grid(config.postprocess, ["thresh=0.5,0.1"])["thresh"] == (0.1, 0.33, 0.5)
    for wrong, message in (
        ("tresh=0.2", "NAME one of thresh, box_thresh, unclip_ratio"),
        ("thresh=0.2,x", "numbers with commas"),
        ("thresh=", "numbers with commas"),
        ("box_thresh=nan", "at most 1"),
        ("unclip_ratio=0", "above 0"),
    ):
        with pytest.raises(UserError, match=message):
            make_grid(config.postprocess, [wrong])


def test_command(path, tmp_path, monkeypatch, capsys):
    network = Network(Darkness(), None, None, "a stand-in")
    monkeypatch.setattr(evaluate, "open_network", lambda *arguments: network)
    options = ["--config", str(path), "--weights", "x.onnx", "--config.eval.limit_side=32"]
    output = tmp_path / "new" / "all.json"
    assert evaluate.main([*options, "--sweep", "--output", str(output), "--grid", *GRID]) == 0
    printed = capsys.readouterr()
    short, whole = json.loads(printed.out), json.loads(output.read_text())
    points = whole["sweep"].pop("points")
    assert short == whole and len(points) == 3 * 4 * 3 and short["sweep"]["best"] in points
    assert short["sweep"]["own"]["hmean"] == short["hmean"]
    assert short["sweep"]["overrides"] in printed.err.splitlines()[-1]
    for wrong, message in (
        (["--grid", "thresh=0.2"], "no effect without --sweep"),
        (["--worst", "3"], "no effect without --report"),
        (["--report", str(tmp_path), "--worst", "-1"], "at least 0"),
        (["--sweep", "--grid", "x=1"], "--grid x=1"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate.main([*options, *wrong])
