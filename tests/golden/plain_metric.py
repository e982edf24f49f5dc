"""Precision, recall and hmean in plain Python; overlaps of convex polygons by clipping."""

import math
import random

from plain_geometry import area, clip


def common(one, other):
    return abs(area(clip(one, other))) if one and other else 0.0


def match(truth, ignore, found):
    """`[labelled, found, matched]` of an image, without what is ignored."""
    dropped = set()
    for index, polygon in enumerate(found):
        for region, skip in zip(truth, ignore, strict=True):
            if skip and common(region, polygon) / abs(area(polygon)) > 0.5:
                dropped.add(index)
    taken = set()
    for region, skip in zip(truth, ignore, strict=True):
        for index, polygon in enumerate(found):
            if skip or index in dropped or index in taken:
                continue
            both = common(region, polygon)
            if both / (abs(area(region)) + abs(area(polygon)) - both) > 0.5:
                taken.add(index)  # the first, not the best
                break
    return [len(truth) - sum(ignore), len(found) - len(dropped), len(taken)]


def summary(counts):
    """`[precision, recall, hmean]` over all images; a ratio of nothing is 0."""
    labelled, found, matched = (sum(column) for column in zip(*counts, strict=True))
    precision = matched / found if found else 0.0
    recall = matched / labelled if labelled else 0.0
    both = precision + recall
    return [precision, recall, 2 * precision * recall / both if both else 0.0]


def box(x, y, width, height, degrees=0.0):
    turn = math.radians(degrees)
    u, v = (math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))
    return [
        (x + a * width / 2 * u[0] + b * height / 2 * v[0],
         y + a * width / 2 * u[1] + b * height / 2 * v[1])
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]  # fmt: skip


def images():
    """`[(truth, ignore, found)]`: the rules one by one, then drawn images."""
    square = [(0.0, 0.0), (8.0, 0.0), (8.0, 8.0), (0.0, 8.0)]
    half = [(0.0, 0.0), (8.0, 0.0), (8.0, 4.0), (0.0, 4.0)]
    more = [(0.0, 0.0), (8.0, 0.0), (8.0, 5.0), (0.0, 5.0)]
    yield [square], [False], [half]  # an overlap of exactly a half is none
    yield [square], [False], [more]
    yield [square], [False], [more, square]  # the first above the limit, not the best
    yield [square, square], [False, False], [square]  # one to one
    yield [half], [True], [square, half]  # exactly half of it is ignored: it counts as false
    yield [more], [True], [square]
    yield [square, more], [False, True], [square]  # ignored, although it matches
    yield [square], [False], []
    yield [], [], [square]
    yield [], [], []
    rng = random.Random(0)
    for _ in range(12):
        truth = [
            box(rng.uniform(40, 400), rng.uniform(40, 400), rng.uniform(30, 120),
                rng.uniform(12, 40), rng.uniform(-60, 60))
            for _ in range(rng.randrange(1, 9))
        ]  # fmt: skip
        ignore = [rng.random() < 0.25 for _ in truth]
        found = [box(rng.uniform(40, 400), rng.uniform(40, 400), 60, 20) for _ in range(2)]
        for polygon in truth:
            for _ in range(rng.randrange(3)):
                shift = rng.uniform(-9, 9), rng.uniform(-9, 9)
                found.append([(x + shift[0], y + shift[1]) for x, y in polygon])
        rng.shuffle(found)
        yield truth, ignore, found
