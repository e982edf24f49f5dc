"""Histograms of the words of a data set, as one SVG in a `data:` URL."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

from ppocr_jax.pages import plots

SPLIT_COLOURS = {"train": plots.BLUE, "val": plots.ORANGE}
MOST_BINS = 30
LOGARITHMIC = ("height", "width", "aspect")
NAMES = {
    "height": "height, pixels",
    "width": "width, pixels",
    "aspect": "width / height",
    "angle": "angle, degrees",
    "count": "words",
}


def draw_histograms(
    columns: Mapping[str, Mapping[str, Mapping[str, Any]]], marks: Mapping[str, float]
) -> str:
    """Histograms of every quantity (rows) at every scale (columns), one outline per split.

    Args:
        columns: `{title: {split: {quantity of NAMES: values}}}`, values `[N]`, NaN if unknown.
        marks: `{title: pixels}`, the height below which words are too small, drawn as a line.

    Returns:
        The URL of the picture.
    """
    figure = Figure(figsize=(10.5, 2.1 * len(NAMES)))
    figure.subplots_adjust(hspace=0.45, wspace=0.2)
    panels = figure.subplots(len(NAMES), len(columns), squeeze=False)
    for row, quantity in zip(panels, NAMES, strict=True):
        for axes, (title, splits) in zip(row, columns.items(), strict=True):
            values = {split: _finite(table[quantity]) for split, table in splits.items()}
            _draw(axes, values, quantity)
            if quantity == "height" and title in marks:
                axes.axvline(marks[title], color=plots.GREY, lw=0.9, ls=":")
            axes.set_xlabel(NAMES[quantity] + _per(quantity, title), fontsize=8)
            axes.set_title(title if quantity == "height" else "", fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=7)
    return plots.save_svg(figure)


def _per(quantity: str, title: str) -> str:
    return "" if quantity != "count" else " per crop" if "crop" in title else " per image"


def _finite(values: Any) -> np.ndarray:
    values = np.asarray(values, float)
    return values[np.isfinite(values)]  # angles of nearly square words are NaN


def _draw(axes: Axes, values: Mapping[str, np.ndarray], quantity: str) -> None:
    """Draws one panel: fractions over common bins, and the median of each split as text."""
    everything = np.concatenate([*values.values(), np.zeros(0)])
    if not len(everything):
        axes.text(0.5, 0.5, "no word", ha="center", va="center", transform=axes.transAxes)
        axes.set_yticks([])
        return
    # The square root of the number of values is the usual choice for unknown distributions.
    bins = int(np.clip(len(everything) ** 0.5, 5, MOST_BINS))
    edges = _edges(everything, quantity, bins)
    medians = []
    for split, numbers in values.items():
        if len(numbers):
            shares = np.histogram(numbers, edges)[0] / len(numbers)
            axes.stairs(shares, edges, color=SPLIT_COLOURS[split], lw=1.2)
            medians.append(f"{split} {np.median(numbers):.3g}")
    if quantity in LOGARITHMIC:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.minorticks_off()
    if quantity == "count":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.text(
        0.98, 0.97, "median " + ", ".join(medians), ha="right", va="top", fontsize=7,
        color=plots.GREY, transform=axes.transAxes,
    )  # fmt: skip
    axes.set_ylim(0)


def _edges(values: np.ndarray, quantity: str, bins: int) -> np.ndarray:
    """Edges of the bins: equal ratios for sizes, centred on whole numbers for counts."""
    low, high = float(values.min()), float(values.max())
    if quantity in LOGARITHMIC:
        low = max(low, 0.5)  # a logarithmic axis cannot begin at 0
        return np.geomspace(low, max(high, low * 1.1) * 1.001, bins + 1)
    if quantity == "angle":
        return np.linspace(0, 90, bins + 1)
    step = max(1, round((high - low) / bins))
    return np.arange(np.floor(low) - 0.5, high + step + 0.5, step)
