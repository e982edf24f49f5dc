"""Lines against words, tight against loose, moved labels: each is made and then named."""

import numpy as np
import pytest
from outcomes import bar

from ppocr_jax.data.labels import Sample
from ppocr_jax.detection.inference import Predicted
from ppocr_jax.scoring import differences
from ppocr_jax.scoring.evaluation import Outcome
from ppocr_jax.scoring.metrics import Overlaps

SIZE = (600, 800)


def page(seed):
    """Words of a page: 6 lines of 4 words, at places that differ from page to page."""
    rng = np.random.default_rng(seed)
    words = []
    for line in range(6):
        x, y = int(rng.integers(20, 100)), 30 + 90 * line + int(rng.integers(0, 30))
        for _ in range(4):
            width = int(rng.integers(40, 120))
            words.append(bar(x, y, width, 24))
            x += width + 12
    return words


def outcome(labels, boxes, ignore=None):
    ignore = tuple(ignore or [False] * len(labels))
    made = Outcome(Sample("x.png", tuple(labels), ignore, "x.txt", 1), Predicted(0, None, SIZE), {})
    made.polygons = [np.round(box).astype(np.int32) for box in boxes]
    made.matches = Overlaps(made.sample.polygons, ignore, made.polygons).matches()
    return made


def compare(change_labels=lambda words: words, change_boxes=lambda words: words):
    pages = [page(seed) for seed in range(6)]
    found = differences.compare([outcome(change_labels(p), change_boxes(p)) for p in pages])
    return found, " ".join(differences.explain(found))


def lines(words):
    rows = [np.concatenate(words[n : n + 4]) for n in range(0, len(words), 4)]
    return [bar(*row.min(0), *np.ptp(row, 0)) for row in rows]


def grow(words, pixels):
    sides = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    return [word + pixels * sides for word in words]


def test_alike():
    found, text = compare()
    assert found.pairs == found.labels == found.boxes == 144 and found.move is None
    assert "pieces of one kind: 0 of 144" in text and "As tight as the labels" in text
    assert "In place" in text and "0 of 144 labels touch no box" in text


def test_lines_against_words():
    found, text = compare(change_boxes=lines)
    assert (found.joined_labels, found.joined_boxes, found.pairs) == (144, 36, 0)
    assert "Lines against words: 144 of 144 labels" in text and "4.0 in each of 36 boxes" in text
    found, text = compare(change_labels=lines)
    assert (found.cut_labels, found.cut_boxes, found.joined_labels) == (36, 144, 0)
    assert "Words against lines: 36 of 36 labels hold several boxes, 4.0 each" in text


def test_tight_against_loose():
    found, text = compare(change_boxes=lambda words: grow(words, 4))
    assert found.height == pytest.approx(32 / 24, rel=0.01) and "Loose against tight" in text
    found, text = compare(change_boxes=lambda words: grow(words, -4))
    assert found.height == pytest.approx(16 / 24, rel=0.01) and "Tight against loose" in text


def test_a_small_shift_is_measured_and_a_large_one_is_found():
    found, text = compare(change_labels=lambda words: [word + [0, -5] for word in words])
    assert found.down == pytest.approx(5 / 24, abs=0.01) and "Shifted: a box lies +0.00" in text
    found, text = compare(change_labels=lambda words: [word + [37, -40] for word in words])
    assert found.move.after == 144 and found.move.before < 30
    assert "when they are shifted by -37 pixels to the right and 40 down: 144 of 144 then" in text


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda p: p * [2, 2], "scaled by 0.50 x 0.50"),
        (lambda p: p * [0.4, 0.4], "scaled by 2.50 x 2.50"),
        (lambda p: np.stack([p[:, 1], SIZE[1] - p[:, 0]], 1), "turned by 90 degrees clockwise"),
        (lambda p: np.stack([SIZE[0] - p[:, 1], p[:, 0]], 1), "90 degrees counter-clockwise"),
        (lambda p: np.array(SIZE[::-1]) - p, "turned by 180 degrees"),
        (lambda p: p * 100 / np.array(SIZE[::-1]), "read as per cent of the picture"),
    ],
)
def test_labels_of_other_pictures(change, name):
    found, text = compare(lambda words: [change(word).astype(np.float32) for word in words])
    assert found.move.after > 130 and found.move.before < 20, found.move
    assert name in text and "labels after this transform" in text
    assert found.pairs > 130 and "As tight as the labels" in text and "In place" in text


def test_boxes_elsewhere():
    _, text = compare(change_boxes=lambda words: [bar(5, 585, 20, 9), bar(700, 585, 30, 9)])
    assert (
        "Hardly any label meets a box: 0 of 144 touch one" in text and "144 of 144 labels" in text
    )


def test_what_does_not_count():
    labels, boxes = [bar(0, 0, 90, 30), bar(200, 200, 50, 20)], [bar(10, 5, 40, 20)]
    found = differences.compare([outcome(labels, boxes, [True, False])])
    assert (found.labels, found.boxes, found.apart_labels, found.apart_boxes) == (1, 0, 1, 0)
    (text,) = differences.explain(found)
    assert text == "There is nothing to compare: 1 labels that count, 0 boxes found."
    crossing = outcome(
        [np.array([[0, 0], [30, 20], [30, 0], [0, 20]], np.float32)], [bar(0, 0, 9, 9)]
    )
    assert differences.compare([crossing]).labels == 0  # left out by the metric too
