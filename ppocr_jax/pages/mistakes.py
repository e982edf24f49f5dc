"""Draws what became of each label and each box: found, missed, merged, split or false."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError
from ppocr_jax.pages.building import data_address
from ppocr_jax.scoring.mistakes import Kinds, add_counts, explain, name_kinds

if TYPE_CHECKING:
    from ppocr_jax.scoring.evaluation import Outcome  # imports JAX

PICTURE_SIDE = 1400  # pixels of the longer side of a picture
LARGEST_SCALE = 4  # by which a small image is enlarged
MOST_NAMES = 80  # with more errors in an image, their names would only cover it
# "label" or "found" (a box) with what became of it -> colour (RGB) and line width. They are drawn
# in this order, so that errors lie on top. Colour-blind people can tell the colours apart too.
STYLES = {
    "label ignored": ((150, 150, 150), 1),
    "found ignored": ((150, 150, 150), 1),
    "label matched": ((0, 158, 115), 1),
    "found matched": ((86, 180, 233), 1),
    "found split": ((0, 60, 255), 2),
    "found merged": ((204, 71, 187), 2),
    "found false": ((240, 228, 66), 2),
    "label split": ((130, 160, 255), 2),
    "label merged": ((230, 130, 0), 2),
    "label missed": ((213, 20, 20), 2),
}
LEGEND = {
    "label matched": "label, found",
    "label missed": "label, missed",
    "label merged": "label, missed: merged with another",
    "label split": "label, missed: split",
    "found matched": "box on a label",
    "found false": "false box",
    "found merged": "false box: merges several labels",
    "found split": "false box: one piece of a label",
    "label ignored": "ignored label, or a box inside one",
}


def legend() -> list[tuple[str, str]]:
    """`[(text, CSS colour)]` for a page."""
    return [(text, "rgb({}, {}, {})".format(*STYLES[style][0])) for style, text in LEGEND.items()]


def count_errors(outcome: "Outcome") -> tuple[int, int]:
    """`(missed, false)` of an image."""
    return outcome.matches.truth.count("missed"), outcome.matches.found.count("false")


def find_worst(outcomes: "Sequence[Outcome]", count: int) -> "list[Outcome]":
    """At most `count` images with the most errors, the worst first; none without an error."""
    wrong = [outcome for outcome in outcomes if sum(count_errors(outcome))]
    return sorted(wrong, key=lambda outcome: -sum(count_errors(outcome)))[:count]


def explain_kinds(outcomes: "Sequence[Outcome]") -> str:
    """A sentence on what was merged and split in all images; "" if nothing was."""
    return explain(add_counts(map(name_kinds, outcomes)))


def describe_image(outcome: "Outcome", side: int = PICTURE_SIDE) -> dict[str, Any]:
    """The variables of one image on a page.

    Args:
        outcome: of the image.
        side: pixels of the longer side of its picture.

    Returns:
        `path`, `missed`, `false`, `kinds` (a sentence), `counts`, `size`, `network_size`, and the
        URL `address` of its picture, which is "" with a `reason` if the image cannot be read.
    """
    kinds = name_kinds(outcome)
    missed, false = count_errors(outcome)
    try:
        drawn = draw_errors(outcome, kinds, side)
        picture = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        address, reason = data_address("jpeg", picture.tobytes()), ""
    except UserError as error:
        address, reason = "", str(error)
    return {
        "path": outcome.sample.image_path,
        "missed": missed,
        "false": false,
        "kinds": explain(kinds.count()),
        "counts": outcome.counts,
        "size": outcome.size,
        "network_size": outcome.network_size,
        "address": address,
        "reason": reason,
    }


def draw_errors(outcome: "Outcome", kinds: Kinds, side: int = PICTURE_SIDE) -> np.ndarray:
    """The image with its labels and boxes, at a size that suits a page.

    Args:
        outcome: of the image.
        kinds: what became of its labels and boxes.
        side: pixels of the longer side.

    Returns:
        uint8 `[H, W, 3]` BGR.

    Raises:
        UserError: the image cannot be read.
    """
    return read_image(outcome.sample.image_path, lambda i: _draw_errors(i, outcome, kinds, side))


def _draw_errors(image: np.ndarray, outcome: "Outcome", kinds: Kinds, side: int) -> np.ndarray:
    scale = min(side / max(image.shape[:2]), LARGEST_SCALE)
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(image, size, interpolation=method)
    # Outlines first and names last, so that no outline covers a name.
    named = []
    for style, (colour, width) in STYLES.items():
        for kind, polygon, text in _polygons(outcome, kinds):
            if kind.replace("left out", "ignored") == style:  # neither of the two counts
                points = np.round(np.asarray(polygon) * scale).astype(np.int32)
                cv2.polylines(image, [points], True, colour[::-1], width, cv2.LINE_AA)
                named += [(points, text, colour)] if text else []
    if len(named) <= MOST_NAMES:
        for points, text, colour in named:
            _write_name(image, points, text, colour)
    return image


def _polygons(outcome: "Outcome", kinds: Kinds) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yields `(kind, polygon, name)` of every label and box; only errors have a name to write."""
    for status, polygon in zip(kinds.truth, outcome.sample.polygons, strict=True):
        name = status if status in ("missed", "merged", "split") else ""
        yield f"label {status}", polygon, name
    boxes = zip(kinds.found, outcome.polygons, outcome.scores, strict=True)
    for status, polygon, score in boxes:
        name = f"{status} {score:.2f}" if status in ("false", "merged", "split") else ""
        yield f"found {status}", polygon, name


def _write_name(
    image: np.ndarray, points: np.ndarray, text: str, colour: tuple[int, int, int]
) -> None:
    """Writes a name on a patch of its colour (RGB): above a label, below a box."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    over = " " not in text  # only the name of a box has a score
    x, y = points[:, 0].min(), points[:, 1].min() - 4 if over else points[:, 1].max() + height + 4
    x = int(min(max(x, 1), max(1, image.shape[1] - width - 1)))
    y = int(min(max(y, height + 1), max(height + 1, image.shape[0] - below)))
    ground = (x - 1, y - height - 1), (x + width, y + below - 1)
    cv2.rectangle(image, *ground, colour[::-1], -1)
    ink = (0, 0, 0) if sum(colour) > 380 else (255, 255, 255)  # black on bright patches
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1, cv2.LINE_AA)
