"""PaddleOCR's label files, as PPOCRLabel writes them: `path<TAB>[{"transcription", "points"}]`."""

import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ppocr_jax.annotations.records import LabelledImage, Words, is_on, says_ignored
from ppocr_jax.data.labels import parse_line, read_label_bytes
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job

STATES = "fileState.txt"  # PPOCRLabel's list of the images that a person has confirmed


class LABEL_FILES:
    """Reads PaddleOCR's label files, see `annotations.TEXT_FORMATS`."""

    @staticmethod
    def fits(data: bytes) -> bool:
        """Whether the first line has a path, a tab and the start of a list."""
        line = data.lstrip().partition(b"\n")[0]
        head, tab, labels = line.partition(b"\t")
        return bool(tab and head.strip()) and labels.lstrip()[:1] == b"["

    @staticmethod
    def read(paths: Iterable[pathlib.Path], job: "Job") -> Iterator[LabelledImage]:
        """Yields the image of every line of every file."""
        for path in paths:
            states = _read_states(path.parent / STATES)
            for number, line in enumerate(read_label_bytes(path)[0].splitlines(), 1):
                if line.strip():
                    yield from _read_line(line, f"{path} line {number}", path, states, job)


def _read_line(
    line: bytes, where: str, path: pathlib.Path, states: Mapping[str, str], job: "Job"
) -> Iterator[LabelledImage]:
    name = ""
    try:
        name, entries = parse_line(line)
        words = Words(where, job.findings)
        for index, entry in enumerate(entries, 1):
            if not isinstance(entry, dict) or "points" not in entry:
                raise ValueError(f"label {index} lacks points")
            text = entry.get("transcription", "")
            if isinstance(text, (dict, list)):
                raise ValueError(f"label {index}: the transcription is not text")
            ignored = any(says_ignored(key) and is_on(value) for key, value in entry.items())
            words.add(entry["points"], text, ignored)
        labelled = LabelledImage(name, where, job.images.find(name, path.parent), words.finish())
    except ValueError as error:
        job.findings.refuse(where, error, name)
        return
    if states and states.get(_last_part(name)) != "1":
        job.findings.count("images that fileState.txt does not confirm, used anyway", where)
    yield labelled


def _read_states(path: pathlib.Path) -> dict[str, str]:
    """`{file name of an image: "1" or "0"}`; empty if there is no such file."""
    try:
        lines = read_label_bytes(path)[0].decode("utf-8", "replace").splitlines()
    except UserError:
        return {}
    parts = (line.rpartition("\t") for line in lines)
    return {_last_part(name): state.strip() for name, tab, state in parts if tab}


def _last_part(name: str) -> str:
    """The file name of a path, which may use backslashes."""
    return name.strip().replace("\\", "/").rpartition("/")[2]
