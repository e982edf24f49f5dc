"""Starts commands of the checkout under test, waits for them, and says how they ended."""

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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        line: as one would type it.
        status: exit status; negative: the signal that ended it; None: it had to be ended.
        out, err: what it wrote.
        seconds: from start to end.
        cpu: seconds of processors.
        peak_mb: of resident memory, of it and those of its children that it waited for.
        left: what stayed behind: processes of its session, segments of shared memory.
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
    def lines(self):
        return [line for line in self.err.splitlines() if line.strip()]

    @property
    def errors(self):
        """The lines that say what is wrong; argparse puts the program's name before them."""
        return [line for line in self.lines if re.match(r"(\S+ ?\S*: )?error: ", line)]

    def said(self, good):
        """Lines on stderr of a form that the undisturbed command has not: something was said."""
        usual = {_form(line) for line in good.lines}
        return [line for line in self.lines if _form(line) not in usual]


def _form(line):
    return re.sub(r"hash \w+|/\S+|-?\d+(\.\d+)?(e[+-]?\d+)?|\d:\d+:\d+", "#", line)


class Running:
    """A command that was started."""

    def __init__(self, line, order):
        self.line, self._order = line, order
        self._result = pathlib.Path(order["result"])
        until = time.monotonic() + 20
        while not self._result.with_name(self._result.name + ".pid").exists():
            if time.monotonic() > until:
                raise RuntimeError("the server does not start commands any more")
            time.sleep(0.005)
        self.pid = int(self._result.with_name(self._result.name + ".pid").read_text())
        self.started = time.monotonic()

    def ended(self):
        return self._result.exists()

    def err(self):
        """What it has written to stderr so far."""
        return pathlib.Path(self._order["err"]).read_text(errors="backslashreplace")

    def until(self, condition, seconds=60):
        """Waits until `condition()` holds, or it has ended; whether it holds."""
        until = time.monotonic() + seconds
        while not condition() and not self.ended() and time.monotonic() < until:
            time.sleep(0.01)
        return condition()  # once more: it may have ended between the two questions

    def send(self, number, everybody=False):
        """Sends a signal to it; to its whole session, as a terminal does, if asked to."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if everybody else os.kill)(self.pid, number)

    def wait(self, limit, grace=0.0):
        """Its Outcome.

        Args:
            limit: seconds from its start after which it is ended.
            grace: seconds that its workers have after its end; 0: nobody looks for them.
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

    def has_mapped(self, name):
        """Whether a fresh process has loaded a library of that name.

        Until it has become the program, it is a fork of the server, which has loaded all of them.
        """
        place = pathlib.Path(f"/proc/{self.pid}")
        with contextlib.suppress(OSError):
            forked = b"server.py" in (place / "cmdline").read_bytes()
            return not forked and name in (place / "maps").read_text(encoding="utf-8")
        return False

    def segments(self):
        """Shared memory that its processes have mapped."""
        found = set()
        for pid in session(self.pid):
            with contextlib.suppress(OSError):
                maps = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
                found |= set(re.findall(r"/dev/shm/\S+", maps))
        self.seen = getattr(self, "seen", set()) | found
        return found

    def _look_behind(self, grace):
        until = time.monotonic() + grace
        while grace and time.monotonic() < until and self._rests():
            time.sleep(0.1)
        return tuple(self._rests()) if grace else ()

    def _rests(self):
        segments = [path for path in getattr(self, "seen", ()) if os.path.exists(path)]
        return [f"process {pid}" for pid in session(self.pid)] + segments


def session(number):
    """Processes of a session that live."""
    alive = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(path).read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == number and fields[0] not in "ZX":
                alive.append(int(path.split("/")[2]))
    return alive


def end_session(number):
    for pid in session(number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Server:
    """Starts commands of a checkout, see `server.py`. Use as a context manager."""

    def __init__(self, project, folder, env):
        self._project, self._folder, self._count = str(project), pathlib.Path(folder), 0
        self._env = {**env, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._running = []

    def __enter__(self):
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__).with_name("server.py"))],
            cwd=self._project, env={**os.environ, **self._env}, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            stderr=(self._folder / "server.log").open("w"),
        )  # fmt: skip
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError((self._folder / "server.log").read_text())
        self.warm = json.loads(answer)
        return self

    def __exit__(self, *_):
        for running in self._running:
            end_session(running.pid)
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def start(self, command, *argv, fresh=False, program=None, env=None, file_bytes=0):
        """Starts a command.

        Args:
            command: such as "train"; "" with `program`.
            argv: its arguments.
            fresh: in a new interpreter, whose imports belong to what is tried.
            program: any other program, in the checkout.
            env: variables besides those of the server.
            file_bytes: a file may not grow beyond this many; 0: any size.
        """
        self._count += 1
        base = str(self._folder / str(self._count))
        argv = [str(word) for word in argv]
        order = {
            "command": command, "argv": argv, "fresh": fresh, "program": program,
            "env": env or {}, "file_bytes": file_bytes,
            "out": base + ".out", "err": base + ".err", "result": base + ".result",
        }  # fmt: skip
        self._process.stdin.write(json.dumps(order) + "\n")
        head = [program] if program else ["python", "-m", f"ppocr_jax.{command}"]
        running = Running(shlex.join([*head, *argv]), order)
        self._running = [*[r for r in self._running if not r.ended()], running]
        return running
