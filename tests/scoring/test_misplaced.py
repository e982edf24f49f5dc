"""Labels that were made on other pictures than these: of another size, turned, shifted."""

from types import SimpleNamespace

import numpy as np
import pytest

from ppocr_jax.scoring.misplaced import find_misplaced, overlap

SIZE = 720, 1280  # height, width


def draw_words(rng, count):
    """Upright quads of words, float32 `[4, 2]` each, in a picture of `SIZE`."""
    words = []
    for _ in range(count):
        x, y = rng.uniform(20, 1000), rng.uniform(20, 660)
        w, h = rng.uniform(40, 200), rng.uniform(15, 50)
        words.append(np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32))
    return words


def outcome(labels, found):
    return SimpleNamespace(sample=SimpleNamespace(polygons=labels), polygons=found, size=SIZE)


def outcomes(move, images=5, seed=1):
    """Found boxes a little off the words, a third of which are not found; moved labels."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(images):
        words = draw_words(rng, 9)
        found = [word + rng.normal(0, 2, (4, 2)) for word in words[:6]] + draw_words(rng, 2)
        made.append(outcome([np.array([move(*p) for p in word]) for word in words], found))
    return made


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (lambda x, y: (x / 2, y / 2), "multiplied by 2.0"),
        (lambda x, y: (x * 3, y * 3), "multiplied by 0.33 in x and 0.33 in y"),
        (lambda x, y: (x / 2, y * 640 / 720), "in y"),
        (lambda x, y: (x + 90, y - 55), "shifted by -9"),
        (lambda x, y: (y, 1280 - x), "turned by 90 degrees to the right"),
        (lambda x, y: (720 - y, x), "turned by 90 degrees to the left"),
        (lambda x, y: (1280 - x, 720 - y), "turned by 180 degrees"),
        (lambda x, y: (y, x), "swapped in x and y"),
    ],
)
def test_what_brings_labels_onto_boxes_is_found(move, words):
    found = find_misplaced(outcomes(move))
    assert words in found.how
    assert found.fit > 20 and found.before <= 3 and found.total == 45


def test_labels_in_their_place_are_left_alone():
    assert find_misplaced(outcomes(lambda x, y: (x, y))) is None


@pytest.mark.parametrize("count", [3, 12])
def test_boxes_that_have_nothing_to_do_with_the_labels_prove_nothing(count):
    rng = np.random.default_rng(2)
    for _ in range(10):
        images = [outcome(draw_words(rng, count), draw_words(rng, count)) for _ in range(6)]
        assert find_misplaced(images) is None


def test_nothing_found_is_no_reason():
    assert find_misplaced([]) is None
    assert find_misplaced([outcome(draw_words(np.random.default_rng(3), 5), [])]) is None


def test_overlap_of_boxes():
    one, other = (
        np.array([[0, 0, 10, 10.0]]),
        np.array([[0, 0, 10, 5], [20, 0, 30, 9], [0, 0, 0, 0]]),
    )
    np.testing.assert_allclose(overlap(one, other), [[0.5, 0, 0]])
