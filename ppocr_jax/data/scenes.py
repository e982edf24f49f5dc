"""Scenes with text, drawn from a seed, for a first run without any download.

A scene is a square picture with 4 to 9 words on a cluttered background. Each word has a font,
size, angle, colour and often a panel, an outline or a shadow of its own; some are too small to
read and labelled `###`. Validation shares no seed, no background and no word with training.

Distributions (300 scenes of 448 pixels, as `describe` counts them):
5.84 readable words a scene; 8.5% of all words are ignored;
14% are turned by more than 15 degrees. Quantiles 5, 25, 50, 75, 95 %:
height 18.6, 21.0, 24.8, 29.0, 34.2 pixels; contrast 91, 97, 106, 120, 146 grey levels.
"""

import concurrent.futures
import json
import os
import pathlib
from typing import NamedTuple

import cv2
import numpy as np

from ppocr_jax.data import scene_parts as parts
from ppocr_jax.data.marks import IGNORED_TEXTS
from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json, sync, write_json, write_text

VERSION = 4  # of the drawing: a folder drawn by another one is drawn anew
SPLITS = {"train": 0, "val": 1}
RECORD = "scenes.json"  # in a folder of scenes: what they were drawn from, and that they were
MIN_HEIGHT, MAX_HEIGHT = 18, 36  # pixels of a word's ink, log-uniform
MIN_CONTRAST = 90.0  # grey levels between a word and what lies under it


class Word(NamedTuple):
    """A drawn word.

    Attributes:
        quad: float32 `[4, 2]`, (x, y), clockwise from the upper left of the upright word.
        text: what it says; `###` where it is not to be read.
        height: pixels of its ink before it is turned.
        angle: degrees, counter-clockwise.
        contrast: grey levels between ink and what lay under it.
    """

    quad: np.ndarray
    text: str
    height: float
    angle: float
    contrast: float


def draw_scene(seed, split, index, side):
    """`(image uint8 [side, side, 3] BGR, list of Word)`, a function of its arguments alone."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, SPLITS[split], index]))
    image = parts.draw_background(rng, side)
    parts.add_clutter(rng, image, int(rng.integers(1, 5)))
    words, taken = [], []
    wanted = int(rng.integers(4, 10))
    for _ in range(wanted * 4):
        if len(words) == wanted:
            break
        word = _try_word(rng, split, image, taken)
        if word is not None:
            words.append(word)
    parts.add_clutter(rng, image, int(rng.integers(0, 2)))
    return parts.wear(rng, image), words


def _try_word(rng, split, image, taken):
    """Draws one word where nothing is taken; None when its place was."""
    side, tiny = len(image), rng.random() < 0.06
    text = parts.draw_word(rng, split)
    scale = side / 448
    height = np.exp(rng.uniform(np.log(MIN_HEIGHT), np.log(MAX_HEIGHT))) * scale
    height = rng.uniform(5, 7) * scale if tiny else height
    ink = parts.render_word(text, parts.FACES[int(rng.integers(len(parts.FACES)))], 48)
    angle = _draw_angle(rng)
    quad = _place(rng, ink.shape, height, angle, side)
    if quad is None or _overlaps(quad, taken, 0.35 * height):
        return None
    taken.append(quad)
    contrast = _paint(rng, image, ink, quad, height)
    return Word(quad, "###" if tiny else text, height, angle, contrast)


def _draw_angle(rng):
    """Degrees: most words lie nearly flat, a sixth is clearly turned."""
    if rng.random() < 0.85:
        return float(rng.normal(0, 4))
    return float(rng.choice([-1, 1]) * rng.uniform(15, 30))


def _place(rng, shape, height, angle, side):
    """The quad of an ink box at a height and angle somewhere in the picture, or None."""
    width = shape[1] * height / shape[0]
    shear, taper = rng.normal(0, 0.05), rng.normal(0, 0.04)
    quad = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    quad[:, 0] += shear * quad[:, 1]
    quad[[1, 2], 1] *= 1 + taper  # one end a little nearer to the camera
    turn = np.deg2rad(-angle)
    quad = quad @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    low, high = quad.min(0), quad.max(0)
    room = side - 4 - (high - low)
    if (room < 0).any():
        return None
    return (quad - low + 2 + rng.uniform(0, 1, 2) * room).astype(np.float32)


def _overlaps(quad, taken, margin):
    """Whether a grown quad touches one that is there."""
    for other in taken:
        margins = np.array([margin, margin])
        apart = (quad.max(0) + margins < other.min(0)) | (other.max(0) + margins < quad.min(0))
        if apart.any():
            continue
        area, _ = cv2.intersectConvexConvex(_grow(quad, margin), _grow(other, margin))
        if area > 0:
            return True
    return False


def _grow(quad, margin):
    centre = quad.mean(0)
    offsets = quad - centre
    lengths = np.linalg.norm(offsets, axis=1, keepdims=True)
    return (centre + offsets * (1 + margin / np.maximum(lengths, 1))).astype(np.float32)


def _paint(rng, image, ink, quad, height):
    """Draws ink into a quad, in a colour that can be told from what is there.

    Returns:
        The contrast in grey levels.
    """
    reach = int(0.5 * height) + 3
    low = np.maximum(np.floor(quad.min(0)).astype(int) - reach, 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + reach, len(image))
    window = image[low[1] : high[1], low[0] : high[0]]
    local = (quad - low).astype(np.float32)
    if rng.random() < 0.35:
        panel = _grow(local, height * rng.uniform(0.25, 0.6))
        cv2.fillConvexPoly(window, panel.astype(np.int32), parts.draw_colour(rng).tolist(), 16)
    under = cv2.fillConvexPoly(np.zeros(window.shape[:2], np.uint8), local.astype(np.int32), 1)
    below = window[under > 0].mean(0) if under.any() else window.mean((0, 1))
    colour = _contrasting(rng, below)
    alpha = _warp_ink(ink, local, window.shape, height)
    style = rng.random()
    if style < 0.15:
        rim = cv2.dilate(alpha, np.ones((3, 3), np.uint8))
        _blend(window, rim, _contrasting(rng, colour))
    elif style < 0.3:
        shift = max(1, round(height / 12))
        _blend(window, np.roll(alpha, (shift, shift), (0, 1)), 0.4 * below)
    _blend(window, alpha, colour)
    return float(abs(_grey(colour) - _grey(below)))


def _warp_ink(ink, quad, shape, height):
    """Ink drawn into a quad of a window: float32 `[h, w]`, 0..1."""
    shrink = ink.shape[0] / max(height, 1)
    if shrink > 2:  # a warp samples, it does not average
        ink = cv2.resize(ink, None, fx=2 / shrink, fy=2 / shrink, interpolation=cv2.INTER_AREA)
    h, w = ink.shape
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    warp = cv2.getPerspectiveTransform(corners, quad)
    warped = cv2.warpPerspective(ink, warp, (shape[1], shape[0]), flags=cv2.INTER_LINEAR)
    return warped.astype(np.float32) / 255.0


def _contrasting(rng, below):
    """A colour at least MIN_CONTRAST grey levels from another."""
    while True:
        colour = parts.draw_colour(rng)
        if abs(_grey(colour) - _grey(below)) >= MIN_CONTRAST:
            return colour


def _grey(colour):
    return 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]


def _blend(window, alpha, colour):
    window += alpha[:, :, None] * (np.asarray(colour, np.float32) - window)


def write_scenes(folder, *, train_images, val_images, side, seed, train_labels, val_labels):
    """Draws both splits into a folder, as JPEG files with label files in PaddleOCR's form.

    Nothing is done when the folder holds these very scenes already. Its `scenes.json` says what it
    holds; it is there before the first picture, and says until the last one that they are
    unfinished: a folder is marked as ours whatever ends the drawing.

    Raises:
        UserError: the folder holds what this program has not drawn, or a label file's name is no
            plain one.
    """
    folder = pathlib.Path(folder)
    counts = {"train": train_images, "val": val_images}
    manifest = {"version": VERSION, "seed": seed, "side": side, **counts,
                "labels": [train_labels, val_labels]}  # fmt: skip
    drawn = read_record(folder)
    if drawn == manifest:
        return
    names = {split: name for split, name in zip(counts, manifest["labels"], strict=True)
             if counts[split]}  # fmt: skip
    _require_own(folder, drawn, list(names.values()))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, {**manifest, "unfinished": True})
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for split, name in names.items():
            jobs = [
                pool.submit(_write_scene, folder, seed, split, index, side)
                for index in range(counts[split])
            ]
            lines = [job.result() for job in jobs]
            write_text(folder / name, "".join(lines))
    sync(folder / "images")
    write_json(folder / RECORD, manifest)


def read_record(folder):
    """What a folder's `scenes.json` says of the scenes in it; None where there is none."""
    path = pathlib.Path(folder) / RECORD
    return read_json(path) if path.exists() else None


