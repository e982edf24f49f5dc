"""Networks that a config asks for and nobody can have: one line, before anything is made."""

import pytest
from tiny import TEACHER, TINY

from ppocr_jax.errors import UserError
from ppocr_jax.models import detector
from ppocr_jax.models.detector import build_detector, shapes_of

HUGE = 10**9


@pytest.mark.parametrize(
    ("network", "part", "values"),
    [
        (TINY, "backbone", dict(scale=HUGE)),
        (TINY, "backbone", dict(scale="wide")),
        (TINY, "backbone", dict(scale=10**400)),
        (TINY, "backbone", dict(scale=-1.0)),
        (TINY, "backbone", dict(squeeze_excite=1)),
        (TINY, "backbone", dict(blocks=(1, 3, 6))),
        (TINY, "backbone", dict(blocks=(3, 6, 12, 99))),
        (TINY, "backbone", dict(blocks=(0,) * 1000 + (3, 6, 12))),
        (TINY, "backbone", dict(blocks=5)),
        (TINY, "backbone", dict(parent=None)),
        (TINY, "backbone", dict(name="MobileNetV3", dtype="float64")),
        (TINY, "neck", dict(channels=HUGE)),
        (TINY, "neck", dict(channels=0)),
        (TINY, "neck", dict(channels=96.5)),
        (TINY, "neck", dict(name="DBFPN", channels=-16)),
        (TINY, "head", dict(kernels=(4, 2, 2))),
        (TINY, "head", dict(kernels=(99, 2, 2))),
        (TINY, "head", dict(kernels=())),
        (TINY, "head", dict(kernels=("3", 2, 2))),
        (TEACHER, "backbone", dict(depths=(1, HUGE, 1, 1))),
        (TEACHER, "backbone", dict(depths=(1, 1, 1))),
        (TEACHER, "backbone", dict(width=HUGE)),
        (TEACHER, "neck", dict(channels=HUGE)),
        (TEACHER, "neck", dict(mode="wide")),
    ],
)
def test_values_that_no_part_takes(network, part, values):
    with pytest.raises(UserError, match=part) as caught:
        build_detector({**network, part: {**network[part], **values}})
    assert "\n" not in str(caught.value)


def test_a_network_that_would_only_fill_memory(monkeypatch):
    network = build_detector(TINY)
    assert shapes_of(network)["params"]
    monkeypatch.setattr(detector, "MOST_PARAMETERS", 1000)
    with pytest.raises(UserError, match=r"a network of \d+ parameters is more than the 1000"):
        shapes_of(network)
