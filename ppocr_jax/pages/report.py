"""`report.html`: an evaluation with its errors, other thresholds, and the run behind it."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from ppocr_jax import __version__
from ppocr_jax import config as configs
from ppocr_jax.errors import UserError
from ppocr_jax.pages import building, mistakes, plots
from ppocr_jax.pages.story import describe_run, history_of
from ppocr_jax.scoring import breakdown
from ppocr_jax.scoring import sweep as sweeps
from ppocr_jax.scoring.evaluation import Outcome


def write_report(
    path: str | os.PathLike[str],
    metrics: Mapping[str, Any],
    outcomes: Sequence[Outcome],
    config: ConfigDict,
    swept: Mapping[str, Any],
    loaded: str = "",
    worst: int = 12,
) -> None:
    """Writes the page.

    Args:
        path: of the file; its folder exists.
        metrics: see `scoring.evaluation.summary`, with `role` and `weights`.
        outcomes: the images of this process.
        config: a complete config.
        swept: see `sweep.Sweep.result`.
        loaded: a line on the weights.
        worst: number of images to show, those with the most errors.
    """
    recall = breakdown.recall_tables(outcomes).items()
    building.write_page(
        path,
        "report.html",
        metrics=metrics,
        figures=[(n, f"{metrics[n]:.4f}") for n in ("hmean", "precision", "recall")],
        loaded=loaded,
        version=__version__,
        config=configs.plain(config),
        config_text=building.config_text(config),
        rule=building.describe_rule(config),
        kinds=mistakes.explain_kinds(outcomes),
        process=(jax.process_index() + 1, jax.process_count(), len(outcomes)),
        unreadable=[outcome.reason for outcome in outcomes if outcome.reason],
        left_out=sum(outcome.matches.truth.count("left out") for outcome in outcomes),
        recall=[(title, breakdown.align([bins])) for title, bins in recall if bins],
        precision=breakdown.align([breakdown.precision_by_score(outcomes)]),
        swept=swept,
        sweep_lines=list(sweeps.explain(swept)),
        sweep_plots=[plots.draw_sweep_lines(swept), plots.draw_sweep_maps(swept)],
        points=sorted(swept["points"], key=lambda point: -point["hmean"]),
        axes=list(sweeps.AXES),
        images=[mistakes.describe_image(o) for o in mistakes.find_worst(outcomes, worst)],
        wrong=bool(mistakes.find_worst(outcomes, 1)),
        legend=mistakes.legend(),
        run=_run_of(metrics["weights"], metrics["role"]),
    )


def _run_of(weights: str, role: str) -> dict[str, Any] | None:
    """The records of the run that trained the weights; None if they are not its checkpoint."""
    try:
        found = history_of(weights)
    except (UserError, OSError):  # the run is still training and has replaced the checkpoint
        return None
    return describe_run(*found, role) if found else None
