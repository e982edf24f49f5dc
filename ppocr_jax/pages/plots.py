"""Plots of a threshold sweep, each an SVG in a `data:` URL."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ppocr_jax.pages.building import data_address
from ppocr_jax.scoring.sweep import AXES

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"


def save_svg(figure: Figure) -> str:
    """A Matplotlib figure as a `data:` URL; equal figures give equal text."""
    # Matplotlib's SVG is reproducible only with a fixed salt and without a date.
    with io.BytesIO() as file, matplotlib.rc_context({"svg.hashsalt": "ppocr_jax"}):
        figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")
        return data_address("svg+xml", file.getvalue())


def _table(swept: Mapping[str, Any]) -> np.ndarray:
    """hmean of all points, float64 `[thresh, box_thresh, unclip_ratio]`."""
    values = np.array([point["hmean"] for point in swept["points"]])
    return values.reshape([len(values) for values in swept["grid"].values()])


def draw_sweep_lines(swept: Mapping[str, Any]) -> str:
    """hmean over each threshold, with the other two at their best and as in the config.

    Args:
        swept: see `sweep.Sweep.result`.

    Returns:
        The URL of the picture.
    """
    table = _table(swept)
    own = [swept["grid"][name].index(swept["own"][name]) for name in AXES]
    figure = Figure(figsize=(9.6, 2.8))
    for axis, (axes, name) in enumerate(zip(figure.subplots(1, 3, sharey=True), AXES, strict=True)):
        values = swept["grid"][name]
        others = tuple(i for i in range(3) if i != axis)
        here = tuple(slice(None) if i == axis else own[i] for i in range(3))
        axes.plot(values, table.max(others), "o-", color=ORANGE, ms=4, label="others at their best")
        axes.plot(values, table[here], "s--", color=BLUE, ms=4, label="others as in the config")
        axes.axvline(swept["own"][name], color=GREY, lw=0.8, ls=":", label="the config's value")
        axes.set_xlabel(name)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        if axis == 0:
            axes.set_ylabel("hmean")
            handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="lower center", bbox_to_anchor=(0.5, 0.95), ncols=3, frameon=False)
    return save_svg(figure)


def draw_sweep_maps(swept: Mapping[str, Any], columns: int = 5) -> str:
    """hmean at every point: a heat map of box_thresh over unclip_ratio for each thresh.

    Args:
        swept: see `sweep.Sweep.result`.
        columns: heat maps in a row.

    Returns:
        The URL of the picture.
    """
    # --- one panel per thresh, unused panels hidden
    table, grid = _table(swept), swept["grid"]
    rows = -(-len(table) // columns)
    columns = min(columns, len(table))
    figure = Figure(figsize=(0.6 + 2.1 * columns, 0.3 + 2.0 * rows), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
    for axes in panels[len(table) :]:
        axes.set_visible(False)
    for axes, part, thresh in zip(panels, table, grid["thresh"], strict=False):
        # One colour scale for all panels, so that they can be compared.
        image = axes.imshow(
            part, origin="lower", aspect="auto", vmin=table.min(), vmax=table.max(), cmap="viridis"
        )
        axes.set_title(f"thresh {thresh:g}", fontsize=9)
        names = grid["unclip_ratio"]
        axes.set_xticks(range(len(names)), [f"{v:g}" for v in names], rotation=90, fontsize=7)
        names = grid["box_thresh"]
        axes.set_yticks(range(len(names)), [f"{v:g}" for v in names], fontsize=7)
        # --- a square on the config's thresholds, a star on the best ones
        for point, mark in ((swept["own"], "s"), (swept["best"], "*")):
            if point["thresh"] == thresh:
                x = grid["unclip_ratio"].index(point["unclip_ratio"])
                y = grid["box_thresh"].index(point["box_thresh"])
                axes.plot(x, y, mark, ms=9, mfc="none" if mark == "s" else "w", mec="w", mew=1.5)
    figure.supxlabel("unclip_ratio", fontsize=9)
    figure.supylabel("box_thresh", fontsize=9)
    figure.colorbar(image, ax=panels.tolist(), label="hmean")
    return save_svg(figure)
