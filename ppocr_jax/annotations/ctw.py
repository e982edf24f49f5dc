"""CTW1500's training labels: XML with 14 points per text line in `segs`."""

import re
import xml.etree.ElementTree as ElementTree

from ppocr_jax.annotations.coco import pairs
from ppocr_jax.annotations.records import Labelled, Words
from ppocr_jax.data.labels import read_label_bytes

BARE = re.compile(rb"&(?!#?\w+;)")  # as texts have it, where XML wants `&amp;`


class CTW:
    """See `annotations.TEXT_FORMATS`."""

    @staticmethod
    def fits(data):
        head = re.sub(rb"<\?.*?\?>|<!--.*?-->", b"", data, flags=re.S).lstrip()
        return head.startswith(b"<Annotations") and b"<segs" in data

    @staticmethod
    def read(paths, job):
        for path in paths:
            data, _ = read_label_bytes(path)
            if b"<!ENTITY" in data or b"<!DOCTYPE" in data:  # which can unfold without bound
                job.findings.refuse(path, "has a DOCTYPE or entities, which label files have not")
                continue
            try:
                root = ElementTree.fromstring(BARE.sub(b"&amp;", data))
            except (ElementTree.ParseError, ValueError, LookupError) as error:
                job.findings.refuse(path, f"is no XML ({error})")
                continue
            for image in root.iter("image"):
                yield from _read_image(image, path, job)


def _read_image(image, path, job):
    name = image.get("file") or path.stem
    try:
        picture = job.pictures.find(name, path.parent)
        words = Words(path, job.findings)
        for number, box in enumerate(image.iter("box"), 1):
            _read_box(box, f"{path} box {number}", words, job)
        yield Labelled(name, str(path), picture, words.finish())
    except ValueError as error:
        job.findings.refuse(path, error, name)


def _read_box(box, where, words, job):
    segments, label = box.findtext("segs") or "", box.findtext("label") or ""
    try:
        points = pairs(
            [float(number) for number in re.split(r"[\s,]+", segments.strip()) if number]
        )
    except ValueError as error:
        job.findings.drop(f"segs: {error}", where)
        return
    words.add(points, label.strip())
