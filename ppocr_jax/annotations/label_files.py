"""PaddleOCR's label files, as PPOCRLabel writes them: `path<TAB>[{"transcription", "points"}]`."""

from ppocr_jax.annotations.records import Labelled, Words, is_set, says_ignored
from ppocr_jax.data.labels import parse_line, read_label_bytes
from ppocr_jax.errors import UserError

STATES = "fileState.txt"  # of PPOCRLabel: which pictures somebody has confirmed


class LABEL_FILES:
    """See `annotations.TEXT_FORMATS`."""

    @staticmethod
    def fits(data):
        """Whether the first line is of this form, or at least a path, a tab and a list."""
        line = data.lstrip().partition(b"\n")[0]
        head, tab, labels = line.partition(b"\t")
        return bool(tab and head.strip()) and labels.lstrip()[:1] == b"["

    @staticmethod
    def read(paths, job):
        """`Labelled` of every line of every file."""
        for path in paths:
            states = _read_states(path.parent / STATES)
            for number, line in enumerate(read_label_bytes(path)[0].splitlines(), 1):
                if line.strip():
                    yield from _read_line(line, f"{path} line {number}", path, states, job)


def _read_line(line, where, path, states, job):
    name = ""
    try:
        name, entries = parse_line(line)
        words = Words(where, job.findings)
        for index, entry in enumerate(entries, 1):
            if not isinstance(entry, dict) or "points" not in entry:
                raise ValueError(f"label {index} lacks points")
            text = entry.get("transcription", "")
            if isinstance(text, (dict, list)):
                raise ValueError(f"label {index}: the transcription is no text")
            ignored = any(says_ignored(key) and is_set(value) for key, value in entry.items())
            words.add(entry["points"], text, ignored)
        labelled = Labelled(name, where, job.pictures.find(name, path.parent), words.finish())
    except ValueError as error:
        job.findings.refuse(where, error, name)
        return
    if states and states.get(name.strip().replace("\\", "/").rpartition("/")[2]) != "1":
        job.findings.count("pictures that fileState.txt does not confirm, taken all the same",
                           where)  # fmt: skip
    yield labelled


def _read_states(path):
    """`{name of a picture: "1" or "0"}`; empty where there is no such file."""
    try:
        lines = read_label_bytes(path)[0].decode("utf-8", "replace").splitlines()
    except UserError:
        return {}
    pairs = (line.rpartition("\t") for line in lines)
    return {
        name.strip().replace("\\", "/").rpartition("/")[2]: state.strip()
        for name, tab, state in pairs
        if tab
    }
