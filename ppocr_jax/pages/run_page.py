"""`results.html` of a run: its curves, its best checkpoint against its base, and what to do next.

The base is the weights that the run started from.
"""

import os
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from ppocr_jax import __version__
from ppocr_jax.errors import counted
from ppocr_jax.pages import building, mistakes
from ppocr_jax.pages.curves import COLOURS
from ppocr_jax.pages.story import History, describe_run
from ppocr_jax.scoring import breakdown, comparison
from ppocr_jax.scoring.comparison import Scored
from ppocr_jax.scoring.uncertainty import interval

if TYPE_CHECKING:
    from ppocr_jax.scoring.evaluation import Outcome

NAME = "results.html"
PICTURES = 24  # images on the page; hundreds would be too much for a browser
SIDE = 1200  # pixels of the longer side of each


def write_results(
    workdir: pathlib.Path,
    config: ConfigDict,
    chosen: Mapping[str, Any],
    history: History,
    best: "Sequence[Outcome] | None",
    base: "Sequence[Outcome] | None",
    notes: Sequence[str] = (),
) -> None:
    """Writes `results.html` into a workdir.

    Args:
        workdir: of the run.
        config: a complete config.
        chosen: `{"hmean", "step"}` of the best checkpoint; step -1 before the first evaluation.
        history: records of the run.
        best: validation images under the best checkpoint; None if they were not kept.
        base: the same images under the base, or None.
        notes: more lines to show.
    """
    role = config.best.role
    step = None if chosen["step"] < 0 else chosen["step"]
    building.write_page(
        workdir / NAME,
        "results.html",
        title=f"{os.path.basename(os.path.abspath(workdir))}: {_name_score(role, chosen)}",
        figures=_figures(history, role, step),
        run=describe_run(workdir, step, history, role),
        rule=building.describe_rule(config),
        warnings=[*notes, *_warnings(best or ())],
        commands=list(suggest(workdir, config, step, history)),
        settings=list(_settings(config, history)),
        config_text=building.config_text(config),
        **_found(config, best, base, is_base=step == 0),
    )


def _name_score(role: str, best: Mapping[str, Any]) -> str:
    scored = f"best hmean {best['hmean']:.4f} at step {best['step']}"
    return f"{role}, {scored if best['step'] >= 0 else 'not evaluated yet'}"


def _figures(history: History, role: str, step: int | None) -> list[tuple[str, str]]:
    """The large numbers at the top: scores of the best checkpoint, and its gain over the base."""
    scored, base = history.at(role, step), history.base(role)
    figures = []
    if scored:
        names = ("hmean", "precision", "recall")
        figures = [(name, f"{scored[name]:.4f}") for name in names if name in scored]
    if scored and base:
        figures.append(("hmean of the base", f"{base['hmean']:.4f}"))
        figures.append(("gain", f"{scored['hmean'] - base['hmean']:+.4f}"))
    return figures


def _warnings(best: "Sequence[Outcome]") -> Iterator[str]:
    unreadable = [outcome.reason for outcome in best if outcome.reason]
    if unreadable:
        yield (
            f"{counted(len(unreadable), 'image')} could not be read, so all labels there count as "
            f"missed. The first: {unreadable[0]}"
        )


def _found(
    config: ConfigDict,
    best: "Sequence[Outcome] | None",
    base: "Sequence[Outcome] | None",
    is_base: bool,
) -> dict[str, Any]:
    """Variables of the sections on images: the best checkpoint's, next to the base's recall.

    Args:
        config: a complete config.
        best: see `write_results`.
        base: see `write_results`.
        is_base: whether the best checkpoint is the base itself.
    """
    if best is None:
        empty = dict.fromkeys(("kinds", "columns_note", "count"), "")
        return {**empty, "images": None, "columns": [], "colours": [], "recall": [],
                "precision": [], "legend": []}  # fmt: skip
    shown = PICTURES if config.eval.pictures else 0
    beside = [best] if base is None or is_base else [best, base]
    tables = [breakdown.recall_tables(outcomes) for outcomes in beside]
    columns = ["best", "base"][: len(beside)]
    return {
        "images": [mistakes.describe_image(o, SIDE) for o in mistakes.find_worst(best, shown)],
        "count": len(best),
        "kinds": f"{_judge(best, base, is_base)} {_explain_errors(best)}",
        "legend": mistakes.legend(),
        "colours": list(zip(columns, COLOURS, strict=False)) if len(beside) > 1 else [],
        "columns": columns if len(beside) > 1 else [""],
        "columns_note": _note_columns(base, is_base),
        "recall": [
            (title, breakdown.align([table[title] for table in tables]))
            for title, bins in tables[0].items()
            if bins
        ],
        "precision": breakdown.align([breakdown.precision_by_score(best)]),
    }


