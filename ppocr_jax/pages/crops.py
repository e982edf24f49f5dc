"""What was found, cut out: a small upright picture per box, for a recogniser or for a look."""

import cv2
import numpy as np

from ppocr_jax.data.polygons import box_around
from ppocr_jax.data.resize import read_image
from ppocr_jax.files import naming

HIGH = 1.5  # height to width, from which on text is taken to run along the height


def cut_out(image, polygon):
    """The inside of a polygon, brought upright by a perspective transform.

    Args:
        image: uint8 `[H, W, 3]`.
        polygon: `[P, 2]`, (x, y); four points are corners, clockwise from the upper left; of more
            the smallest rotated rectangle is taken.

    Returns:
        uint8 `[h, w, 3]`, as large as the longer of opposite sides, 1 at least; turned a quarter
        to the left where it is `HIGH` times as high as wide, as PaddleOCR's recognisers want it.
    """
    points = np.asarray(polygon, np.float32)
    corners = points if len(points) == 4 else box_around(points)[0]
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    width, height = (max(1, round(float(max(sides[i], sides[i + 2])))) for i in (0, 1))
    if cv2.contourArea(corners) < 1:  # a line, which no transform widens
        left, top = np.clip(corners.min(0).astype(int), 0, np.array(image.shape[1::-1]) - 1)
        crop = image[top : top + height, left : left + width]
    else:
        target = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
        crop = cv2.warpPerspective(
            image,
            cv2.getPerspectiveTransform(corners, target),
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return cv2.rotate(crop, cv2.ROTATE_90_COUNTERCLOCKWISE) if height >= HIGH * width else crop


def save_crops(folder, stem, image_path, polygons):
    """Writes `<stem>_<number>.png` for each polygon, counted from 0, into a folder that exists.

    Returns:
        The names of the files.
    """

    def save(image):
        names = [f"{stem}_{number}.png" for number in range(len(polygons))]
        for name, polygon in zip(names, polygons, strict=True):
            with naming(folder / name):
                # Not synced one by one: what lists them gets its name only after the last.
                data = cv2.imencode(".png", cut_out(image, polygon))[1]
                (folder / name).write_bytes(data.tobytes())
        return names

    return read_image(image_path, save) if len(polygons) else []
