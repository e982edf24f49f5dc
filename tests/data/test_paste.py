"""Pasted words: their places, their labels, and what cannot be pasted."""

import cv2
import numpy as np
import pytest

from ppocr_jax.data.paste import paste_words, straighten, turn_word

WORD = np.array([[20, 20], [80, 24], [79, 44], [19, 40]], np.float32)


QUAD = np.array([[5, 5], [45, 5], [45, 17], [5, 17]], np.float32)


def picture(height=60, width=100, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_pasted_words_are_labelled_and_touch_nothing():
    image, other = np.zeros((200, 300, 3), np.uint8), picture(60, 100, 1)
    donors = [QUAD + np.float32([0, 20 * row]) for row in range(2)] * 5
    pasted, polygons, ignore = paste_words(
        np.random.default_rng(0), image, [WORD], [True], other, donors, [False] * 10, 0.5
    )
    assert len(polygons) > 2 and len(polygons) == len(ignore)
    assert ignore[0] is True and not any(ignore[1:])
    boxes = [np.array([*p.min(0), *p.max(0)]) for p in polygons]
    for i, one in enumerate(boxes):
        assert one[0] >= 0 and one[1] >= 0 and one[2] <= 300 and one[3] <= 200
        for two in boxes[i + 1 :]:
            assert one[2] < two[0] or two[2] < one[0] or one[3] < two[1] or two[3] < one[1]
    covered = np.zeros((200, 300), np.uint8)
    cv2.fillPoly(covered, [np.round(p).astype(np.int32) for p in polygons[1:]], 1)
    drawn = pasted.any(2)
    assert drawn.sum() > 200
    grown = cv2.dilate(covered, np.ones((5, 5), np.uint8)) > 0
    assert (drawn & ~grown).sum() == 0  # ink only inside its label
    assert not image.any()  # the original is left alone


def test_what_cannot_be_pasted_is_left_out():
    image, other = np.zeros((40, 40, 3), np.uint8), picture(60, 100, 1)
    flat = np.array([[5, 5], [45, 5], [45, 5], [5, 5]], np.float32)
    huge = np.array([[0, 0], [90, 0], [90, 50], [0, 50]], np.float32)
    donors, tags = [flat, huge, WORD[:3], QUAD], [False, False, False, True]
    same, polygons, _ = paste_words(
        np.random.default_rng(0), image, [], [], other, donors, tags, 1.0
    )
    assert polygons == [] and not same.any()
    full = np.array([[0, 0], [40, 0], [40, 40], [0, 40]], np.float32)
    _, polygons, _ = paste_words(
        np.random.default_rng(0), image, [full], [False], other, [QUAD * 0.5], [False], 1.0
    )
    assert len(polygons) == 1  # nowhere free


@pytest.mark.parametrize("angle", [0, 30, 90, 211])
def test_turned_words_fill_their_corners(angle):
    word = np.full((10, 30, 3), 200, np.uint8)
    turned, alpha, corners = turn_word(word, angle)
    assert turned.shape[:2] == alpha.shape
    assert (corners.min(0) >= -1e-6).all()
    assert abs(alpha.sum() - 300) < 40
    assert (turned[alpha] == 200).all()


def test_tall_words_lie_down():
    tall = np.array([[10, 5], [20, 5], [20, 45], [10, 45]], np.float32)
    assert straighten(picture(), tall).shape == (10, 40, 3)
    assert straighten(picture(), QUAD).shape == (12, 40, 3)
