"""Starts commands of the checkout under test, waits for them and tells how they ended."""

import contextlib
import dataclasses
import glob
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        line: the command line.
        status: exit status; negative: the signal that ended it; None: it hung and was killed.
        out, err: what it wrote to stdout and stderr.
        seconds: from start to end.
        peak_mb: largest resident memory, of the command or a child that it waited for.
        cpu: seconds of CPU time.
        left: what it left behind: processes of its session, segments of shared memory.
    """

    line: str
    status: int | None
    out: str
    err: str
    seconds: float
    peak_mb: float
    cpu: float = 0.0
    left: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """Lines on stderr that are not blank."""
        return [line for line in self.err.splitlines() if line.strip()]

    @property
    def errors(self) -> list[str]:
        """The `error:` lines on stderr; argparse puts the program's name before them."""
        return [line for line in self.lines if re.match(r"(\S+ ?\S*: )?error: ", line)]

    def new_messages(self, good: "Outcome") -> list[str]:
        """Lines on stderr that the undisturbed command does not print, numbers and paths aside."""
        usual = {_form(line) for line in good.lines}
        return [line for line in self.lines if _form(line) not in usual]


def _form(line: str) -> str:
    """A line with its hashes, paths and numbers masked."""
    return re.sub(r"hash \w+|/\S+|-?\d+(\.\d+)?(e[+-]?\d+)?|\d:\d+:\d+", "#", line)


class Running:
    """A command that was started.

    Args:
        line: the command line.
        order: what the server was asked, see `Server.start`.

    Attributes:
        pid: of the command, which leads a session of its own.
        started: by `time.monotonic`.
        seen: segments of shared memory that it was seen to use.
    """

    def __init__(self, line: str, order: Mapping[str, Any]) -> None:
        self.seen: set[str] = set()
        self.line, self._order = line, order
        self._result = pathlib.Path(order["result"])
        until = time.monotonic() + 20
        while not self._result.with_name(self._result.name + ".pid").exists():
            if time.monotonic() > until:
                raise RuntimeError("the server no longer starts commands")
            time.sleep(0.005)
        self.pid = int(self._result.with_name(self._result.name + ".pid").read_text())
        self.started = time.monotonic()

    def ended(self) -> bool:
        """Whether the command has ended."""
        return self._result.exists()

    def err(self) -> str:
        """Returns what the command has written to stderr so far."""
        return pathlib.Path(self._order["err"]).read_text(errors="backslashreplace")

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> bool:
        """Waits until `condition()` holds or the command has ended; returns whether it holds."""
        until = time.monotonic() + seconds
        while not condition() and not self.ended() and time.monotonic() < until:
            time.sleep(0.01)
        return condition()  # again: it may have become true just before the end

    def send(self, number: int, everybody: bool = False) -> None:
        """Sends a signal to the command, or to its whole process group, as a terminal does."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if everybody else os.kill)(self.pid, number)

    def wait(self, limit: float, grace: float = 0.0) -> Outcome:
        """Waits for the command to end.

        Args:
            limit: seconds from its start after which it is killed.
            grace: seconds that its workers may take to end after it; 0: they are not checked.
        """
        late = not self.until(self.ended, limit - (time.monotonic() - self.started))
        if late:
            end_session(self.pid)
            self.until(self.ended, 10)
        left = self._look_behind(grace)
        end_session(self.pid)
        result = json.loads(self._result.read_text())
        return Outcome(
            self.line,
            None if late else result["status"],
            pathlib.Path(self._order["out"]).read_text(errors="backslashreplace"),
            self.err(),
            result["seconds"],
            result["peak_mb"],
            result["cpu"],
            left,
        )

    def has_mapped(self, name: str) -> bool:
        """Whether a new interpreter has loaded a library of that name.

        Before `exec` the process is a fork of the server, which has loaded all libraries.
        """
        place = pathlib.Path(f"/proc/{self.pid}")
        with contextlib.suppress(OSError):
            forked = b"server.py" in (place / "cmdline").read_bytes()
            return not forked and name in (place / "maps").read_text(encoding="utf-8")
        return False

    def segments(self) -> set[str]:
        """Returns the shared memory that its processes use now, and remembers it for `wait`."""
        found = set()
        for pid in session(self.pid):
            with contextlib.suppress(OSError):
                maps = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
                found |= set(re.findall(r"/dev/shm/\S+", maps))
        self.seen |= found
        return found

    def _look_behind(self, grace: float) -> tuple[str, ...]:
        """What still exists after `grace` seconds: processes and shared memory."""
        until = time.monotonic() + grace
        while grace and time.monotonic() < until and self._rests():
            time.sleep(0.1)
        return tuple(self._rests()) if grace else ()

    def _rests(self) -> list[str]:
        segments = [path for path in self.seen if os.path.exists(path)]
        return [f"process {pid}" for pid in session(self.pid)] + segments


def session(number: int) -> list[int]:
    """Returns the ids of the living processes of a session."""
    alive = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # proc(5): the name in brackets may hold anything; then state, parent, group, session.
            fields = pathlib.Path(path).read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == number and fields[0] not in "ZX":
                alive.append(int(path.split("/")[2]))
    return alive


def end_session(number: int) -> None:
    """Kills all processes of a session."""
    for pid in session(number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Server:
    """Starts commands of a checkout through `server.py`. Use as a context manager.

    Args:
        project: folder of the checkout.
        folder: for the output of commands.
        env: environment variables of all commands, besides those of this process.

    Attributes:
        warm: whether commands are forks with all imports done, not new interpreters.
    """

    def __init__(
        self, project: str | os.PathLike[str], folder: pathlib.Path, env: Mapping[str, str]
    ) -> None:
        self._project, self._folder, self._count = str(project), folder, 0
        self._env = {**env, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._running: list[Running] = []

    def __enter__(self) -> "Server":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = process = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__).with_name("server.py"))],
            cwd=self._project, env={**os.environ, **self._env}, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            stderr=(self._folder / "server.log").open("w"),
        )  # fmt: skip
        assert process.stdin and process.stdout
        self._stdin, self._stdout = process.stdin, process.stdout
        answer = self._stdout.readline()
        if not answer:
            raise RuntimeError((self._folder / "server.log").read_text())
        self.warm: bool = json.loads(answer)
        return self

    def __exit__(self, *_: object) -> None:
        for running in self._running:
            end_session(running.pid)
        self._stdin.close()  # the end of its input ends the server
        self._process.wait(20)
        self._stdout.close()

    def start(
        self,
        command: str,
        *argv: object,
        fresh: bool = False,
        program: str | None = None,
        env: Mapping[str, str] | None = None,
        file_bytes: int = 0,
    ) -> Running:
        """Starts a command.

        Args:
            command: such as "train"; "" with `program`.
            argv: its arguments.
            fresh: whether in a new interpreter, so that its imports are part of the test.
            program: another program to run in the checkout instead.
            env: environment variables besides those of the server.
            file_bytes: largest size of a file that it writes; 0: no limit.
        """
        self._count += 1
        base = str(self._folder / str(self._count))
        words = [str(word) for word in argv]
        order = {
            "command": command, "argv": words, "fresh": fresh, "program": program,
            "env": env or {}, "file_bytes": file_bytes,
            "out": base + ".out", "err": base + ".err", "result": base + ".result",
        }  # fmt: skip
        self._stdin.write(json.dumps(order) + "\n")
        head = [program] if program else ["python", "-m", f"ppocr_jax.{command}"]
        running = Running(shlex.join([*head, *words]), order)
        self._running = [*[r for r in self._running if not r.ended()], running]
        return running