def _judge(best: "Sequence[Outcome]", base: "Sequence[Outcome] | None", is_base: bool) -> str:
    """How certain the score is, and the gain over the base."""
    low, high = interval([outcome.counts for outcome in best])
    sure = (
        f"On other images of this kind, hmean would most likely be between {low:.3f} and "
        f"{high:.3f} (95 % interval)."
    )
    if base is None or is_base:
        return sure
    pair = comparison.pair(
        Scored("The best checkpoint", {}, list(best)), Scored("its base", {}, list(base))
    )
    return f"{sure} {pair.verdict()}."


def _explain_errors(outcomes: "Sequence[Outcome]") -> str:
    missed, false = (sum(c) for c in zip(*map(mistakes.count_errors, outcomes), strict=True))
    kinds = mistakes.explain_kinds(outcomes)
    return (
        f"In all, {missed} words are missed and {false} boxes are false"
        f"{': ' if kinds else ''}{kinds}."
    )


def _note_columns(base: "Sequence[Outcome] | None", is_base: bool) -> str:
    if is_base:
        return "The best checkpoint is the base itself."
    if base is None:
        return "For the best checkpoint; there was no base, or what it found was not kept."
    return (
        "Of each pair of numbers and bars, the first is for the best checkpoint, the second for "
        "its base."
    )


def _settings(config: ConfigDict, history: History) -> Iterator[tuple[str, str]]:
    """Yields `(name, value)` of what the run was."""
    data, start = config.data, (history.start or [{}])[-1]
    yield (
        "networks",
        ", ".join(f"{role}: {_describe_network(n)}" for role, n in config.roles.items()),
    )
    yield "trained", ", ".join(config.trainable)
    for role, path in config.init_from.items():
        if path:
            yield f"initial weights of {role}", str(path)
    for role, report in start.get("weights", {}).items() if isinstance(start, dict) else ():
        yield f"loaded for {role}", str(report)
    yield "training set", f"{data.train} in {data.root}"
    yield "validation set", f"{data.val} in {data.root}"
    yield "steps", str(config.steps or f"{config.epochs} epochs")
    yield "batch size, crop", f"{config.batch_size}, {config.crop} pixels"
    warmup = f"{config.warmup_epochs:g} epochs"
    if config.get("warmup_steps"):
        warmup = f"{config.warmup_steps} steps"
    yield "learning rate, warm-up", f"{config.learning_rate:g}, {warmup}"
    yield "devices", str(start.get("devices", "unknown"))
    yield "version", f"ppocr_jax {__version__}, JAX {start.get('jax', 'unknown')}"


def _describe_network(network: ConfigDict) -> str:
    return " + ".join(str(network[part].name) for part in ("backbone", "neck", "head"))


def suggest(
    workdir: str | os.PathLike[str], config: ConfigDict, step: int | None, history: History
) -> Iterator[tuple[str, str]]:
    """Yields `(purpose, command)` for what usually follows a run, with its real paths.

    Args:
        workdir: of the run.
        config: a complete config.
        step: of the best checkpoint; None before the first evaluation.
        history: records of the run.
    """
    run, role = str(workdir), config.best.role
    weights = run if step is not None else f"{run}/latest"
    named = [] if len(config.roles) == 1 else ["--role", role]
    # An average of a network is not loaded itself; its network is.
    learner = role if role in config.init_from else config.trainable[0]

    def use(name: str, *words: str) -> str:
        return _line(name, "--weights", weights, *words)

    yield (
        "find text in photos",
        use("predict", *named, "--images", "photos/", "--output", f"{run}/predicted"),
    )
    onnx, paddle = f"{run}/{role}.onnx", f"{run}/{role}.pdparams"
    yield "export it to ONNX", use("export", "--role", role, "--output", onnx)
    yield "save it for PaddleOCR", use("extract", "--role", role, "--output", paddle)
    yield "try other thresholds", use("evaluate", *named, "--report", f"{run}/report")
    base = config.init_from.get(learner) or config.init_from.get("all", "")
    if base and history.base(role):
        compared = _line("compare", weights, str(base), "--report", f"{run}/compare")
        yield "compare it with its base", compared
    saved, done = f"{run}/config.json", history.last_step()
    yield (
        "continue training, to twice the steps",
        _line("train", "--config", saved, "--workdir", run, f"--config.steps={2 * max(done, 1)}"),
    )
    yield (
        "start a new run from its best checkpoint",
        _line("train", "--config", saved, "--workdir", f"{run}-further",
              f"--config.init_from.{learner}={weights}"),
    )  # fmt: skip


def _line(name: str, *words: str) -> str:
    return building.command(name, *map(shlex.quote, words))
