"""One trial: its random numbers, its folder, its input and its commands."""

import os
import pathlib
import random
import shutil
import time
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.torture.commands import Outcome, Running, Server
from experiments.torture.judge import MORE_MB, MORE_SECONDS, judge, require
from experiments.torture.valid import ValidInputs


class Trial:
    """One trial, as a function of `kinds` gets it.

    Args:
        seed, kind, number: determine the random numbers.
        folder: to create for the trial.
        valid: valid inputs, and how undisturbed commands behave on them.
        server: starts the commands.
        patience: most seconds that a command may take beyond its usual time. It is short for kinds
            whose commands are known to hang, so that they do not use up the time of the others.

    Attributes:
        rng: random numbers.
        input: the damaged or invented file or folder; set by the kind.
        note: what was done to it, in words; set by the kind.
        outcomes: of the commands so far.
    """

    def __init__(
        self,
        seed: int,
        kind: str,
        number: int,
        folder: str | os.PathLike[str],
        valid: ValidInputs,
        server: Server,
        patience: float = 60.0,
    ) -> None:
        self.rng = random.Random(f"{seed}/{kind}/{number}")
        self.folder, self.valid, self.server = pathlib.Path(folder), valid, server
        self.input: pathlib.Path | None = None
        self.note, self._patience = "", patience
        self.outcomes: list[Outcome] = []
        self.folder.mkdir(parents=True)

    def copy(self, name: str) -> pathlib.Path:
        """Copies a valid input into the folder; it becomes the input if there is none yet."""
        source, target = self.valid.folder / name, self.folder / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        self.input = self.input or target
        return target

    def write(self, name: str, data: str | bytes) -> pathlib.Path:
        """Writes a file into the folder; it becomes the input if there is none yet."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(
            data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        )
        self.input = self.input or target
        return target

    def start(self, command: str, *argv: object, **options: Any) -> Running:
        """Starts a command; the arguments are those of `Server.start`."""
        env = {"TMPDIR": str(self.folder / "tmp")} | options.pop("env", {})
        (self.folder / "tmp").mkdir(exist_ok=True)
        return self.server.start(command, *argv, env=env, **options)

    def finish(
        self,
        running: Running,
        command: str,
        signals: Sequence[int] = (),
        within: float | None = None,
        grace: float = 0.0,
        judged: bool = True,
    ) -> Outcome:
        """Waits for a command to end, and judges it.

        Args:
            running: from `start`.
            command: its name, which tells what it may need.
            signals: that were sent to it.
            within: seconds from now in which it must end; None: in the time of the undisturbed
                command and 20 s more, from its start.
            grace: see `Running.wait`.
            judged: whether the rules apply; not to a killed process.

        Raises:
            Failure: a rule is broken.
        """
        seconds, peak = self.valid.needs.get(command, (10.0, 500.0))
        if within is None:
            limit = seconds + min(MORE_SECONDS, self._patience)
        else:
            limit = time.monotonic() - running.started + min(within, self._patience)
        outcome = running.wait(limit, grace)
        self.outcomes.append(outcome)
        if judged:
            judge(outcome, command, limit, peak + MORE_MB, signals)
        return outcome

    def run(
        self,
        command: str,
        *argv: object,
        writes: Iterable[os.PathLike[str]] = (),
        judged: bool = True,
        **options: Any,
    ) -> Outcome:
        """Runs a command to its end, judges it, and checks that it changed nothing else.

        Args:
            command, argv, options: see `Server.start`.
            writes: files and folders that it may change.
            judged: whether the rules of commands apply.

        Raises:
            Failure: a rule is broken.
        """
        writes = tuple(writes)
        before = self._snapshot(writes)
        outcome = self.finish(self.start(command, *argv, **options), command, judged=judged)
        changed = before.symmetric_difference(self._snapshot(writes))
        names = sorted({os.path.relpath(path, self.folder) for path, *_ in changed})
        require(not names, f"changed files it must not touch: {', '.join(names[:3])}")
        return outcome

    def _snapshot(self, writes: Iterable[os.PathLike[str]]) -> set[tuple[str, int, int]]:
        """`{(path, size, time)}` of the folder's files, except those that may change."""
        own = {str(path) for path in (*writes, self.folder / "tmp")}
        found = set()
        for place, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if os.path.join(place, name) not in own]
            for path in (os.path.join(place, name) for name in names):
                if path not in own:
                    facts = os.lstat(path)
                    found.add((path, facts.st_size, facts.st_mtime_ns))
        return found