def _require_own(folder, drawn, names):
    """Refuses to draw where a file that this program has not made might be replaced.

    Args:
        folder: to draw into.
        drawn: its record, or None.
        names: of the label files.

    Raises:
        UserError: says what is in the way.
    """
    for name in names:
        if not _is_plain(name) or names.count(name) > 1:
            raise UserError(
                f"the labels of drawn scenes go to a file of their own in config.data.root: {name} "
                "is no such name; take config.data.train=train.txt and config.data.val=val.txt"
            )
    advice = "scenes are drawn into a new or an empty folder: name one with --config.data.root"
    if drawn is None and folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: holds files and no {RECORD}; {advice}")
    kept = drawn.get("labels") if drawn else None
    ours = kept if isinstance(kept, list) else []
    others = [name for name in names if os.path.lexists(folder / name) and name not in ours]
    others += ["images"] * (folder / "images").is_symlink()
    if others:
        raise UserError(f"{folder / others[0]}: was not drawn by this program; {advice}")


def _is_plain(name):
    """Whether a name is one of a file in the folder itself, and not one that drawing needs."""
    return not set(name) & set("/\\,\0") and name not in ("", ".", "..", "images", RECORD)


def _write_scene(folder, seed, split, index, side):
    """Writes one picture; returns its line of the label file."""
    image, words = draw_scene(seed, split, index, side)
    quality = 45 + (index * 7919) % 50
    name = f"images/{split}_{index:05d}.jpg"
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    (folder / name).write_bytes(data.tobytes())
    labels = [
        {"transcription": word.text, "points": np.round(word.quad, 1).tolist()} for word in words
    ]
    return f"{name}\t{json.dumps(labels)}\n"


def describe(scenes):
    """Statistics of drawn scenes, a list of lists of Word: builtin numbers."""
    words = [word for scene in scenes for word in scene]
    read = [word for word in words if word.text not in IGNORED_TEXTS]
    heights = np.array([word.height for word in read])
    contrasts = np.array([word.contrast for word in read])
    angles = np.abs([word.angle for word in read])

    def quantiles(values):
        return [round(float(v), 1) for v in np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])]

    return {
        "words_per_scene": round(len(read) / len(scenes), 2),
        "ignored_share": round(1 - len(read) / len(words), 3),
        "turned_more_than_15": round(float((angles > 15).mean()), 3),
        "height_px": quantiles(heights),
        "contrast_grey": quantiles(contrasts),
    }
