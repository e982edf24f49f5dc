"""`results.html` of a run: its curves, its best state against its base, and what to do next."""

import os
import shlex

from ppocr_jax import __version__
from ppocr_jax.pages import building, mistakes
from ppocr_jax.pages.curves import COLOURS
from ppocr_jax.pages.story import describe_run
from ppocr_jax.scoring import breakdown, comparison
from ppocr_jax.scoring.comparison import Scored
from ppocr_jax.scoring.uncertainty import interval

NAME = "results.html"
PICTURES = 24  # images shown, however many there are
SIDE = 1200  # pixels of the longer side of each


def write_results(workdir, config, chosen, history, best, base, notes=()):
    """Writes `results.html` into a workdir.

    Args:
        workdir: of the run.
        config: a whole config.
        chosen: `{"hmean", "step"}` of the best state; step -1 before the first evaluation.
        history: `story.History`.
        best: `scoring.evaluation.Outcome`s of the best state; None where there are none.
        base: those of the weights that the run began with, or None.
        notes: lines to say besides.
    """
    role, step = config.best.role, chosen["step"]
    step = None if step < 0 else step
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
        **_found(config, best, base, 0 if step == 0 else None),
    )


def _name_score(role, best):
    scored = f"best hmean {best['hmean']:.4f} at step {best['step']}"
    return f"{role}, {scored if best['step'] >= 0 else 'not evaluated yet'}"


def _figures(history, role, step):
    """The large numbers: of the best state, and beside its base."""
    scored, base = history.at(role, step), history.base(role)
    figures = []
    if scored:
        names = ("hmean", "precision", "recall")
        figures = [(name, f"{scored[name]:.4f}") for name in names if name in scored]
    if scored and base:
        figures.append(("hmean of the base", f"{base['hmean']:.4f}"))
        figures.append(("gain", f"{scored['hmean'] - base['hmean']:+.4f}"))
    return figures


def _warnings(best):
    unreadable = [outcome.reason for outcome in best if outcome.reason]
    if unreadable:
        yield (
            f"{len(unreadable)} images could not be read; their words count as missed. The first: "
            f"{unreadable[0]}"
        )


def _found(config, best, base, same):
    """What the page says of images: of the best state, with the base's recall beside it."""
    if best is None:
        empty = dict.fromkeys(("kinds", "columns_note", "count"), "")
        return {**empty, "images": None, "columns": [], "colours": [], "recall": [],
                "precision": [], "legend": []}  # fmt: skip
    shown = PICTURES if config.eval.pictures else 0
    beside = [best] if base is None or same == 0 else [best, base]
    tables = [breakdown.recall_tables(outcomes) for outcomes in beside]
    columns = ["best", "base"][: len(beside)]
    return {
        "images": [mistakes.describe_image(o, SIDE) for o in mistakes.find_worst(best, shown)],
        "count": len(best),
        "kinds": f"{_judge(best, base, same)} {_explain_errors(best)}",
        "legend": mistakes.legend(),
        "colours": list(zip(columns, COLOURS, strict=False)) if len(beside) > 1 else [],
        "columns": columns if len(beside) > 1 else [""],
        "columns_note": _note_columns(base, same),
        "recall": [
            (title, breakdown.align([table[title] for table in tables]))
            for title, bins in tables[0].items()
            if bins
        ],
        "precision": breakdown.align([breakdown.precision_by_score(best)]),
    }


def _judge(best, base, same):
    """How sure the score is, and the gain."""
    low, high = interval([outcome.counts for outcome in best])
    sure = f"With other such images, hmean would most likely lie between {low:.3f} and {high:.3f}."
    if base is None or same == 0:
        return sure
    pair = comparison.pair(Scored("The best state", {}, best), Scored("its base", {}, base))
    return f"{sure} {pair.verdict()}."


def _explain_errors(outcomes):
    missed, false = (sum(c) for c in zip(*map(mistakes.count_errors, outcomes), strict=True))
    kinds = mistakes.explain_kinds(outcomes)
    return (
        f"{missed} words are missed and {false} boxes false in all{': ' if kinds else ''}{kinds}."
    )


def _note_columns(base, same):
    if same == 0:
        return "The best state is the base itself."
    if base is None:
        return "Of the best state; what its base found was not kept, or there was none."
    return "Of each pair of numbers and bars, the first is the best state, the second its base."


def _settings(config, history):
    """What the run was, by name."""
    data, start = config.data, (history.start or [{}])[-1]
    yield (
        "network",
        ", ".join(f"{role}: {_describe_network(n)}" for role, n in config.roles.items()),
    )
    yield "learns", ", ".join(config.trainable)
    for role, path in config.init_from.items():
        if path:
            yield f"weights of {role}", str(path)
    for role, report in start.get("weights", {}).items() if isinstance(start, dict) else ():
        yield f"loaded for {role}", str(report)
    yield "training images", f"{data.train} in {data.root}"
    yield "validation images", f"{data.val} in {data.root}"
    yield "steps, batch, crop", f"{config.steps or 'by epochs'}, {config.batch_size}, {config.crop}"
    warmup = f"{config.warmup_epochs:g} epochs"
    if config.get("warmup_steps"):
        warmup = f"{config.warmup_steps} steps"
    yield "rate, warm-up", f"{config.learning_rate:g}, {warmup}"
    yield "devices", str(start.get("devices", "unknown"))
    yield "version", f"ppocr_jax {__version__}, JAX {start.get('jax', 'unknown')}"


def _describe_network(network):
    return " + ".join(str(network[part].name) for part in ("backbone", "neck", "head"))


def suggest(workdir, config, step, history):
    """`(what it does, command)` for what usually comes after a run, with the real paths.

    Args:
        workdir: of the run.
        config: a whole config.
        step: of the best state, None before the first evaluation.
        history: `story.History`.
    """
    run, role = str(workdir), config.best.role
    weights = run if step is not None else f"{run}/latest"
    named = [] if len(config.roles) == 1 else ["--role", role]
    learner = role if role in config.init_from else config.trainable[0]  # of an average

    def use(name, *words):
        return _line(name, "--weights", weights, *words)

    yield (
        "find text in photos",
        use("predict", *named, "--images", "photos/", "--output", f"{run}/predicted"),
    )
    yield "a file for other tools", use("export", "--role", role, "--output", f"{run}/{role}.onnx")
    yield "for Paddle", use("extract", "--role", role, "--output", f"{run}/{role}.pdparams")
    yield "other thresholds", use("evaluate", *named, "--report", f"{run}/report")
    base = config.init_from.get(learner) or config.init_from.get("all", "")
    if base and history.base(role):
        compared = _line("compare", weights, str(base), "--report", f"{run}/compare")
        yield "against its base", compared
    saved, done = f"{run}/config.json", history.last_step()
    yield (
        "train it further",
        _line("train", "--config", saved, "--workdir", run, f"--config.steps={2 * max(done, 1)}"),
    )
    yield (
        "a new run from its best state",
        _line("train", "--config", saved, "--workdir", f"{run}-further",
              f"--config.init_from.{learner}={weights}"),
    )  # fmt: skip


def _line(name, *words):
    return building.command(name, *map(shlex.quote, words))
