"""CTW1500's training labels: XML with 14 points per text line in `segs`."""

import pathlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ppocr_jax.annotations.coco import pairs
from ppocr_jax.annotations.records import LabelledImage, Words
from ppocr_jax.data.labels import read_label_bytes

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job

BARE = re.compile(rb"&(?!#?\w+;)")  # the data set's texts have a plain `&` where XML needs `&amp;`


class CTW:
    """Reads CTW1500's XML, see `annotations.TEXT_FORMATS`."""

    @staticmethod
    def fits(data: bytes) -> bool:
        """Whether the first bytes of a file are such XML, after declarations and comments."""
        head = re.sub(rb"<\?.*?\?>|<!--.*?-->", b"", data, flags=re.S).lstrip()
        return head.startswith(b"<Annotations") and b"<segs" in data

    @staticmethod
    def read(paths: Iterable[pathlib.Path], job: "Job") -> Iterator[LabelledImage]:
        """Yields every image of every file."""
        for path in paths:
            data, _ = read_label_bytes(path)
            # Entities can expand without bound ("billion laughs"), so such files are not parsed.
            if b"<!ENTITY" in data or b"<!DOCTYPE" in data:
                job.findings.refuse(path, "has a DOCTYPE or entities, which label files never need")
                continue
            try:
                root = ElementTree.fromstring(BARE.sub(b"&amp;", data))
            except (ElementTree.ParseError, ValueError, LookupError) as error:
                job.findings.refuse(path, f"not valid XML ({error})")
                continue
            for image in root.iter("image"):
                yield from _read_image(image, path, job)


def _read_image(
    image: ElementTree.Element, path: pathlib.Path, job: "Job"
) -> Iterator[LabelledImage]:
    name = image.get("file") or path.stem
    try:
        image_path = job.images.find(name, path.parent)
        words = Words(path, job.findings)
        for number, box in enumerate(image.iter("box"), 1):
            _read_box(box, f"{path} box {number}", words, job)
        yield LabelledImage(name, str(path), image_path, words.finish())
    except ValueError as error:
        job.findings.refuse(path, error, name)


def _read_box(box: ElementTree.Element, where: str, words: Words, job: "Job") -> None:
    segments, label = box.findtext("segs") or "", box.findtext("label") or ""
    try:
        points = pairs(
            [float(number) for number in re.split(r"[\s,]+", segments.strip()) if number]
        )
    except ValueError as error:
        job.findings.drop(f"segs: {error}", where)
        return
    words.add(points, label.strip())
