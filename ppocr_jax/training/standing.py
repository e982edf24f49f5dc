"""Compares an evaluation with that of the initial weights (the base) and the best so far. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ppocr_jax.scoring.uncertainty import Difference, paired_difference

if TYPE_CHECKING:
    from ppocr_jax.training.progress import Progress


class Standing(NamedTuple):
    """How the score of one role compares.

    Attributes:
        base: difference to the score before the first update; None for that score itself, and if
            there was none.
        base_hmean: the score before the first update; -1 without one.
        best_hmean: of the best earlier evaluation; -1 if there is none.
        best_step: of that evaluation; -1 if there is none.
        unlike: whether the base was scored with other sizes or thresholds.
    """

    base: Difference | None = None
    base_hmean: float = -1.0
    best_hmean: float = -1.0
    best_step: int = -1
    unlike: bool = False

    @classmethod
    def of(
        cls,
        progress: Progress,
        role: str,
        counts: Sequence[Any],
        is_best_role: bool,
        settings: str = "",
    ) -> Standing:
        """Compares a new evaluation.

        Args:
            progress: before it notes this evaluation.
            role: the role.
            counts: per validation image, see `evaluation.count_images`.
            is_best_role: whether this role selects the best state.
            settings: see `verdict.scoring_settings`.
        """
        standing, known = cls(), progress.base.get("counts", {}).get(role)
        unlike = progress.base.get("settings", settings) != settings
        # Scores at other sizes or thresholds cannot be compared, nor can other validation images.
        if unlike:
            standing = cls(unlike=True)
        elif known and len(known) == len(counts) and progress.step > progress.base["step"]:
            difference = paired_difference(known, counts)
            standing = cls(difference, progress.base["hmean"][role])
        if is_best_role and progress.best["step"] >= 0:
            standing = standing._replace(
                best_hmean=progress.best["hmean"], best_step=progress.best["step"]
            )
        return standing

    def words(self, hmean: float) -> str:
        """The comparison for the end of a line; "" if there is nothing to compare with."""
        parts = []
        if self.unlike:
            parts.append("the base was scored with other eval or postprocess values")
        if self.base is not None:
            parts.append(f"{describe_gain(self.base)} to the base's {self.base_hmean:.4f}")
        # If the base is the best so far, the difference to it is there already.
        if self.best_step >= 0 and not (self.base is not None and self.best_step == 0):
            parts.append(
                f"{hmean - self.best_hmean:+.4f} to the best so far, {self.best_hmean:.4f} at "
                f"step {self.best_step}"
            )
        return "".join(f"; {part}" for part in parts)

    def figures(self, hmean: float) -> dict[str, float]:
        """The comparison for a record; {} if there is nothing to compare with."""
        figures: dict[str, float] = {}
        if self.base is not None:
            base = self.base
            figures |= {"base_gain": base.gain, "base_gain_low": base.low,
                        "base_gain_high": base.high}  # fmt: skip
        if self.best_step >= 0:
            figures["best_gain"] = hmean - self.best_hmean
        return figures


def note_standing(
    progress: Progress,
    role: str,
    counts: Mapping[str, Any],
    standing: Standing,
    settings: str = "",
) -> None:
    """Adds what later evaluations need to `progress`, which has just noted an evaluation.

    Args:
        progress: of the run.
        role: the role that selects the best state.
        counts: per validation image, by role; stored as the base before the first update.
        standing: of that role.
        settings: see `Standing.of`.
    """
    if progress.step == 0:
        scores = {role: scored["hmean"] for role, scored in progress.metrics.items()}
        counts = dict(counts)
        progress.base = {"step": 0, "hmean": scores, "counts": counts, "settings": settings}
    if progress.best["step"] == progress.step:
        scored = progress.metrics[role]
        progress.best |= {"low": scored["hmean_low"], "high": scored["hmean_high"]}
        if standing.base is not None:
            progress.best["gain"] = list(standing.base)


def describe_gain(difference: Difference) -> str:
    """Formats a difference: `+0.0312 (95 %: -0.010 to +0.071, may be chance)`."""
    verdict = "more than chance" if difference.more_than_chance else "may be chance"
    if difference.low == difference.high == 0:
        verdict = "no difference"
    return (
        f"{difference.gain:+.4f} (95 %: {difference.low:+.3f} to {difference.high:+.3f}, {verdict})"
    )


def describe_best(progress: Progress, role: str) -> str:
    """The result of the whole run, for its last line.

    Args:
        progress: of a run that was evaluated at least once.
        role: the role that selects the best state.
    """
    best = progress.best
    text = f"best hmean {best['hmean']:.4f} at step {best['step']}"
    if "low" in best:
        text += f" (95 %: {best['low']:.3f} to {best['high']:.3f})"
    base = progress.base.get("hmean", {}).get(role)
    if gained_nothing(progress, role):
        return f"{text}, not above the {base:.4f} of the initial weights: nothing was gained"
    if base is None or "gain" not in best:
        return text
    return f"{text}, {describe_gain(Difference(*best['gain']))} to the base's {base:.4f}"


def gained_nothing(progress: Progress, role: str) -> bool:
    """Whether updates were made and no evaluation exceeded that of the initial weights."""
    base = progress.base.get("hmean", {}).get(role)
    return base is not None and progress.step > 0 and progress.best["hmean"] <= base
