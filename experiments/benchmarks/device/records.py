"""Saves the numbers of a run as they come, as JSON lines, and writes a page with them."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from ppocr_jax.files import write_text

NAME, PAGE = "records.jsonl", "summary.md"


class Records:
    """Appends to `records.jsonl`; a line is complete or missing.

    Args:
        folder: of the run, created if missing. Lines of an earlier run in it are kept.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / NAME
        cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if cut:
            os.write(self._file, b"\n")  # an earlier run was cut off while writing

    def add(self, kind: str, **values: Any) -> None:
        """Appends a line and waits until it is on the disk."""
        os.write(self._file, (json.dumps({"kind": kind, **values}) + "\n").encode())
        os.fsync(self._file)

    def write_page(self) -> None:
        """Rewrites `summary.md` with all records so far."""
        write_text(self.folder / PAGE, describe(read(self.folder)))


def read(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the records of the last run in a folder; lines that are cut short are skipped."""
    found: list[dict[str, Any]] = []
    for line in (pathlib.Path(folder) / NAME).read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        found = [record] if record["kind"] == "start" else [*found, record]
    return found


def describe(records: Sequence[dict[str, Any]]) -> str:
    """Returns the page: a table of the numbers, and one of the cases with how they ended."""
    start: dict[str, Any] = next((r for r in records if r["kind"] == "start"), {})
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
        lines.append(f"| {case} | the run ended during this case | |")
    if not any(r["kind"] == "done" for r in records):
        lines += ["", "This run is still going on, or it was killed."]
    return "\n".join(lines) + "\n"
