"""Draws the labels of an image and the targets of a training crop. Arrays in, arrays out."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

LABEL_SIDE = 1100  # pixels of the longer side of a picture with labels
LARGEST_SCALE = 4  # by which a small image is enlarged
PANEL_SIDE = 420  # pixels of each of the three panels of a crop
GAP = 6  # pixels between panels
# Kind of label -> colour (RGB), drawn in this order, so that problems lie on top.
COLOURS = {
    "ignored": (204, 121, 167),
    "word": (0, 190, 120),
    "small": (230, 159, 0),
    "faulty": (213, 20, 20),
}
LEGEND = {
    "word": "words",
    "ignored": "ignored (*, ###)",
    "small": "too small in at least half of their crops, or for evaluation",
    "faulty": "faulty outline",
}
SHRINK, MASKED = (0, 230, 120), (204, 40, 160)  # RGB
CROP_LEGEND = {
    "shrink map: text": SHRINK,
    "masked out: ignored or too small": MASKED,
    "threshold map, far from a text edge": (66, 10, 104),
    "threshold map, on a text edge": (252, 255, 164),
}


def draw_labels(
    image: np.ndarray, polygons: Sequence[np.ndarray], kinds: Sequence[str]
) -> np.ndarray:
    """An image with its labels, at a size that suits a page.

    Args:
        image: uint8 `[H, W, 3]` BGR.
        polygons: `[P, 2]` each, in its pixels.
        kinds: a key of `COLOURS` for each polygon.

    Returns:
        uint8 `[h, w, 3]` BGR.
    """
    scale = min(LABEL_SIDE / max(image.shape[:2]), LARGEST_SCALE)
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    # Area averaging avoids aliasing when shrinking; cubic is smooth when enlarging.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(image, size, interpolation=method)
    for kind, colour in COLOURS.items():
        outlines = [
            np.round(np.asarray(polygon) * scale).astype(np.int32)
            for polygon, own in zip(polygons, kinds, strict=True)
            if own == kind
        ]
        # A black border keeps the line visible on any background.
        cv2.polylines(image, outlines, True, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.polylines(image, outlines, True, colour[::-1], 2, cv2.LINE_AA)
    return image


def draw_crop(example: Mapping[str, np.ndarray]) -> np.ndarray:
    """A training crop in three panels: plain, with its shrink map, with its threshold map.

    Args:
        example: `image`, uint8 `[S, S, 3]` BGR, and the four maps `[S, S]`, see `data.examples`.

    Returns:
        uint8 `[PANEL_SIDE, 3 * PANEL_SIDE + 2 * GAP, 3]` BGR.
    """
    image = example["image"]
    panels = [image, lay_shrink_map(example), lay_threshold_map(example)]
    size = (PANEL_SIDE, PANEL_SIDE)
    gap = np.full((PANEL_SIDE, GAP, 3), 255, np.uint8)
    small = [cv2.resize(panel, size, interpolation=cv2.INTER_AREA) for panel in panels]
    return np.concatenate([small[0], gap, small[1], gap, small[2]], axis=1)


def lay_shrink_map(example: Mapping[str, np.ndarray]) -> np.ndarray:
    """The crop, darkened, under its shrink map and what is masked out; uint8 `[S, S, 3]` BGR."""
    ground = _dim(example["image"])
    ground = _blend(ground, example["shrink_map"] > 0, SHRINK)
    return _blend(ground, example["shrink_mask"] == 0, MASKED)


def lay_threshold_map(example: Mapping[str, np.ndarray]) -> np.ndarray:
    """The crop, darkened, under its threshold map, where that counts; uint8 `[S, S, 3]` BGR."""
    values = example["threshold_map"]
    span = max(float(np.ptp(values)), 1e-6)  # the map is constant if the crop has no text
    levels = ((values - values.min()) / span * 255).astype(np.uint8)
    heat = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    inside = (example["threshold_mask"] > 0)[..., None]
    ground = _dim(example["image"])
    return np.where(inside, cv2.addWeighted(heat, 0.75, ground, 0.25, 0), ground)


def _dim(image: np.ndarray) -> np.ndarray:
    """The image at half its brightness, so that overlays stand out."""
    return (image // 2).astype(np.uint8)


def _blend(image: np.ndarray, where: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The image with a tint (RGB) on the pixels that `where`, bool `[S, S]`, selects."""
    tint = np.array(colour[::-1], np.float32)
    mixed = (0.4 * image + 0.6 * tint).astype(np.uint8)
    return np.where(where[..., None], mixed, image)
