"""Training records that could not be used: named once each, and a run's end when they are many."""

from ppocr_jax.errors import UserError


class Skipped:
    """The records that were replaced by others.

    Args:
        total: training records in all.
        max_share: of them that may be unusable, `data.max_bad_share`.
        log: `RunLog`.
    """

    def __init__(self, total, max_share, log):
        self._total, self._max_share, self._log = total, max_share, log
        self._reasons = {}  # by path

    def __len__(self):
        return len(self._reasons)

    def note(self, failures, step):
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
