"""Unusable training records: each one is named once, and too many of them end the run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from ppocr_jax.training.records import RunLog


class Skipped:
    """The records that were skipped and replaced by others.

    Args:
        total: number of training records.
        max_share: share of them that may be unusable, `data.max_bad_share`.
        log: takes a warning and a record for each.
    """

    def __init__(self, total: int, max_share: float, log: RunLog) -> None:
        self._total, self._max_share, self._log = total, max_share, log
        self._reasons: dict[str, str] = {}  # by path

    def __len__(self) -> int:
        return len(self._reasons)

    def note(self, failures: Iterable[tuple[str, str]], step: int) -> None:
        """Takes the `(path, reason)` pairs of a batch.

        Raises:
            UserError: more records than `max_share` cannot be used.
        """
        for path, reason in failures:
            if path not in self._reasons:
                self._reasons[path] = reason
                self._log.say(f"warning: record skipped: {reason}")
                self._log.record("skipped", step, {"path": path, "reason": reason})
        if len(self) > self._max_share * self._total:
            named = "; ".join(list(self._reasons.values())[:3])
            raise UserError(
                f"{len(self)} of {self._total} training records cannot be used, more than "
                f"data.max_bad_share={self._max_share:g}: {named}"
            )
