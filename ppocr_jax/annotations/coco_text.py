"""COCO-Text's and TextOCR's JSON: `imgs` and `anns`, both keyed by id."""

import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ppocr_jax.annotations.coco import read_image
from ppocr_jax.annotations.records import LabelledImage

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job

SHAPES = ("mask", "polygon", "points")  # keys of the outline in different releases


class COCO_TEXT:
    """Reads COCO-Text and TextOCR, see `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value: Any) -> bool:
        """Whether parsed JSON has the two mappings."""
        return (
            isinstance(value, dict)
            and isinstance(value.get("imgs"), dict)
            and isinstance(value.get("anns"), dict)
        )

    @staticmethod
    def read(value: dict[str, Any], path: pathlib.Path, job: "Job") -> Iterator[LabelledImage]:
        """Yields every image; words are assigned by their `image_id`."""
        by_image: dict[str, list[dict[str, Any]]] = {}
        for annotation in value["anns"].values():
            if not isinstance(annotation, dict):
                raise ValueError("an entry of anns is not a mapping")
            # Rewritten as a COCO annotation, so that both formats share one reader.
            word = dict(annotation)
            shape = next((annotation[k] for k in SHAPES if annotation.get(k)), None)
            if "points" in annotation and annotation.get("utf8_string") == ".":
                word["illegible"] = True  # TextOCR writes "." for a word that nobody could read
            word["segmentation"] = [shape] if isinstance(shape, list) and shape else None
            by_image.setdefault(str(annotation.get("image_id")), []).append(word)
        for key, image in value["imgs"].items():
            if not isinstance(image, dict):
                raise ValueError(f"imgs {key} is not a mapping")
            words = by_image.pop(str(key), [])
            yield from read_image(image, words, {}, f"{path} image {key}", path, job)
        for key, lost in by_image.items():
            job.findings.refuse(
                f"{path} image_id {key}", f"{len(lost)} words of an image that is not in imgs"
            )
