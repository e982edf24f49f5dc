"""Shared and separate random streams give the same distributions of samples."""

import numpy as np
import pytest
from scipy import stats

from experiments.augmentation_streams import __main__ as experiment
from ppocr_jax.data.labels import read_sources

SAMPLES = 400


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    config = experiment.make_config(str(folder), scenes=20)
    samples = read_sources(config.data.train, folder)[0]
    return [
        experiment.draw(samples, config, way, SAMPLES, seed=0) for way in ("shared", "separate")
    ]


def test_means_differ_by_chance_alone(measured):
    for name, (_, _, (difference, error)) in experiment.compare(*measured).items():
        assert error > 0 and abs(difference) < 4 * error, name


@pytest.mark.parametrize("name", experiment.QUANTITIES)
def test_whole_distributions_agree(measured, name):
    shared, separate = (values[name] for values in measured)
    assert (shared != separate).any()  # but different numbers
    assert stats.ks_2samp(shared, separate).pvalue > 1e-4


def test_separate_entries_are_not_correlated(measured):
    """If entries shared a seed, pasting, geometry and crop would be correlated."""
    _, separate = measured
    for one in ("flip", "angle", "scale"):
        for other in ("pasted", "left", "top"):
            correlation = np.corrcoef(separate[one], separate[other])[0, 1]
            assert abs(correlation) < 4 / SAMPLES**0.5, (one, other)


def test_the_table_has_a_row_per_quantity(measured):
    lines = list(experiment.table(experiment.compare(*measured)))
    assert len(lines) == 2 + len(experiment.QUANTITIES)
    assert lines[2].startswith("| share flipped | 0.") and all(x.count("|") == 6 for x in lines)
