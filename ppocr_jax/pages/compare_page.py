"""`compare.html`: several weights side by side, and the images where they differ most."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from ppocr_jax import __version__
from ppocr_jax import config as configs
from ppocr_jax.pages import building, mistakes
from ppocr_jax.pages.curves import COLOURS
from ppocr_jax.scoring.comparison import COLUMNS, Pair, Scored, recall_by

NAME = "compare.html"
SIDE = 900  # pixels of the longer side of a picture; two stand side by side

Described = tuple[str, dict[str, Any]]  # name of the weights, and `mistakes.describe_image`


def write_comparison(
    path: str | os.PathLike[str],
    scored: Sequence[Scored],
    pairs: Sequence[Pair],
    config: ConfigDict,
    differing: Sequence[str],
    most: int = 6,
) -> None:
    """Writes the page.

    Args:
        path: of the file; its folder exists.
        scored: the weights with their results.
        pairs: the first weights against each of the others.
        config: a complete config, whose settings all were scored with.
        differing: lines on weights whose own config has other settings.
        most: images to show that got better, and as many that got worse, per pair.
    """
    first = scored[0].outcomes
    reasons = [outcome.reason for outcome in first if outcome.reason]
    building.write_page(
        path,
        "compare.html",
        names=[each.name for each in scored],
        count=len(first),
        version=__version__,
        config=configs.plain(config),
        config_text=building.config_text(config),
        columns=COLUMNS,
        rows=[(each.name, each.row()) for each in scored],
        verdicts=[pair.verdict() for pair in pairs],
        rule=building.describe_rule(config),
        differing=differing,
        unreadable=[f"{reason}; its words count as missed" for reason in reasons],
        recall=list(recall_by(scored).items()),
        colours=[(s.name, COLOURS[i % len(COLOURS)]) for i, s in enumerate(scored)],
        pairs=[list(_changes(pair, most)) for pair in pairs],
        legend=mistakes.legend(),
    )


def _changes(pair: Pair, most: int) -> Iterator[tuple[str, list[tuple[Described, Described]]]]:
    """Yields `(title, images)` for the images with fewer errors, then for those with more."""
    for what, changes in (("fewer", pair.better), ("more", pair.worse)):
        shown = changes[:most]
        title = (
            f"Images where {pair.first.name} makes {what} errors than {pair.other.name}, the "
            "largest difference first"
        )
        number = f" ({len(shown)} of {len(changes)})" if changes else ""
        yield title + number, [_side_by_side(pair, change.index) for change in shown]


def _side_by_side(pair: Pair, index: int) -> tuple[Described, Described]:
    """One image with the other weights on the left and the first on the right."""

    def describe(scored: Scored) -> Described:
        return scored.name, mistakes.describe_image(scored.outcomes[index], SIDE)

    return describe(pair.other), describe(pair.first)
