"""Target maps against distances measured pixel by pixel, wherever no rounding decides."""

import numpy as np
import pytest
from golden_files import read
from plain_targets import CASES, SIZE, ignored

from ppocr_jax.data.targets import draw_targets


@pytest.fixture(scope="module")
def golden():
    return read("targets")


@pytest.mark.parametrize("name", CASES)
def test_maps(golden, name):
    polygons = [np.array(polygon, np.float32) for polygon in CASES[name]]
    maps = draw_targets(polygons, ignored(name), *SIZE)
    for part in ("shrink", "threshold"):
        expected = {key.rsplit("/", 1)[1]: value for key, value in golden.items()
                    if key.startswith(f"{name}/{part}/")}  # fmt: skip
        sure = expected["sure"]
        assert sure.mean() > 0.6, f"{part}: little is compared"
        if part == "shrink":
            for key in ("shrink_map", "shrink_mask"):
                np.testing.assert_array_equal(maps[key][sure], expected[key][sure], key)
            assert abs(maps["shrink_map"] - 1.0 * expected["shrink_map"]).mean() < 0.05
        else:
            close = abs(maps["threshold_map"] - expected["threshold_map"])
            assert close[sure].max() < 1e-5
            mask, sure = expected["threshold_mask"], expected["mask_sure"]
            np.testing.assert_array_equal(maps["threshold_mask"][sure], mask[sure])


def test_the_cases_say_something(golden):
    """Text and border in every case; a bridge that only the second ratio keeps whole."""
    for name in CASES:
        sure = golden[f"{name}/shrink/sure"]
        assert golden[f"{name}/shrink/shrink_map"][sure].sum() > 20, name
        assert golden[f"{name}/threshold/threshold_map"].max() > 0.65, name
    assert golden["bridge/shrink/shrink_map"][28, 30:58].all()
    assert not golden["several/shrink/shrink_mask"].all()
