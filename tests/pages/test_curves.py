"""Curves: the places of points, thinning, and the ticks of the axes."""

import re

import pytest
from strict_page import Page

from ppocr_jax.pages import curves
from ppocr_jax.pages.curves import Curve, draw_curves, thin, ticks


def places(svg):
    """The points of every line, in pixels."""
    return [
        [tuple(map(float, pair.split(","))) for pair in points.split()]
        for points in re.findall(r'points="([^"]+)"', svg)
    ]


def test_points_lie_where_their_values_are():
    svg, legend = draw_curves(
        [Curve("a<b", [(0, 0.0), (50, 0.5), (100, 1.0)], marked=50), Curve("base", flat=0.5)], "h"
    )
    line, flat = places(svg)
    assert Page(svg).open == [] and [name for name, _ in legend] == ["a<b", "base"]
    (x0, y0), (x1, y1), (x2, y2) = line
    assert x0 == curves.LEFT and x2 == curves.WIDTH - curves.RIGHT and x1 == (x0 + x2) / 2
    assert y0 > y1 > y2 and y1 == pytest.approx((y0 + y2) / 2, abs=0.11)
    assert {y for _, y in flat} == {y1} and [x for x, _ in flat] == [x0, x2]
    assert f'cx="{x1:.1f}" cy="{y1:.1f}" r="7"' in svg


def test_a_logarithmic_scale_leaves_out_what_has_no_place():
    points = [(0, 0.01), (1, 0.0), (2, 1.0), (3, 100.0)]
    [line] = places(draw_curves([Curve("a", points)], "loss", logarithmic=True)[0])
    assert len(line) == 3 and line[0][1] - line[1][1] == pytest.approx(line[1][1] - line[2][1])


def test_nothing_to_draw_is_no_picture():
    assert draw_curves([], "h") == ("", []) == draw_curves([Curve("a")], "h")
    single, _ = draw_curves([Curve("a", [(7, 0.25)])], "h")
    assert "<circle" in single and places(single) == []


def test_a_long_run_is_thinned_to_means():
    points = [(step, step % 2) for step in range(100_000)]
    few = thin(points, 300)
    assert len(few) == 300 and few[0][0] < 200 < 99_000 < few[-1][0]
    assert all(0.45 < value < 0.55 for _, value in few)
    assert len(draw_curves([Curve("a", points)], "h")[0]) < 10_000


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.48, 0.51, [0.48, 0.49, 0.5, 0.51]), (7, 7.4, None)],
)
def test_ticks_are_round_and_inside(low, high, expected):
    found = ticks(low, high)
    assert 2 <= len(found) <= 6 and low - 1e-9 <= found[0] and found[-1] <= high + 1e-9
    assert expected is None or found == pytest.approx(expected)
