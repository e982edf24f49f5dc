"""Boxes and scores against plain Python's, whose rectangles need no OpenCV and no Clipper."""

import numpy as np
import pytest
from golden_files import read
from plain_boxes import CASES

from ppocr_jax.detection.postprocess import find_polygons

EXACT = ("upright", "kept or not", "other thresholds", "over the edge")
OPTIONS = {"thresh": "thresh", "box_thresh": "box_thresh", "ratio": "unclip_ratio"}


@pytest.mark.parametrize("name", CASES)
def test_boxes(name):
    golden, case = read("boxes"), CASES[name]
    options = {ours: case[theirs] for theirs, ours in OPTIONS.items() if theirs in case}
    found, scores = find_polygons(golden[f"{name}/map"], case["size"], **options)
    order = sorted(range(len(found)), key=lambda i: found[i].tolist())
    expected = golden[f"{name}/boxes"]
    assert len(found) == len(expected) > 0
    # One pixel of the map where corners are turned, since Clipper gives whole ones.
    pixel = max(case["size"][0] / 96, case["size"][1] / 160)
    limit = 0 if name in EXACT else 1.5 * pixel
    np.testing.assert_allclose(np.array(found)[order], expected, atol=limit)
    np.testing.assert_allclose(
        scores[order], golden[f"{name}/scores"], atol=1e-6 if name in EXACT else 0.01
    )


def test_the_published_check_value():
    np.testing.assert_array_equal(
        read("boxes")["upright/boxes"], [[[18, 38], [220, 38], [220, 120], [18, 120]]]
    )
