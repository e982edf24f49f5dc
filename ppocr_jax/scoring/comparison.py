"""Several weights on the same images: by how much they differ, and where."""

from typing import Any, NamedTuple

from ppocr_jax.scoring import breakdown
from ppocr_jax.scoring.evaluation import Outcome
from ppocr_jax.scoring.mistakes import add_counts, name_kinds
from ppocr_jax.scoring.uncertainty import Difference, paired_difference

COLUMNS = ("hmean", "precision", "recall", "found", "missed", "false", "merged", "split")


class Scored(NamedTuple):
    """What weights did.

    Attributes:
        name: of the weights, different from all others'.
        metrics: see `evaluation.summary`, with `role` and `weights`.
        outcomes: one per image, in the same order as those of the others.
    """

    name: str
    metrics: dict[str, Any]
    outcomes: list[Outcome]

    def row(self):
        """Its numbers, as `COLUMNS` names them."""
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
    """One image with one and the other weights.

    Attributes:
        index: of the image.
        gained: errors (missed and false) fewer with the first weights; below 0: more.
    """

    index: int
    gained: int


class Pair(NamedTuple):
    """The first weights against other ones.

    Attributes:
        first, other: `Scored`.
        difference: `uncertainty.Difference`, above 0 where the first are better.
        better: `Change`s of images with fewer errors, the most first.
        worse: of those with more.
    """

    first: Scored
    other: Scored
    difference: Difference
    better: list[Change]
    worse: list[Change]

    def verdict(self):
        """Which are better, by how much, and whether that is more than chance."""
        gain, low, high, _ = self.difference
        images = len(self.first.outcomes)
        if images < 2:
            doubt = "one image says nothing of others"
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


def pair(first, other):
    """`Pair` of two `Scored` on the same images."""
    counts = [[outcome.counts for outcome in scored.outcomes] for scored in (other, first)]
    errors = [[_count_errors(outcome) for outcome in s.outcomes] for s in (first, other)]
    changes = [Change(i, b - a) for i, (a, b) in enumerate(zip(*errors, strict=True))]
    return Pair(
        first,
        other,
        paired_difference(*counts),
        sorted((c for c in changes if c.gained > 0), key=lambda c: -c.gained),
        sorted((c for c in changes if c.gained < 0), key=lambda c: c.gained),
    )


def _count_errors(outcome):
    return outcome.matches.truth.count("missed") + outcome.matches.found.count("false")


def recall_by(scored):
    """`{title: [(range, [Bin or None of each weights])]}`, see `breakdown.recall_tables`."""
    tables = [breakdown.recall_tables(each.outcomes) for each in scored]
    return {
        title: breakdown.align([table[title] for table in tables])
        for title, bins in tables[0].items()
        if bins
    }


def write_table(scored):
    """The table for a terminal, in lines."""
    width = max(len(each.name) for each in scored)
    yield " ".join([f"{'':{width}}", *(f"{name:>9}" for name in COLUMNS)])
    for each in scored:
        values = each.row().values()
        texts = [f"{v:9.4f}" if isinstance(v, float) else f"{v:9d}" for v in values]
        yield " ".join([f"{each.name:{width}}", *texts])


def write_sizes(scored, title):
    """The recall of all by one property of words, in lines for a terminal."""
    rows = recall_by(scored).get(title, [])
    if not rows:
        return
    width = max(len(name) for name, _ in rows)
    yield f"{title}: recall, in the same order"
    for name, bins in rows:
        shares = " ".join(f"{bin.share:6.3f}" if bin else f"{'–':>6}" for bin in bins)
        total = next(bin.total for bin in bins if bin)
        yield f"  {name:{width}} {shares}  of {total} {'word' if total == 1 else 'words'}"


def to_json(pairs, scored, rule):
    """All of it in JSON's types."""
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
