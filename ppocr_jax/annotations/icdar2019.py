"""ICDAR 2019's JSON: ArT and LSVT with one file for all pictures, ReCTS with one for each."""

from ppocr_jax.annotations.coco import pairs
from ppocr_jax.annotations.gt_files import PREFIX
from ppocr_jax.annotations.records import Labelled, Words, is_set, says_ignored


class ICDAR2019:
    """See `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value):
        if not isinstance(value, dict) or not value:
            return False
        if "lines" in value:
            return _are_words(value["lines"]) and isinstance(value.get("chars", []), list)
        return all(map(_are_words, value.values())) and any(value.values())

    @staticmethod
    def read(value, path, job):
        """`Labelled` of every picture: by the names in the file, or by the file's own."""
        if "lines" in value:
            yield from _read_picture(path.stem, value["lines"], str(path), path, job)
            return
        for name, entries in value.items():
            yield from _read_picture(name, entries, f"{path} {name}", path, job)


def _are_words(entries):
    return isinstance(entries, list) and all(
        isinstance(entry, dict) and "points" in entry and "transcription" in entry
        for entry in entries
    )


def _read_picture(name, entries, where, path, job):
    words = Words(where, job.findings)
    for number, entry in enumerate(entries, 1):
        ignored = any(says_ignored(key) and is_set(value) for key, value in entry.items())
        words.add_parts(
            lambda entry=entry: [pairs(entry["points"])],
            f"{where} word {number}",
            entry["transcription"],
            ignored,
        )
    try:
        yield Labelled(name, where, _find(name, path, job), words.finish())
    except ValueError as error:
        job.findings.refuse(where, error, name)


def _find(name, path, job):
    """The picture, named as the entry is, or without the `gt_` before its name."""
    try:
        return job.pictures.find(name, path.parent)
    except ValueError:
        if not PREFIX.match(name):
            raise
        return job.pictures.find(PREFIX.sub("", name), path.parent)
