"""COCO-Text's own JSON, and TextOCR's: `imgs` and `anns` by id."""

from ppocr_jax.annotations.coco import read_picture

SHAPES = ("mask", "polygon", "points")


class COCO_TEXT:
    """See `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value):
        return (
            isinstance(value, dict)
            and isinstance(value.get("imgs"), dict)
            and isinstance(value.get("anns"), dict)
        )

    @staticmethod
    def read(value, path, job):
        """`Labelled` of every picture; the words are those of `imgToAnns`, or by `image_id`."""
        by_image = {}
        for annotation in value["anns"].values():
            if not isinstance(annotation, dict):
                raise ValueError("an entry of anns is no mapping")
            word = dict(annotation)
            shape = next((annotation[k] for k in SHAPES if annotation.get(k)), None)
            if "points" in annotation and annotation.get("utf8_string") == ".":
                word["illegible"] = True  # what TextOCR writes where nobody could read a word
            word["segmentation"] = [shape] if isinstance(shape, list) and shape else None
            by_image.setdefault(str(annotation.get("image_id")), []).append(word)
        for key, image in value["imgs"].items():
            if not isinstance(image, dict):
                raise ValueError(f"imgs {key} is no mapping")
            words = by_image.pop(str(key), [])
            yield from read_picture(image, words, {}, f"{path} image {key}", path, job)
        for key, lost in by_image.items():
            job.findings.refuse(f"{path} image_id {key}", f"{len(lost)} words of no image in imgs")
