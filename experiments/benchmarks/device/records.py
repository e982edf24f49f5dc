"""Numbers of a run, kept as they come: JSON lines, and a page that is made of them."""

import json
import os
import pathlib

from ppocr_jax.files import write_text

NAME, PAGE = "records.jsonl", "summary.md"


class Records:
    """What a run has found, in `records.jsonl`; each line is there as a whole or not at all.

    Args:
        folder: of the run; made when it is missing. Lines of an earlier run there are kept.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / NAME
        cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if cut:
            os.write(self._file, b"\n")  # a power cut in an earlier run

    def add(self, kind, **values):
        """Appends a line and has it on the disk before it returns."""
        os.write(self._file, (json.dumps({"kind": kind, **values}) + "\n").encode())
        os.fsync(self._file)

    def write_page(self):
        """Makes `summary.md` anew from what there is."""
        write_text(self.folder / PAGE, describe(read(self.folder)))


def read(folder):
    """The records of the last run in a folder; a line that is cut short is left out."""
    found = []
    for line in (pathlib.Path(folder) / NAME).read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        found = [record] if record["kind"] == "start" else [*found, record]
    return found


def describe(records):
    """The page: a table of the numbers, and what did not run, with its reason."""
    start = next((r for r in records if r["kind"] == "start"), {})
    lines = [f"# {start.get('command', 'A run')}", ""]
    for machine in (r for r in records if r["kind"] == "machine"):
        facts = {k: v for k, v in machine.items() if k != "kind"}
        lines += [", ".join(f"{key} {value}" for key, value in facts.items()), ""]
    lines += ["| case | what | value |", "| --- | --- | --- |"]
    for row in (r for r in records if r["kind"] == "row"):
        lines.append(f"| {row['case']} | {row['what']} | {row['value']:.4g} {row['unit']} |")
    lines += ["", "| case | how it ended | seconds |", "| --- | --- | --- |"]
    ends = [r for r in records if r["kind"] == "end"]
    for end in ends:
        lines.append(f"| {end['case']} | {end['how']} | {end['seconds']:.0f} |")
    begun = [r["case"] for r in records if r["kind"] == "begin"]
    for case in [name for name in begun if name not in [end["case"] for end in ends]]:
        lines.append(f"| {case} | the run ended in it | |")
    if not any(r["kind"] == "done" for r in records):
        lines += ["", "This run is not at its end, or was ended from outside."]
    return "\n".join(lines) + "\n"
