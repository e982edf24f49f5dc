"""One trial: its random numbers, its folder, its commands, and what it was made to swallow."""

import os
import pathlib
import random
import shutil
import time

from experiments.torture.judge import MORE_MB, MORE_SECONDS, judge, require


class Trial:
    """What a kind of trial is given.

    Attributes:
        rng: its random numbers, settled by seed, kind and number.
        folder: its own, empty at first.
        ground: valid inputs and what the commands make of them, see `ground.Ground`.
        input: the file or folder that was damaged or made up; a kind sets it.
        note: what was done to it, in words; a kind sets it.
        outcomes: of its commands so far.

    `patience` is the most seconds that a command may take beyond its usual ones; less in a kind
    whose commands are known to hang, so that it does not take the others' time.
    """

    def __init__(self, seed, kind, number, folder, ground, server, patience=60.0):
        self.rng = random.Random(f"{seed}/{kind}/{number}")
        self.folder, self.ground, self.server = pathlib.Path(folder), ground, server
        self.input, self.note, self.outcomes, self._patience = None, "", [], patience
        self.folder.mkdir(parents=True)

    def copy(self, name):
        """A copy of a valid input, by its name in the ground, in the trial's folder."""
        source, target = self.ground.folder / name, self.folder / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        self.input = self.input or target
        return target

    def write(self, name, data):
        """A new file of the trial's folder, which becomes its input if it has none yet."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(
            data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        )
        self.input = self.input or target
        return target

    def start(self, command, *argv, **options):
        """Starts a command; `finish` waits for it and judges it."""
        env = {"TMPDIR": str(self.folder / "tmp")} | options.pop("env", {})
        (self.folder / "tmp").mkdir(exist_ok=True)
        return self.server.start(command, *argv, env=env, **options)

    def finish(self, running, command, signals=(), within=None, grace=0.0, judged=True):
        """The judged Outcome of a command that was started.

        Args:
            running: see `start`.
            command: its name, for what it may take.
            signals: that were sent to it.
            within: seconds from now; default: 20 more than the undisturbed command takes in all.
            grace: see `Running.wait`.
            judged: whether the rules hold for it; a process that was killed follows none.
        """
        seconds, peak = self.ground.needs.get(command, (10.0, 500.0))
        if within is None:
            limit = seconds + min(MORE_SECONDS, self._patience)
        else:
            limit = time.monotonic() - running.started + min(within, self._patience)
        outcome = running.wait(limit, grace)
        self.outcomes.append(outcome)
        if judged:
            judge(outcome, command, limit, peak + MORE_MB, signals)
        return outcome

    def run(self, command, *argv, writes=(), judged=True, **options):
        """Runs a command to its end: its judged Outcome.

        Args:
            command, argv: as for `Server.start`.
            writes: files and folders that it may change; nothing else may be other than before.
            judged: whether the rules hold for it.
            options: of `Server.start`.
        """
        before = self._snapshot(writes)
        outcome = self.finish(self.start(command, *argv, **options), command, judged=judged)
        changed = before.symmetric_difference(self._snapshot(writes))
        names = sorted({os.path.relpath(path, self.folder) for path, *_ in changed})
        require(not names, f"changed what is none of its business: {', '.join(names[:3])}")
        return outcome

    def _snapshot(self, writes):
        """`{(path, size, time)}` of all in the trial's folder but what may change."""
        own = {str(path) for path in (*writes, self.folder / "tmp")}
        found = set()
        for place, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if os.path.join(place, name) not in own]
            for path in (os.path.join(place, name) for name in names):
                if path not in own:
                    facts = os.lstat(path)
                    found.add((path, facts.st_size, facts.st_mtime_ns))
        return found
