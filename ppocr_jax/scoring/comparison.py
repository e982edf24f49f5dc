"""Comparison of several models on the same images: by how much they differ, and on which images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ppocr_jax.scoring import breakdown
from ppocr_jax.scoring.breakdown import Bin
from ppocr_jax.scoring.evaluation import Outcome
from ppocr_jax.scoring.mistakes import add_counts, name_kinds
from ppocr_jax.scoring.uncertainty import Difference, paired_difference

COLUMNS = ("hmean", "precision", "recall", "found", "missed", "false", "merged", "split")


class Scored(NamedTuple):
    """The evaluation of one model.

    Attributes:
        name: of its weights, different from all others.
        metrics: see `evaluation.summary`, with `role` and `weights`.
        outcomes: one per image, in the same order for all models.
    """

    name: str
    metrics: dict[str, Any]
    outcomes: list[Outcome]

    def row(self) -> dict[str, Any]:
        """The model's numbers by the names in `COLUMNS`."""
        counts = add_counts(map(name_kinds, self.outcomes))
        return {
            **{name: self.metrics[name] for name in COLUMNS[:3]},
            "found": self.metrics["boxes_matched"],
            "missed": counts["missed"],
            "false": counts["false"],
            "merged": counts["merged_words"],
            "split": counts["split_words"],
        }


class Change(NamedTuple):
    """The difference on one image.

    Attributes:
        index: of the image.
        gained: by how many errors (missed and false) the first model has fewer; negative: more.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    gained: int


class Pair(NamedTuple):
    """The first model compared with another one.

    Attributes:
        first, other: the two models.
        difference: in hmean, positive where the first is better.
        better: images on which the first has fewer errors, largest difference first.
        worse: images on which it has more.
    """

    first: Scored
    other: Scored
    difference: Difference
    better: list[Change]
    worse: list[Change]

    def verdict(self) -> str:
        """Which model is better, by how much, and whether that is more than chance."""
        gain, low, high, _ = self.difference
        images = len(self.first.outcomes)
        if images < 2:
            doubt = "one image says nothing about others"
        elif not self.better and not self.worse:
            doubt = "no image tells them apart"
        else:
            sure = "more than chance" if self.difference.more_than_chance else "may be chance"
            doubt = f"{sure}: with other such images most likely {low:+.4f} to {high:+.4f}"
        same = images - len(self.better) - len(self.worse)
        return (
            f"{self.first.name} against {self.other.name}: hmean {gain:+.4f} ({doubt}); fewer "
            f"errors in {len(self.better)} images, more in {len(self.worse)}, as many in {same}"
        )


def pair(first: Scored, other: Scored) -> Pair:
    """Compares two models that were scored on the same images."""
    # The other model comes first, so that the gain is positive where the first model is better.
    counts = [[outcome.counts for outcome in scored.outcomes] for scored in (other, first)]
    errors = [[_count_errors(outcome) for outcome in s.outcomes] for s in (first, other)]
    changes = [Change(i, b - a) for i, (a, b) in enumerate(zip(*errors, strict=True))]
    return Pair(
        first,
        other,
        paired_difference(counts[0], counts[1]),
        sorted((c for c in changes if c.gained > 0), key=lambda c: -c.gained),
        sorted((c for c in changes if c.gained < 0), key=lambda c: c.gained),
    )


def _count_errors(outcome: Outcome) -> int:
    return outcome.matches.truth.count("missed") + outcome.matches.found.count("false")


def recall_by(scored: Sequence[Scored]) -> dict[str, list[tuple[str, list[Bin | None]]]]:
    """Recall of several models by properties of the words, side by side.

    Returns:
        `{title: [(range, one Bin or None per model)]}`, see `breakdown.recall_tables`.
    """
    tables = [breakdown.recall_tables(each.outcomes) for each in scored]
    return {
        title: breakdown.align([table[title] for table in tables])
        for title, bins in tables[0].items()
        if bins
    }


def write_table(scored: Sequence[Scored]) -> Iterator[str]:
    """The table of all models for the terminal, line by line."""
    width = max(len(each.name) for each in scored)
    yield " ".join([f"{'':{width}}", *(f"{name:>9}" for name in COLUMNS)])
    for each in scored:
        values = each.row().values()
        texts = [f"{v:9.4f}" if isinstance(v, float) else f"{v:9d}" for v in values]
        yield " ".join([f"{each.name:{width}}", *texts])


def write_sizes(scored: Sequence[Scored], title: str) -> Iterator[str]:
    """Recall of all models by one property of the words, line by line.

    Args:
        scored: the models.
        title: of the property, a key of `breakdown.recall_tables`.
    """
    rows = recall_by(scored).get(title, [])
    if not rows:
        return
    width = max(len(name) for name, _ in rows)
    yield f"{title}: recall, in the same order"
    for name, bins in rows:
        shares = " ".join(f"{bin.share:6.3f}" if bin else f"{'–':>6}" for bin in bins)
        total = next(bin.total for bin in bins if bin)
        yield f"  {name:{width}} {shares}  of {total} {'word' if total == 1 else 'words'}"


def to_json(
    pairs: Sequence[Pair], scored: Sequence[Scored], rule: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole comparison in JSON's types.

    Args:
        pairs: the first model with each of the others.
        scored: all models.
        rule: how images were resized and maps read, copied into the result.
    """
    return {
        "rule": rule,
        "weights": [{"name": s.name, **s.metrics, **s.row()} for s in scored],
        "pairs": [
            {
                "first": p.first.name,
                "other": p.other.name,
                **p.difference._asdict(),
                "more_than_chance": p.difference.more_than_chance,
                "better": [p.first.outcomes[c.index].sample.image_path for c in p.better],
                "worse": [p.first.outcomes[c.index].sample.image_path for c in p.worse],
            }
            for p in pairs
        ],
    }
