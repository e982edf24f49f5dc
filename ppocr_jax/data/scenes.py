"""Synthetic scenes with text, generated from a seed, for a first run without any download.

A scene is a square image with 4 to 9 words on a cluttered background. Each word has its own font,
size, angle and colour, and often a panel, an outline or a shadow. Some words are too small to read
and are labelled `###`. The validation set shares no seed, background or word with the training set.

Statistics of 300 scenes of 448 pixels, from `describe`: 5.84 readable words per scene; 8.5 % of all
words are ignored; 14 % are rotated by more than 15 degrees. Quantiles at 5, 25, 50, 75, 95 %:
height 18.6, 21.0, 24.8, 29.0, 34.2 pixels; contrast 91, 97, 106, 120, 146 grey levels.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from ppocr_jax.data import scene_parts as parts
from ppocr_jax.data.marks import IGNORED_TEXTS
from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json, sync, write_json, write_text

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

VERSION = 4  # of this code's output: scenes written by another version are generated again
SPLITS = {"train": 0, "val": 1}  # enters the seed of a scene
RECORD = "scenes.json"  # in a folder of scenes: the parameters that they were generated from
MIN_HEIGHT, MAX_HEIGHT = 18, 36  # pixels of a word in a scene of 448 pixels, log-uniform
MIN_CONTRAST = 90.0  # grey levels between a word and its background


class Word(NamedTuple):
    """A word of a scene.

    Attributes:
        quad: float32 `[4, 2]`, (x, y), clockwise from the upper left of the upright word.
        text: the text; `###` if it is too small to read.
        height: height of the letters before rotation, pixels.
        angle: degrees, counter-clockwise.
        contrast: grey levels between the letters and their background.
    """

    quad: Float32[np.ndarray, "4 2"]
    text: str
    height: float
    angle: float
    contrast: float


def draw_scene(
    seed: int, split: str, index: int, side: int
) -> tuple[UInt8[np.ndarray, "side side 3"], list[Word]]:
    """Generates one scene: `(image BGR, words)`, a function of its arguments alone.

    Args:
        seed: any integer from 0.
        split: "train" or "val".
        index: number of the scene in its split.
        side: height and width, pixels.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, SPLITS[split], index]))
    image = parts.draw_background(rng, side)
    parts.add_clutter(rng, image, int(rng.integers(1, 5)))
    words: list[Word] = []
    taken: list[np.ndarray] = []
    wanted = int(rng.integers(4, 10))
    for _ in range(wanted * 4):  # a crowded scene may end with fewer words
        if len(words) == wanted:
            break
        word = _try_word(rng, split, image, taken)
        if word is not None:
            words.append(word)
    # Clutter over the words as well, as branches and wires are in photos.
    parts.add_clutter(rng, image, int(rng.integers(0, 2)))
    return parts.wear(rng, image), words


def _try_word(
    rng: np.random.Generator, split: str, image: np.ndarray, taken: list[np.ndarray]
) -> Word | None:
    """Draws one word at a random place; None if that overlaps a word or the image's edge."""
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


def _draw_angle(rng: np.random.Generator) -> float:
    """Degrees: most words are nearly horizontal, one in seven is clearly rotated."""
    if rng.random() < 0.85:
        return float(rng.normal(0, 4))
    return float(rng.choice([-1, 1]) * rng.uniform(15, 30))


def _place(
    rng: np.random.Generator, shape: tuple[int, ...], height: float, angle: float, side: int
) -> Float32[np.ndarray, "4 2"] | None:
    """A random quad for a rendered word of `shape`, at a height and angle; None if too large."""
    width = shape[1] * height / shape[0]
    # Shear, taper and rotation, as of a sign seen from the side.
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


def _overlaps(quad: np.ndarray, taken: Sequence[np.ndarray], margin: float) -> bool:
    """Whether a quad, grown by `margin` pixels, overlaps one of those taken, grown as well."""
    for other in taken:
        # Boxes first: most pairs are far apart.
        margins = np.array([margin, margin])
        apart = (quad.max(0) + margins < other.min(0)) | (other.max(0) + margins < quad.min(0))
        if apart.any():
            continue
        area, _ = cv2.intersectConvexConvex(_grow(quad, margin), _grow(other, margin))
        if area > 0:
            return True
    return False


