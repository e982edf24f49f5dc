"""Plots of a sweep, each an SVG inside a `data:` address that any page can hold."""

import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ppocr_jax.pages.building import data_address
from ppocr_jax.scoring.sweep import AXES

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"


def save_svg(figure):
    """A Matplotlib figure as the address of a picture; equal figures give equal text."""
    # For that the salt, and no date.
    with io.BytesIO() as file, matplotlib.rc_context({"svg.hashsalt": "ppocr_jax"}):
        figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")
        return data_address("svg+xml", file.getvalue())


def _table(swept):
    """hmean of all points, `[thresh, box_thresh, unclip_ratio]`."""
    values = np.array([point["hmean"] for point in swept["points"]])
    return values.reshape([len(values) for values in swept["grid"].values()])


def draw_sweep_lines(swept):
    """hmean over each threshold: the best of the other two, and with the config's other two."""
    table = _table(swept)
    own = [swept["grid"][name].index(swept["own"][name]) for name in AXES]
    figure = Figure(figsize=(9.6, 2.8))
    for axis, (axes, name) in enumerate(zip(figure.subplots(1, 3, sharey=True), AXES, strict=True)):
        values = swept["grid"][name]
        others = tuple(i for i in range(3) if i != axis)
        here = tuple(slice(None) if i == axis else own[i] for i in range(3))
        axes.plot(values, table.max(others), "o-", color=ORANGE, ms=4, label="best of the others")
        axes.plot(values, table[here], "s--", color=BLUE, ms=4, label="the others as configured")
        axes.axvline(swept["own"][name], color=GREY, lw=0.8, ls=":", label="configured")
        axes.set_xlabel(name)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        if axis == 0:
            axes.set_ylabel("hmean")
            handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="lower center", bbox_to_anchor=(0.5, 0.95), ncols=3, frameon=False)
    return save_svg(figure)


def draw_sweep_maps(swept, columns=5):
    """hmean of every point: a map of box_thresh over unclip_ratio for each thresh."""
    table, grid = _table(swept), swept["grid"]
    rows = -(-len(table) // columns)
    columns = min(columns, len(table))
    figure = Figure(figsize=(0.6 + 2.1 * columns, 0.3 + 2.0 * rows), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
    for axes in panels[len(table) :]:
        axes.set_visible(False)
    for axes, part, thresh in zip(panels, table, grid["thresh"], strict=False):
        image = axes.imshow(
            part, origin="lower", aspect="auto", vmin=table.min(), vmax=table.max(), cmap="viridis"
        )
        axes.set_title(f"thresh {thresh:g}", fontsize=9)
        names = grid["unclip_ratio"]
        axes.set_xticks(range(len(names)), [f"{v:g}" for v in names], rotation=90, fontsize=7)
        names = grid["box_thresh"]
        axes.set_yticks(range(len(names)), [f"{v:g}" for v in names], fontsize=7)
        for point, mark in ((swept["own"], "s"), (swept["best"], "*")):
            if point["thresh"] == thresh:
                x = grid["unclip_ratio"].index(point["unclip_ratio"])
                y = grid["box_thresh"].index(point["box_thresh"])
                axes.plot(x, y, mark, ms=9, mfc="none" if mark == "s" else "w", mec="w", mew=1.5)
    figure.supxlabel("unclip_ratio", fontsize=9)
    figure.supylabel("box_thresh", fontsize=9)
    figure.colorbar(image, ax=panels.tolist(), label="hmean")
    return save_svg(figure)
