"""Several weights on one page: numbers, differences by size, images that got better and worse."""

from ppocr_jax import __version__
from ppocr_jax import config as configs
from ppocr_jax.pages import building, mistakes
from ppocr_jax.pages.curves import COLOURS
from ppocr_jax.scoring.comparison import COLUMNS, recall_by

NAME = "compare.html"
SIDE = 900  # pixels of the longer side of a picture; two lie side by side


def write_comparison(path, scored, pairs, config, differing, most=6):
    """Writes the page.

    Args:
        path: of the file; its folder exists.
        scored: list of `comparison.Scored`.
        pairs: list of `comparison.Pair`, the first of them against each of the others.
        config: a whole config, by whose rule all were scored.
        differing: lines on weights whose own config has another rule.
        most: images shown of each pair that got better, and that got worse.
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


def _changes(pair, most):
    """`(title, [((name, image), (name, image))])`: images that got better, and worse."""
    against = f"{pair.first.name} against {pair.other.name}"
    for what, changes in (("fewer", pair.better), ("more", pair.worse)):
        shown = changes[:most]
        title = f"{against}: {what} errors, the largest difference first"
        number = f" ({len(shown)} of {len(changes)})" if changes else ""
        yield title + number, [_side_by_side(pair, change.index) for change in shown]


def _side_by_side(pair, index):
    return tuple(
        (scored.name, mistakes.describe_image(scored.outcomes[index], SIDE))
        for scored in (pair.other, pair.first)
    )