def _grow(quad: np.ndarray, margin: float) -> Float32[np.ndarray, "4 2"]:
    """A quad with each corner moved `margin` pixels away from the centre."""
    centre = quad.mean(0)
    offsets = quad - centre
    lengths = np.linalg.norm(offsets, axis=1, keepdims=True)
    return (centre + offsets * (1 + margin / np.maximum(lengths, 1))).astype(np.float32)


def _paint(
    rng: np.random.Generator, image: np.ndarray, ink: np.ndarray, quad: np.ndarray, height: float
) -> float:
    """Draws a rendered word into a quad, in a colour that contrasts with the background.

    Returns:
        The contrast in grey levels.
    """
    # --- the part of the image that the word and its effects touch
    reach = int(0.5 * height) + 3
    low = np.maximum(np.floor(quad.min(0)).astype(int) - reach, 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + reach, len(image))
    window = image[low[1] : high[1], low[0] : high[0]]
    local = (quad - low).astype(np.float32)
    # --- a panel behind the word, like that of a sign
    if rng.random() < 0.35:
        panel = _grow(local, height * rng.uniform(0.25, 0.6))
        cv2.fillConvexPoly(window, panel.astype(np.int32), parts.draw_colour(rng).tolist(), 16)
    # --- the colour, by what is now behind the word
    under = cv2.fillConvexPoly(np.zeros(window.shape[:2], np.uint8), local.astype(np.int32), 1)
    below = window[under > 0].mean(0) if under.any() else window.mean((0, 1))
    colour = _contrasting(rng, below)
    alpha = _warp_ink(ink, local, window.shape, height)
    # --- an outline, a shadow or neither, then the word itself
    style = rng.random()
    if style < 0.15:
        rim = cv2.dilate(alpha, np.ones((3, 3), np.uint8))
        _blend(window, rim, _contrasting(rng, colour))
    elif style < 0.3:
        shift = max(1, round(height / 12))
        _blend(window, np.roll(alpha, (shift, shift), (0, 1)), 0.4 * below)
    _blend(window, alpha, colour)
    return float(abs(_grey(colour) - _grey(below)))


def _warp_ink(
    ink: np.ndarray, quad: np.ndarray, shape: tuple[int, ...], height: float
) -> Float32[np.ndarray, "h w"]:
    """A rendered word warped into a quad of a window of `shape`: opacity, 0..1."""
    shrink = ink.shape[0] / max(height, 1)
    if shrink > 2:  # warping does not average pixels, so reduce first to avoid aliasing
        ink = cv2.resize(ink, None, fx=2 / shrink, fy=2 / shrink, interpolation=cv2.INTER_AREA)
    h, w = ink.shape
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    warp = cv2.getPerspectiveTransform(corners, quad)
    warped = cv2.warpPerspective(ink, warp, (shape[1], shape[0]), flags=cv2.INTER_LINEAR)
    return warped.astype(np.float32) / 255.0


def _contrasting(rng: np.random.Generator, below: np.ndarray) -> Float32[np.ndarray, " 3"]:
    """A random colour at least `MIN_CONTRAST` grey levels from the colour `below`."""
    while True:
        colour = parts.draw_colour(rng)
        if abs(_grey(colour) - _grey(below)) >= MIN_CONTRAST:
            return colour


def _grey(colour: np.ndarray) -> float:
    """Grey level of a BGR colour (ITU-R BT.601)."""
    return 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]


def _blend(window: np.ndarray, alpha: np.ndarray, colour: np.ndarray) -> None:
    """Paints a colour onto a window, in place, with the opacity `alpha`."""
    window += alpha[:, :, None] * (np.asarray(colour, np.float32) - window)


