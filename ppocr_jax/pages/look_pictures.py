"""Pictures of a data set: labels on images, and what training makes of them. Arrays alone."""

import cv2
import numpy as np

LABEL_SIDE = 1100  # pixels of the longer side of a picture with labels
LARGEST_SCALE = 4  # of a small image
PANEL_SIDE = 420  # of each of the three panels of a crop
GAP = 6  # pixels between them
# What a label is -> colour (RGB). Those of the end lie on top.
COLOURS = {
    "ignored": (204, 121, 167),
    "word": (0, 190, 120),
    "small": (230, 159, 0),
    "faulty": (213, 20, 20),
}
LEGEND = {
    "word": "words",
    "ignored": "ignored (*, ###)",
    "small": "too small in half of their crops or more, or at evaluation",
    "faulty": "at fault",
}
SHRINK, MASKED = (0, 230, 120), (204, 40, 160)  # RGB
CROP_LEGEND = {
    "shrink map: text to learn": SHRINK,
    "masked out: ignored or too small": MASKED,
    "threshold map, far from an edge": (66, 10, 104),
    "threshold map, on an edge": (252, 255, 164),
}


def draw_labels(image, polygons, kinds):
    """An image at a size for a page, uint8 `[h, w, 3]` BGR, with its labels.

    Args:
        image: uint8 `[H, W, 3]` BGR.
        polygons: `[P, 2]` each, in its pixels.
        kinds: a key of `COLOURS` for each.
    """
    scale = min(LABEL_SIDE / max(image.shape[:2]), LARGEST_SCALE)
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(image, size, interpolation=method)
    for kind, colour in COLOURS.items():
        outlines = [
            np.round(np.asarray(polygon) * scale).astype(np.int32)
            for polygon, own in zip(polygons, kinds, strict=True)
            if own == kind
        ]
        cv2.polylines(image, outlines, True, (0, 0, 0), 4, cv2.LINE_AA)  # seen on any ground
        cv2.polylines(image, outlines, True, colour[::-1], 2, cv2.LINE_AA)
    return image


def draw_crop(example):
    """The crop of a training example in three panels: plain, with shrink and threshold map.

    Args:
        example: image uint8 `[S, S, 3]` BGR and the four maps `[S, S]`, see `data.examples`.

    Returns:
        uint8 `[PANEL_SIDE, 3 * PANEL_SIDE + 2 * GAP, 3]` BGR.
    """
    image = example["image"]
    panels = [image, lay_shrink_map(example), lay_threshold_map(example)]
    size = (PANEL_SIDE, PANEL_SIDE)
    gap = np.full((PANEL_SIDE, GAP, 3), 255, np.uint8)
    small = [cv2.resize(panel, size, interpolation=cv2.INTER_AREA) for panel in panels]
    return np.concatenate([small[0], gap, small[1], gap, small[2]], axis=1)


def lay_shrink_map(example):
    """The crop with its shrink map over it, and what its mask leaves out; `[S, S, 3]` BGR."""
    ground = _dim(example["image"])
    ground = _blend(ground, example["shrink_map"] > 0, SHRINK)
    return _blend(ground, example["shrink_mask"] == 0, MASKED)


def lay_threshold_map(example):
    """The crop with its threshold map over it, where its mask counts; `[S, S, 3]` BGR."""
    values = example["threshold_map"]
    span = max(float(np.ptp(values)), 1e-6)
    levels = ((values - values.min()) / span * 255).astype(np.uint8)
    heat = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    inside = (example["threshold_mask"] > 0)[..., None]
    ground = _dim(example["image"])
    return np.where(inside, cv2.addWeighted(heat, 0.75, ground, 0.25, 0), ground)


def _dim(image):
    """Half as dark, so that what is laid over it is seen."""
    return (image // 2).astype(np.uint8)


def _blend(image, where, colour):
    tint = np.array(colour[::-1], np.float32)
    mixed = (0.4 * image + 0.6 * tint).astype(np.uint8)
    return np.where(where[..., None], mixed, image)
