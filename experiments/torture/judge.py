"""The rules by which every trial is judged: all of them, in one place."""

import re
import signal

MORE_SECONDS, MORE_MB = 20.0, 1024.0  # than the same command takes on good input
WILD = re.compile(
    r"Traceback \(most recent|terminate called|Fatal Python error|\*\*\* Check failure|"
    r"Segmentation fault|resource_tracker:|^F\d{4} ", re.MULTILINE,
)  # fmt: skip
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")
NAMES_ITS_FINDINGS = {"check_data": 1, "evaluate": 1, "predict": 1}  # status for bad records


class Failure(Exception):
    """A trial in which a rule was broken; its text says which and how."""


def require(condition, reason):
    """Raises Failure for a broken rule."""
    if not condition:
        raise Failure(reason)


def is_wild(outcome):
    """What no user should ever see, in one line; "" when nothing of it is there."""
    text = outcome.err + outcome.out
    if found := WILD.search(text):
        last = [line for line in text[found.start() :].splitlines() if line and line[0] != " "]
        return f"{found[0]} ... {last[-1] if last else ''}"[:200]
    if found := CONTROL.search(text):
        return f"writes the control character {found[0]!r}"
    return ""


def judge(outcome, command, limit, most_mb, signals=()):
    """Raises Failure where a command did not end as every command should.

    It ends in time, within its memory, by itself, without a traceback or a control character; with
    status 0 and no line `error:`, or with another status, exactly one such line and that the last.

    Args:
        outcome: of the command.
        command: its name; some have a status of their own for bad records.
        limit, most_mb: seconds and MB that it may take.
        signals: that were sent to it: then 128 + number is a fitting status too.
    """
    require(outcome.status is not None, f"still running after {limit:.0f} s")
    require(outcome.peak_mb < most_mb, f"took {outcome.peak_mb:.0f} MB, may take {most_mb:.0f}")
    wild = is_wild(outcome)
    require(not wild, wild)
    require(not outcome.left, f"left behind: {', '.join(outcome.left[:3])}")
    if outcome.status in [128 + number for number in signals]:
        return
    if -outcome.status in signals and -outcome.status != signal.SIGINT and _is_young(outcome):
        return
    require(0 <= outcome.status < 128, f"status {outcome.status}, as by a signal")
    if outcome.status == 0 or outcome.status == NAMES_ITS_FINDINGS.get(command):
        require(not outcome.errors, f"status {outcome.status} after {outcome.errors[:1]}")
        return
    count = len(outcome.errors)
    require(count == 1, f"status {outcome.status} with {count} lines `error:`")
    last = outcome.lines[-1]
    require(last == outcome.errors[0], f"the last line is not the error: {last[:150]}")


def _is_young(outcome):
    """Whether a run has nothing yet that a signal could lose: then its usual effect is right."""
    return "step " not in outcome.err


def require_said(outcome, good, digits):
    """Raises Failure where values differ from those of good input and nothing was said.

    Args:
        outcome, good: of the same command on damaged and on good input.
        digits: `outcome -> what it gives`, to compare.
    """
    if outcome.status == 0 and digits(outcome) != digits(good):
        require(outcome.said(good), "SILENT: status 0, other values, not a word")


def require_refused(outcome, *names):
    """Raises Failure where a command took what it should refuse, or did not name it.

    Args:
        outcome: of the command.
        names: texts of which the line `error:` should hold one; none: any line will do.
    """
    require(outcome.status != 0, f"status 0 for {outcome.line[-120:]}")
    text = " ".join(outcome.errors or outcome.lines) + outcome.out
    named = not names or any(str(name) in text for name in names)
    require(named, f"names none of {', '.join(map(str, names))}: {text[:200]}")
