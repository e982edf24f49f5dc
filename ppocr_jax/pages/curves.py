"""Curves over the steps of a run, as inline SVG.

They are drawn here rather than by matplotlib, whose import takes longer than everything else that
happens at the end of a short run.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import markupsafe

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333", "#8a8a00")
DASHES = ("", "6 3", "2 3", "8 3 2 3")  # once the colours are used up
WIDTH, HEIGHT = 960, 230
LEFT, RIGHT, TOP, BOTTOM = 60, 16, 14, 34  # margins around the plot, for the axes' numbers
MOST_POINTS = 300  # of a curve; a longer one is drawn as averages

Point = tuple[float, float]


class Curve(NamedTuple):
    """One line of a plot.

    Attributes:
        name: for the legend.
        points: `[(step, value)]`, steps ascending.
        marked: a step whose point gets a ring; None for none.
        flat: a constant, drawn as a dashed grey line; None for none.
    """

    name: str
    points: list[Point] = []
    marked: int | None = None
    flat: float | None = None


def draw_curves(
    curves: Sequence[Curve], what: str, logarithmic: bool = False, dots: bool = False
) -> tuple[str, list[tuple[str, str]]]:
    """Draws curves into one plot.

    Args:
        curves: to draw.
        what: description for screen readers.
        logarithmic: use a logarithmic scale, which leaves out values that are not above 0.
        dots: mark every point.

    Returns:
        `(svg, legend)`: the plot, and `[(name, colour)]`; `("", [])` if there is nothing to draw.
    """
    if logarithmic:
        curves = [c._replace(points=[p for p in c.points if p[1] > 0]) for c in curves]
    curves = [curve for curve in curves if curve.points or curve.flat is not None]
    values = [value for curve in curves for _, value in curve.points]
    values += [curve.flat for curve in curves if curve.flat is not None]
    steps = [step for curve in curves for step, _ in curve.points] or [0]
    if not values:
        return "", []
    frame = _Frame(steps, values, logarithmic)
    styles, parts, legend = _styles(curves), [frame.grid()], []
    for curve, (colour, dash) in zip(curves, styles, strict=True):
        legend.append((curve.name, colour))
        if curve.flat is not None:
            parts.append(frame.path([(frame.low_x, curve.flat), (frame.high_x, curve.flat)],
                                    colour, dash))  # fmt: skip
        points = thin(curve.points, MOST_POINTS)
        parts.append(frame.path(points, colour, dash))
        parts += [frame.dot(p, colour, 3, colour) for p in points if dots or len(points) == 1]
        parts += [frame.dot(p, colour, 7, "none") for p in curve.points if p[0] == curve.marked]
    body = "".join(parts)
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{markupsafe.escape(what)}">'
    return markupsafe.Markup(f"{head}{body}</svg>"), legend


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` points: more are replaced by averages over that many runs of neighbours."""
    if len(points) <= most:
        return list(points)
    edges = [round(index * len(points) / most) for index in range(most + 1)]
    groups = [points[low:high] for low, high in zip(edges, edges[1:], strict=False)]
    return [
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group))
        for group in groups
    ]


def _styles(curves: Sequence[Curve]) -> list[tuple[str, str]]:
    """`(colour, dash)` of each curve; flat ones are grey."""
    styles, count = [], 0
    for curve in curves:
        if curve.flat is not None:
            styles.append(("#777777", "4 4"))
            continue
        dash = DASHES[count // len(COLOURS) % len(DASHES)]
        styles.append((COLOURS[count % len(COLOURS)], dash))
        count += 1
    return styles


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between `low` and `high`, at least one and at most `most`."""
    # The smallest of 1, 2, 5, 10, 20 times a power of ten that needs few enough ticks.
    span = high - low
    size = 10.0 ** math.floor(math.log10(span / most))
    step = next(size * times for times in (1, 2, 5, 10, 20) if span / (size * times) < most)
    first = math.ceil(low / step - 1e-9)
    return [(first + index) * step for index in range(math.floor(high / step + 1e-9) - first + 1)]


class _Frame:
    """Maps values to pixels, and draws the parts of a plot."""

    def __init__(self, steps: Sequence[float], values: Sequence[float], logarithmic: bool) -> None:
        self._log = logarithmic
        self.low_x, self.high_x = min(steps), max(steps)
        if self.high_x == self.low_x:
            self.high_x += 1
        low, high = (self._scale(value) for value in (min(values), max(values)))
        # Some room above and below; equal values get a scale around them. Scores and losses are not
        # negative, so neither is their axis.
        room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
        self._low, self._high = low - room, high + room
        if not logarithmic and min(values) >= 0:
            self._low = max(self._low, 0.0)

    def _scale(self, value: float) -> float:
        return math.log10(value) if self._log else value

    def _place(self, point: Point) -> Point:
        """Pixels (x, y) of `(step, value)`; y points down in SVG."""
        x = (point[0] - self.low_x) / (self.high_x - self.low_x)
        y = (self._scale(point[1]) - self._low) / (self._high - self._low)
        return LEFT + x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> str:
        """The grid lines and numbers of both axes."""
        parts = []
        for tick in self._ticks_y():
            _, y = self._place((self.low_x, tick))
            parts.append(
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                f'stroke="#e3e3e3"/><text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
                f"{tick:.4g}</text>"
            )
        for tick in ticks(self.low_x, self.high_x, 9):
            x = LEFT + (tick - self.low_x) / (self.high_x - self.low_x) * (WIDTH - LEFT - RIGHT)
            y = HEIGHT - BOTTOM
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 5}" stroke="#777"/>'
                f'<text x="{x:.1f}" y="{y + 18}" text-anchor="middle">{tick:.8g}</text>'
            )
        return "".join(parts)

    def _ticks_y(self) -> list[float]:
        if not self._log:
            return ticks(self._low, self._high)
        # Powers of ten alone if there are enough of them, else with 3, else with 2 and 5.
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        for digits in ((1,), (1, 3), (1, 2, 5)):
            found = [d * 10.0**p for p in powers for d in digits]
            found = [t for t in found if self._low <= math.log10(t) <= self._high]
            if len(found) > 2:
                return found
        return [10**tick for tick in ticks(self._low, self._high)]

    def path(self, points: Sequence[Point], colour: str, dash: str) -> str:
        """A line through points; "" for fewer than two."""
        if len(points) < 2:
            return ""
        places = " ".join("{:.1f},{:.1f}".format(*self._place(point)) for point in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        return f'<polyline points="{places}" fill="none" stroke="{colour}"{dashes}/>'

    def dot(self, point: Point, colour: str, radius: float, fill: str) -> str:
        """A point that shows its numbers under the mouse pointer."""
        x, y = self._place(point)
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" stroke="{colour}">'
            f"<title>step {point[0]:g}: {point[1]:.4g}</title></circle>"
        )
