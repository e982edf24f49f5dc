"""ICDAR 2019's JSON: ArT and LSVT have one file for all images, ReCTS one file per image."""

import functools
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ppocr_jax.annotations.coco import pairs
from ppocr_jax.annotations.gt_files import PREFIX
from ppocr_jax.annotations.records import LabelledImage, Words, is_on, says_ignored

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job


class ICDAR2019:
    """Reads ArT, LSVT and ReCTS, see `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value: Any) -> bool:
        """Whether parsed JSON is a file for all images, or for one (`lines`, perhaps `chars`)."""
        if not isinstance(value, dict) or not value:
            return False
        if "lines" in value:
            return _are_words(value["lines"]) and isinstance(value.get("chars", []), list)
        return all(map(_are_words, value.values())) and any(value.values())

    @staticmethod
    def read(value: dict[str, Any], path: pathlib.Path, job: "Job") -> Iterator[LabelledImage]:
        """Yields every image, named by the entries, or by the file itself in ReCTS."""
        if "lines" in value:
            yield from _read_image(path.stem, value["lines"], str(path), path, job)
            return
        for name, entries in value.items():
            yield from _read_image(name, entries, f"{path} {name}", path, job)


def _are_words(entries: Any) -> bool:
    return isinstance(entries, list) and all(
        isinstance(entry, dict) and "points" in entry and "transcription" in entry
        for entry in entries
    )


def _read_image(
    name: str, entries: Iterable[Mapping[str, Any]], where: str, path: pathlib.Path, job: "Job"
) -> Iterator[LabelledImage]:
    words = Words(where, job.findings)
    for number, entry in enumerate(entries, 1):
        ignored = any(says_ignored(key) and is_on(value) for key, value in entry.items())
        words.add_parts(
            functools.partial(_polygons, entry),
            f"{where} word {number}",
            entry["transcription"],
            ignored,
        )
    try:
        yield LabelledImage(name, where, _find(name, path, job), words.finish())
    except ValueError as error:
        job.findings.refuse(where, error, name)


def _polygons(entry: Mapping[str, Any]) -> list[np.ndarray]:
    return [pairs(entry["points"])]


def _find(name: str, path: pathlib.Path, job: "Job") -> str:
    """Path of the image with the entry's name, or with that name less its `gt_`."""
    try:
        return job.images.find(name, path.parent)
    except ValueError:
        if not PREFIX.match(name):
            raise
        return job.images.find(PREFIX.sub("", name), path.parent)
