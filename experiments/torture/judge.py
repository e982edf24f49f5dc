"""The rules that every trial is judged by."""

import re
import signal
from collections.abc import Callable, Sequence
from typing import Any

from experiments.torture.commands import Outcome

MORE_SECONDS, MORE_MB = 20.0, 1024.0  # allowed beyond the same command's needs on valid input
# Tracebacks and the messages of crashing libraries.
WILD = re.compile(
    r"Traceback \(most recent|terminate called|Fatal Python error|\*\*\* Check failure|"
    r"Segmentation fault|resource_tracker:|^F\d{4} ", re.MULTILINE,
)  # fmt: skip
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")
NAMES_ITS_FINDINGS = {"check_data": 1, "evaluate": 1, "predict": 1}  # their status for bad records


class Failure(Exception):
    """A trial broke a rule; the text tells which and how."""


def require(condition: Any, reason: str) -> None:
    """Raises `Failure` with this reason unless the condition holds."""
    if not condition:
        raise Failure(reason)


def is_wild(outcome: Outcome) -> str:
    """Returns output that no user should see, in one line: a traceback, a crash, a control
    character.

    "" if there is none.
    """
    text = outcome.err + outcome.out
    if found := WILD.search(text):
        last = [line for line in text[found.start() :].splitlines() if line and line[0] != " "]
        return f"{found[0]} ... {last[-1] if last else ''}"[:200]
    if found := CONTROL.search(text):
        return f"writes the control character {found[0]!r}"
    return ""


def judge(
    outcome: Outcome, command: str, limit: float, most_mb: float, signals: Sequence[int] = ()
) -> None:
    """Checks the rules that hold for every command.

    It ends in time and within its memory, leaves nothing behind, and prints no traceback and no
    control character. Its status is 0, without an `error:` line; or another one, with exactly one
    such line, as the last line.

    Args:
        outcome: of the command.
        command: its name; some have a status of their own for bad records.
        limit, most_mb: seconds and MB that it may take.
        signals: that were sent to it; for each, 128 + number is a valid status too.

    Raises:
        Failure: a rule is broken.
    """
    require(outcome.status is not None, f"still running after {limit:.0f} s")
    assert outcome.status is not None
    require(outcome.peak_mb < most_mb, f"took {outcome.peak_mb:.0f} MB of {most_mb:.0f} allowed")
    wild = is_wild(outcome)
    require(not wild, wild)
    require(not outcome.left, f"left behind: {', '.join(outcome.left[:3])}")
    if outcome.status in [128 + number for number in signals]:
        return
    if -outcome.status in signals and -outcome.status != signal.SIGINT and _has_no_work(outcome):
        return
    require(0 <= outcome.status < 128, f"status {outcome.status}: ended by a signal")
    if outcome.status == 0 or outcome.status == NAMES_ITS_FINDINGS.get(command):
        require(not outcome.errors, f"status {outcome.status} after {outcome.errors[:1]}")
        return
    count = len(outcome.errors)
    require(count == 1, f"status {outcome.status} with {count} `error:` lines")
    last = outcome.lines[-1]
    require(last == outcome.errors[0], f"the last line is not the error: {last[:150]}")


def _has_no_work(outcome: Outcome) -> bool:
    """Whether a run has nothing to lose, so that a signal may simply end it.

    Before its first update it has trained nothing; after its line `done:` all is on the disk.
    """
    return "done:" in outcome.err or not re.search(r"^step [1-9]", outcome.err, re.MULTILINE)


def require_message(outcome: Outcome, good: Outcome, digits: Callable[[Outcome], Any]) -> None:
    """Checks that results which differ from those of valid input come with a message.

    Args:
        outcome, good: of the same command, on damaged and on valid input.
        digits: returns the result of an outcome, to compare.

    Raises:
        Failure: the results differ silently.
    """
    if outcome.status == 0 and digits(outcome) != digits(good):
        require(outcome.new_messages(good), "SILENT: status 0, other values, no message")


def require_refused(outcome: Outcome, *names: object) -> None:
    """Checks that a command refused its input and named it.

    Args:
        outcome: of the command.
        names: the `error:` line must contain one of these texts; without any, every line will do.

    Raises:
        Failure: the command accepted the input, or did not name it.
    """
    require(outcome.status != 0, f"status 0 for {outcome.line[-120:]}")
    text = " ".join(outcome.errors or outcome.lines) + outcome.out
    named = not names or any(str(name) in text for name in names)
    require(named, f"names none of {', '.join(map(str, names))}: {text[:200]}")
