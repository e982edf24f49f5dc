"""The results of the runs: tables as lines of Markdown, and a plot."""

import statistics
from collections.abc import Mapping

from etils import epath

from experiments.distillation import plan
from experiments.distillation.stages import Stages
from experiments.finetune_sizes.stages import curve


def tries(stages: Stages) -> list[str]:
    """The short runs: held-out hmean by number of labels and kind of distillation."""
    lines = ["| labelled | alone | " + " | ".join(plan.TEACHINGS) + " |"]
    lines.append("| --- " * (2 + len(plan.TEACHINGS)) + "|")
    for case, teachings in plan.TRIED.items():
        tried = (plan.ALONE, *teachings)
        found = {how: f"{stages.held_out(plan.a_try(case, how)):.4f}" for how in tried}
        lines.append(row(case, *(found.get(how, "") for how in (plan.ALONE, *plan.TEACHINGS))))
    return lines


def updates(stages: Stages) -> list[str]:
    """CML against the student alone, with the same number of steps: test metrics by seed."""
    lines = [
        "| seed | alone: P, R | alone: hmean | CML: P, R | CML: hmean | gain |",
        "| --- " * 6 + "|",
    ]
    gains = []
    for seed in plan.SEEDS:
        scores = [stages.score(make(seed)) for make in (plan.alone, plan.taught)]
        gains.append(scores[1]["hmean"] - scores[0]["hmean"])
        cells = [cell for score in scores for cell in (pair(score), f"{score['hmean']:.4f}")]
        lines.append(row(seed, *cells, f"{gains[-1]:+.4f}"))
    mean, teacher = statistics.mean(gains), stages.score_teacher()["hmean"]
    lines.append(row("**mean**", "", "", "", "", f"**{mean:+.4f}**"))
    return [*lines, "", (
        f"CML gains {mean:+.4f} on average, {min(gains):+.4f} with the worst seed. "
        f"The teacher's hmean is {teacher:.4f}."
    )]  # fmt: skip


def time(stages: Stages) -> list[str]:
    """CML against the student alone, with the same training time: test hmean by seed."""
    measured = stages.ratio()
    # Rounded, so that evaluations and checkpoints divide the run evenly.
    steps = round(plan.STEPS * measured["ratio"] / 10) * 10
    lines = ["| seed | steps alone | alone: hmean | CML: hmean | gain |", "| --- " * 5 + "|"]
    gains = []
    for seed in plan.SEEDS:
        runs = plan.alone(seed, steps), plan.taught(seed)
        alone, taught = (stages.score(run)["hmean"] for run in runs)
        gains.append(taught - alone)
        lines.append(row(seed, steps, f"{alone:.4f}", f"{taught:.4f}", f"{gains[-1]:+.4f}"))
    lines.append(row("**mean**", "", "", "", f"**{statistics.mean(gains):+.4f}**"))
    return [*lines, "", (
        f"A step takes {measured['alone_s']:.2f} s alone and {measured['cml_s']:.2f} s by CML: "
        f"{measured['ratio']:.2f} times as long."
    )]  # fmt: skip


def row(*cells: object) -> str:
    """A row of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def pair(score: Mapping[str, float]) -> str:
    """Precision and recall, as text."""
    return f"{score['precision']:.4f}, {score['recall']:.4f}"


def draw_curve(stages: Stages, path: epath.PathLike) -> None:
    """Plots the held-out hmean by step of all runs with equal steps, and saves the picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6))
    for make, label, style in ((plan.alone, "alone", "C0o--"), (plan.taught, "CML", "C1o-")):
        for seed in plan.SEEDS:
            steps, values = zip(*curve(stages.train(make(seed)), plan.JUDGED), strict=True)
            axes.plot(steps, values, style, label=label if seed == plan.SEEDS[0] else None)
    axes.set(xlabel="step", ylabel="held-out hmean, averaged weights")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
