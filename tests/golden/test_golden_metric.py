"""Counts and hmean against plain Python's, whose overlaps need no Shapely."""

import numpy as np
import pytest
from golden_files import read

from ppocr_jax.scoring.metrics import match_image, summarise


def test_counts_and_hmean():
    golden, counts = read("metric"), []
    for index, expected in enumerate(golden["counts"]):
        image = [golden[f"{index}/{part}"] for part in ("truth", "ignore", "found")]
        counts.append(match_image(*image))
        assert list(counts[-1][:3]) == expected.tolist(), index
    summary = summarise(counts)
    found = [summary[name] for name in ("precision", "recall", "hmean")]
    assert found == pytest.approx(golden["summary"].tolist(), rel=1e-12)
    assert 0 < golden["summary"].min() and len(counts) > 20
    assert np.ptp(golden["counts"][:, 2]) > 3  # images with many matches, and with none