def write_scenes(
    folder: str | os.PathLike[str],
    *,
    train_images: int,
    val_images: int,
    side: int,
    seed: int,
    train_labels: str,
    val_labels: str,
) -> None:
    """Writes both splits into a folder: JPEG files, and label files in PaddleOCR's format.

    Does nothing if the folder already holds exactly these scenes, by its `scenes.json`. That file
    is written before the first image and says `unfinished` until the last one: whatever interrupts
    the work, the folder is recognised as ours, and the next run writes it again.

    Args:
        folder: new, empty, or written by this function.
        train_images, val_images: scenes per split.
        side: height and width, pixels.
        seed: the scenes are a function of seed, split, index and side.
        train_labels, val_labels: names of the label files in `folder`.

    Raises:
        UserError: the folder holds other files, or the name of a label file is not a plain name.
    """
    folder = pathlib.Path(folder)
    counts = {"train": train_images, "val": val_images}
    labels = [train_labels, val_labels]
    manifest = {"version": VERSION, "seed": seed, "side": side, **counts, "labels": labels}
    drawn = read_record(folder)
    if drawn == manifest:
        return
    names = {split: name for split, name in zip(counts, labels, strict=True) if counts[split]}
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


def read_record(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The content of a folder's `scenes.json`; None if it has none."""
    path = pathlib.Path(folder) / RECORD
    return read_json(path) if path.exists() else None


def _require_own(folder: pathlib.Path, drawn: dict[str, Any] | None, names: list[str]) -> None:
    """Refuses to write where a file that is not ours might be overwritten.

    Args:
        folder: the folder to write into.
        drawn: its record, or None.
        names: names of the label files.

    Raises:
        UserError: says what is in the way.
    """
    for name in names:
        if not _is_plain(name) or names.count(name) > 1:
            raise UserError(
                f"synthetic scenes need label files of their own inside config.data.root: {name} "
                "is not such a name; use config.data.train=train.txt and config.data.val=val.txt"
            )
    advice = "synthetic scenes need a new or empty folder: name one with --config.data.root"
    if drawn is None and folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: holds files but no {RECORD}; {advice}")
    kept = drawn.get("labels") if drawn else None
    ours = kept if isinstance(kept, list) else []
    others = [name for name in names if os.path.lexists(folder / name) and name not in ours]
    others += ["images"] * (folder / "images").is_symlink()
    if others:
        raise UserError(f"{folder / others[0]}: was not written by this program; {advice}")


def _is_plain(name: str) -> bool:
    """Whether a name is that of a file directly in the folder, and not used by the scenes."""
    return not set(name) & set("/\\,\0") and name not in ("", ".", "..", "images", RECORD)


def _write_scene(folder: pathlib.Path, seed: int, split: str, index: int, side: int) -> str:
    """Writes one image; returns its line of the label file."""
    image, words = draw_scene(seed, split, index, side)
    quality = 45 + (index * 7919) % 50  # JPEG quality 45 to 94; a prime spreads it over the scenes
    name = f"images/{split}_{index:05d}.jpg"
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    (folder / name).write_bytes(data.tobytes())
    labels = [
        {"transcription": word.text, "points": np.round(word.quad, 1).tolist()} for word in words
    ]
    return f"{name}\t{json.dumps(labels)}\n"


def describe(scenes: Sequence[Sequence[Word]]) -> dict[str, Any]:
    """Statistics of the words of scenes, as Python numbers."""
    words = [word for scene in scenes for word in scene]
    read = [word for word in words if word.text not in IGNORED_TEXTS]
    heights = np.array([word.height for word in read])
    contrasts = np.array([word.contrast for word in read])
    angles = np.abs([word.angle for word in read])

    def quantiles(values: np.ndarray) -> list[float]:
        return [round(float(v), 1) for v in np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])]

    return {
        "words_per_scene": round(len(read) / len(scenes), 2),
        "ignored_share": round(1 - len(read) / len(words), 3),
        "turned_more_than_15": round(float((angles > 15).mean()), 3),
        "height_px": quantiles(heights),
        "contrast_grey": quantiles(contrasts),
    }
