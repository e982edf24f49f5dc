"""What a power cut leaves: a record of what a program asked of the disk, replayed to any point.

The record is made by `strace`. After a cut a file holds what was last synced and a folder the names
that were; what came later may be there, or not, or in part.
"""

import collections
import os
import pathlib
import re
import subprocess

CALLS = (
    "openat,open,creat,lseek,write,pwrite64,writev,pwritev,ftruncate,rename,renameat,renameat2,"
    "mkdir,mkdirat,unlink,unlinkat,rmdir,fsync,fdatasync,link,linkat,copy_file_range,sendfile"
)
UNKNOWN = ("pwritev", "link", "linkat", "copy_file_range", "sendfile")
LINE = re.compile(r"^(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+)(?:<([^>]*)>)?")
ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
Event = collections.namedtuple("Event", "time call arguments result place")


class Node:
    """A file or a folder: what it holds, and what of that is on the disk."""

    def __init__(self, folder):
        self.now, self.disk = ({}, {}) if folder else (b"", b"")

    def sync(self):
        self.disk = dict(self.now) if isinstance(self.now, dict) else self.now


def record(command, log, **kwargs):
    """Runs a command; its events in order, see `Disk`."""
    strace = ["strace", "-ff", "-ttt", "-y", "-xx", "-s", "10000000", "-e", f"trace={CALLS}", "-o"]
    done = subprocess.run([*strace, str(log), *command], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stderr[-2000:]
    events = []
    for path in log.parent.glob(log.name + ".*"):
        for line in path.read_text().splitlines():
            match = LINE.match(line)
            if match and int(match[4]) >= 0:
                place = os.fsdecode(_bytes(match[5] or ""))
                events.append(Event(float(match[1]), match[2], match[3], int(match[4]), place))
    return sorted(events)


def written(event):
    """The bytes of a call that writes."""
    return b"".join(map(_bytes, re.findall(r'"([^"]*)"', event.arguments)))[: event.result]


class Disk:
    """A folder as a program changes it, event by event."""

    def __init__(self, root):
        self.root, self.top = pathlib.Path(root), Node(folder=True)
        self.positions = {}  # by number and path: threads reuse the numbers of closed files

    def apply(self, event):
        """Follows one event; returns whether it has to do with the folder."""
        call, places, paths = event.call, _places(event.arguments), _paths(event.arguments)
        if call in ("openat", "open", "creat"):
            return self._open(event, paths[0])
        if call.startswith(("mkdir", "unlink", "rmdir", "rename")):
            return self._names(event, paths)
        node = self._find(places[0]) if places else None
        if node is None:
            return False
        assert call not in UNKNOWN, event
        number = int(event.arguments.partition("<")[0]), places[0]
        if call in ("fsync", "fdatasync"):
            node.sync()
        elif call == "ftruncate":
            size = int(event.arguments.rpartition(",")[2])
            node.now = node.now[:size].ljust(size, b"\0")
        elif call == "lseek":
            self.positions[number] = event.result
        else:
            data = written(event)
            at = self.positions[number]
            if call == "pwrite64":
                at = int(event.arguments.rpartition(",")[2])
            elif at is None:  # appends
                at = len(node.now)
            else:
                self.positions[number] = at + len(data)
            node.now = node.now[:at].ljust(at, b"\0") + data + node.now[at + len(data) :]
        return call != "lseek"

    def _open(self, event, path):
        folder, name = self._parent(path)
        if folder is None or "O_DIRECTORY" in event.arguments:
            return False
        self.positions[event.result, event.place] = None if "O_APPEND" in event.arguments else 0
        new = name not in folder.now
        if new:
            folder.now[name] = Node(folder=False)
        cut = "O_TRUNC" in event.arguments and bool(folder.now[name].now)
        if cut:
            folder.now[name].now = b""
        return new or cut

    def _names(self, event, paths):
        folder, name = self._parent(paths[0])
        if folder is None:
            return False
        if event.call.startswith("mkdir"):
            folder.now[name] = Node(folder=True)
            return True
        node = folder.now.pop(name)
        if event.call.startswith("rename"):
            target, new = self._parent(paths[1])
            if "RENAME_EXCHANGE" in event.arguments:
                folder.now[name] = target.now[new]
            target.now[new] = node
        return True

    def _parent(self, path):
        path = pathlib.Path(path)
        folder = self._find(path.parent)
        return (folder, path.name) if folder and isinstance(folder.now, dict) else (None, None)

    def _find(self, path):
        try:
            parts = pathlib.Path(path).relative_to(self.root).parts
        except ValueError:
            return None
        node = self.top
        for part in parts:
            node = node.now.get(part) if isinstance(node.now, dict) else None
            if node is None:
                return None
        return node

    def leave(self, target, kind):
        """Writes what a cut leaves to `target`.

        Args:
            target: folder to make.
            kind: "lost", nothing but what was synced; "named", the names as they were last and of
                the files what was synced; "torn", the names, and half of what came after that.
        """
        _leave(self.top, pathlib.Path(target), kind)


def _leave(node, path, kind):
    if isinstance(node.now, dict):
        path.mkdir()
        for name, child in (node.disk if kind == "lost" else node.now).items():
            _leave(child, path / name, kind)
    elif kind == "torn":
        kept = len(node.disk) if node.now.startswith(node.disk) else 0
        path.write_bytes(node.now[: (kept + len(node.now)) // 2 if kept < len(node.now) else kept])
    else:
        path.write_bytes(node.disk)


def _places(arguments):
    """Paths of the open files that a call names."""
    return [os.fsdecode(_bytes(text)) for text in re.findall(r"<([^>]*)>", arguments)]


def _paths(arguments):
    """Paths that a call names, relative ones below the open folder beside them."""
    pairs = re.findall(r'(?:<([^>]*)>, )?"([^"]*)"', arguments)
    return [os.path.join(*(os.fsdecode(_bytes(text)) for text in pair)) for pair in pairs]


def _bytes(text):
    return ESCAPED.sub(lambda m: bytes([int(m[1], 16)]), text.encode())
