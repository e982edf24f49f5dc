"""Areas, offsets, boxes and means of polygons against slow, independent forms."""

import numpy as np
import pytest
import shapely

from ppocr_jax.data.polygons import (
    box_around,
    mean_inside,
    offset_distance,
    offset_polygon,
    signed_area,
)

SQUARE = np.array([[10, 10], [50, 10], [50, 30], [10, 30]], np.float32)


def star(seed, count=9, radius=(20, 60), centre=100):
    """A polygon without crossing edges: points around a centre, sorted by angle."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    lengths = rng.uniform(*radius, count)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * lengths[:, None] + centre
    return points.astype(np.float32)


def plain_area(polygon):
    """Shoelace, one edge after the other."""
    points, twice = polygon.astype(np.float64).tolist(), 0.0
    for (x, y), (right, below) in zip(points, points[1:] + points[:1], strict=True):
        twice += x * below - right * y
    return twice / 2


@pytest.mark.parametrize("seed", range(8))
def test_areas(seed):
    polygon = star(seed)
    expected = plain_area(polygon)  # y runs down: positive is clockwise on the screen
    assert signed_area(polygon) == pytest.approx(-expected, rel=1e-4)
    assert signed_area(polygon[::-1]) == pytest.approx(expected, rel=1e-4)
    assert abs(expected) == pytest.approx(shapely.Polygon(polygon).area)


def test_the_sign_of_an_area_is_the_turn_on_the_screen():
    assert signed_area(SQUARE) == -800.0  # to the right, down, back: clockwise
    assert signed_area(np.array([[0, 0], [5, 0], [9, 0]], np.float32)) == 0.0


@pytest.mark.parametrize("ratio", [0.0, 0.4, 1.0])
def test_offset_distance_is_area_by_perimeter(ratio):
    assert offset_distance(SQUARE, ratio) == pytest.approx(800 * (1 - ratio**2) / 120)
    polygon = star(1)
    steps = np.roll(polygon, -1, 0).astype(np.float64) - polygon
    perimeter = np.sqrt((steps**2).sum(1)).sum()
    expected = abs(plain_area(polygon)) * (1 - ratio**2) / perimeter
    assert offset_distance(polygon, ratio) == pytest.approx(expected)
    assert offset_distance(np.array([[0, 0], [5, 0], [9, 0]], np.float32), ratio) == 0.0


@pytest.mark.parametrize("distance", [-6.0, -2.0, 3.0, 11.0])
@pytest.mark.parametrize("seed", range(4))
def test_offsets_are_buffers(seed, distance):
    polygon = star(seed, radius=(50, 60)).astype(np.int32)
    offsets = offset_polygon(polygon, distance)
    expected = shapely.Polygon(polygon).buffer(distance)
    assert len(offsets) == len(getattr(expected, "geoms", [expected]))
    assert all(points.dtype == np.int32 for points in offsets)
    ours = shapely.union_all([shapely.Polygon(points) for points in offsets])
    # Points are rounded to whole pixels: the outlines differ by less than that.
    assert ours.symmetric_difference(expected).area < expected.length
    assert ours.hausdorff_distance(expected) < 1.5


def test_what_shrinks_away_leaves_nothing_and_a_waist_breaks():
    assert offset_polygon(SQUARE, -11) == []
    waist = [[0, 0], [40, 0], [40, 18], [80, 18], [80, 0], [120, 0], [120, 40], [80, 40],
             [80, 22], [40, 22], [40, 40], [0, 40]]  # fmt: skip
    assert len(offset_polygon(np.array(waist, np.float32), -4)) == 2


def test_offset_of_a_rectangle_inwards_is_exact():
    (inner,) = offset_polygon(SQUARE, -5)
    assert sorted(inner.tolist()) == [[15, 15], [15, 25], [45, 15], [45, 25]]


@pytest.mark.parametrize("seed", range(8))
def test_boxes_are_the_smallest_around(seed):
    polygon = star(seed)
    quad, side = box_around(polygon)
    box = shapely.Polygon(quad)
    assert box.area == pytest.approx(shapely.Polygon(polygon).minimum_rotated_rectangle.area, 1e-3)
    assert box.buffer(0.01).contains(shapely.Polygon(polygon))
    edges = np.linalg.norm(np.roll(quad, -1, 0) - quad, axis=1)
    assert side == pytest.approx(edges.min(), abs=1e-2)
    np.testing.assert_allclose(edges[:2], edges[2:], rtol=1e-4)
    leftmost = quad[np.argsort(quad[:, 0])[:2]]
    assert quad[0].tolist() == leftmost[np.argmin(leftmost[:, 1])].tolist()
    assert signed_area(quad) < 0  # clockwise


def test_the_box_of_a_turned_rectangle_is_itself():
    theta = np.deg2rad(20)
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    word = (np.array([[-30, -8], [30, -8], [30, 8], [-30, 8]]) @ turn.T + 100).astype(np.float32)
    for first in range(4):
        quad, side = box_around(np.roll(word, first, 0))
        np.testing.assert_allclose(quad, word, atol=1e-3)
        assert side == pytest.approx(16, abs=1e-3)


def plain_mean(shrink_map, polygon):
    """Pixels on or inside a polygon with integer coordinates, one after the other."""
    shape, values = shapely.Polygon(polygon), []
    for y, row in enumerate(shrink_map):
        values += [v for x, v in enumerate(row) if shape.intersects(shapely.Point(x, y))]
    return np.mean(values, dtype=np.float64)


def test_means_inside_equal_the_plain_form():
    rng = np.random.default_rng(0)
    shrink_map = rng.random((60, 70)).astype(np.float32)
    for polygon in (SQUARE, SQUARE + np.float32([0.4, 0.7]), np.roll(SQUARE, 1, 0)):
        expected = plain_mean(shrink_map, polygon.astype(np.int32))
        assert mean_inside(shrink_map, polygon) == pytest.approx(expected, abs=1e-6)
    slanted = mean_inside(shrink_map, np.float32([[5, 5], [60, 12], [57, 40], [3, 31]]))
    plain = plain_mean(shrink_map, np.array([[5, 5], [60, 12], [57, 40], [3, 31]]))
    assert slanted == pytest.approx(plain, abs=0.02)  # a drawn edge also covers pixels beside it


def test_means_of_polygons_that_leave_the_map():
    ramp = np.tile(np.arange(40, dtype=np.float32), (30, 1))
    over = np.array([[30, -5], [60, -5], [60, 50], [30, 50]], np.float32)
    assert mean_inside(ramp, over) == pytest.approx(np.arange(30, 40).mean())
    assert mean_inside(np.ones((8, 8), np.float32), over + 100) == 0.0
