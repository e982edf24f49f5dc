"""Altered copies of an image are found, and different images are not mistaken for copies."""

import cv2
import numpy as np
import pytest

from ppocr_jax.data.likeness import ALIKE, find_alike, fingerprint, join


def photo(seed, side=400):
    """Coarse coloured structure with some text."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    cv2.putText(image, f"text {seed}", (40, 200), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 4)
    return image


def page(seed):
    """A white page of words, with other line breaks on every page."""
    rng = np.random.default_rng(seed)
    image = np.full((700, 500, 3), 250, np.uint8)
    for y in range(40, 660, 26):
        x = 30
        while x < rng.integers(200, 460):
            width = int(rng.integers(20, 90))
            cv2.rectangle(image, (x, y), (x + width, y + 9), (20, 20, 20), -1)
            x += width + 12
    return image


def as_jpeg(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1)


COPIES = {
    "encoded again": as_jpeg,
    "smaller": lambda image: cv2.resize(image, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, None, fx=1.7, fy=1.7),
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=0.8, beta=40),
    "grey": lambda image: cv2.cvtColor(cv2.cvtColor(image, 6), 8),
    "less border": lambda image: image[4:-4, 4:-4],
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("make", [photo, page])
def test_a_copy_is_found(make, copy):
    one = np.stack([fingerprint(make(seed)) for seed in range(4)])
    other = np.stack([fingerprint(copy(make(seed))) for seed in range(4)])
    assert [pair[:2] for pair in find_alike(one, other)] == [(i, i) for i in range(4)]


@pytest.mark.parametrize("make", [photo, page])
def test_others_are_not(make):
    assert find_alike([fingerprint(make(seed)) for seed in range(30)]) == []


def test_pairs_are_those_of_counting_bits():
    rng = np.random.default_rng(0)
    prints = rng.integers(1, 1 << 63, (30, 4)).astype(np.uint64)
    prints[20:] = prints[:10]
    prints[25:, 2] ^= np.uint64(0b1011)
    plain = [
        (i, j, bits)
        for i in range(30)
        for j in range(i + 1, 30)
        if (bits := sum(int(x ^ y).bit_count() for x, y in zip(prints[i], prints[j], strict=True)))
        <= ALIKE
    ]
    assert find_alike(prints) == plain and [pair[2] for pair in plain] == [0] * 5 + [3] * 5
    assert find_alike(prints, most=2) == plain[:5]
    assert find_alike(np.zeros((0, 4), np.uint64)) == []


def test_what_is_connected_through_others_is_one_group():
    assert join(6, [(4, 2, 7), (2, 5)]) == [0, 1, 2, 3, 2, 2]
    assert join(2, []) == [0, 1]


def test_a_blank_picture_is_alike_to_none():
    blank = [fingerprint(np.full(shape, 9, np.uint8)) for shape in ((5, 7, 3), (300, 20, 3))]
    assert find_alike(blank) == [] and find_alike(blank, [fingerprint(photo(0))]) == []
    assert find_alike([fingerprint(photo(0)[:1])], [fingerprint(photo(0)[:1])]) == [(0, 0, 0)]
