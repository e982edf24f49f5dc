"""Polygons from school's formulas: areas, distances, clipping. Points are (x, y).

Where a function takes one `point`, its x and y may be arrays: many points at once.
"""

import math

import numpy as np


def edges(points):
    return list(zip(points, [*points[1:], *points[:1]], strict=True))


def area(points):
    """Square pixels, by the shoelace formula; positive where x, then y, then back turns left."""
    return sum(a[0] * b[1] - a[1] * b[0] for a, b in edges(points)) / 2


def perimeter(points):
    return sum(math.dist(a, b) for a, b in edges(points))


def to_point(point, other):
    return np.hypot(point[0] - other[0], point[1] - other[1])


def to_segment(point, start, end):
    """Distance of a point to a segment."""
    u, v = end[0] - start[0], end[1] - start[1]
    part = ((point[0] - start[0]) * u + (point[1] - start[1]) * v) / (u * u + v * v)
    part = np.clip(part, 0.0, 1.0)
    return to_point(point, (start[0] + part * u, start[1] + part * v))


def to_outline(point, points):
    return np.min([to_segment(point, a, b) for a, b in edges(points)], axis=0)


def contains(points, point):
    """Whether a ray to the right crosses the outline an odd number of times."""
    x, y = np.asarray(point[0]), np.asarray(point[1])
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in edges(points):
        if ay != by:
            meets = x < ax + (y - ay) * (bx - ax) / (by - ay)
            inside ^= ((ay > y) != (by > y)) & meets
    return inside


def truncated(points):
    """Whole numbers, towards zero."""
    return [(int(x), int(y)) for x, y in points]


def clip(subject, window):
    """What a convex polygon keeps inside another convex one (Sutherland and Hodgman)."""
    if area(window) < 0:
        window = window[::-1]
    kept = list(subject)
    for (ax, ay), (bx, by) in edges(window):

        def side(p, ax=ax, ay=ay, bx=bx, by=by):
            return (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax)

        rest = []
        for one, other in edges(kept) if kept else ():
            if side(one) >= 0:
                rest.append(one)
            if (side(one) > 0 > side(other)) or (side(one) < 0 < side(other)):
                part = side(one) / (side(one) - side(other))
                rest.append(tuple(p + part * (q - p) for p, q in zip(one, other, strict=True)))
        kept = rest
    return kept


def components(cells):
    """Groups of neighbouring cells, corners counting as neighbours; cells are (x, y) in a set."""
    left, groups = set(cells), []
    while left:
        group, border = [], [left.pop()]
        while border:
            x, y = border.pop()
            group.append((x, y))
            near = {(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            border += near
        groups.append(group)
    return groups


def hull(points):
    """The convex hull, by Andrew's two chains."""
    points = sorted(set(points))
    if len(points) < 3:
        return points

    def chain(points):
        kept = []
        for p in points:
            while len(kept) > 1 and (
                (kept[-1][0] - kept[-2][0]) * (p[1] - kept[-2][1])
                <= (kept[-1][1] - kept[-2][1]) * (p[0] - kept[-2][0])
            ):
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return chain(points) + chain(points[::-1])


def smallest_rectangle(points):
    """`(corners, shorter side)` of the smallest rectangle around points.

    One of its sides lies along an edge of the convex hull, so every edge is tried.
    """
    outline, best = hull(points), None
    for (ax, ay), (bx, by) in edges(outline):
        length = math.hypot(bx - ax, by - ay)
        u = ((bx - ax) / length, (by - ay) / length)
        v = (-u[1], u[0])
        along = [p[0] * u[0] + p[1] * u[1] for p in outline]
        across = [p[0] * v[0] + p[1] * v[1] for p in outline]
        spans = [(min(s), max(s)) for s in (along, across)]
        sides = [high - low for low, high in spans]
        if best is None or sides[0] * sides[1] < best[0] - 1e-9:
            (a, b), (c, d) = spans
            corners = [
                (s * u[0] + t * v[0], s * u[1] + t * v[1])
                for s, t in ((a, c), (b, c), (b, d), (a, d))
            ]
            best = sides[0] * sides[1], corners, min(sides)
    return best[1], best[2]
