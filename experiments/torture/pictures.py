"""Trials with broken and unusual pictures."""

import json
import pathlib
import shutil
from typing import Any

import cv2
import numpy as np

from experiments.torture import damage
from experiments.torture.commands import Outcome
from experiments.torture.judge import require
from experiments.torture.trial import Trial


def _predict(
    trial: Trial, images: pathlib.Path, *more: str
) -> tuple[Outcome, dict[str, list[Any]]]:
    """Runs `predict` on a folder of pictures; returns `(Outcome, {name: boxes})`."""
    output = trial.folder / "out"
    argv = trial.valid.predicting(trial.valid.path("net.pdparams"), images, output)
    outcome = trial.run("predict", *argv, *more, writes=(output,))
    boxes: dict[str, list[Any]] = {}
    path = output / "predictions.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        record = json.loads(line)  # older checkouts use other keys: the text is the picture's name
        name = next(value for value in record.values() if isinstance(value, str))
        rest = [value for value in record.values() if not isinstance(value, str)]
        boxes[name.rpartition("/")[2]] = rest
    return outcome, boxes


def _with_good(trial: Trial) -> pathlib.Path:
    """Makes a folder with one good picture."""
    images = trial.folder / "images"
    images.mkdir()
    shutil.copy(trial.valid.path("data/val_0.png"), images / "good.png")
    return images


def _encoded(trial: Trial, suffix: str, name: str = "data/val_1.png") -> bytes:
    """A good picture, encoded in another format."""
    image: Any = cv2.imread(str(trial.valid.path(name)))
    return cv2.imencode(suffix, image)[1].tobytes()


def broken_pictures(trial: Trial) -> None:
    """A damaged picture is read or named, and does not affect the others."""
    images = _with_good(trial)
    suffix = trial.rng.choice([".png", ".jpg", ".bmp", ".tiff", ".webp"])
    trial.input = images / f"bad{suffix}"
    trial.input.write_bytes(_encoded(trial, suffix))
    ways = (*damage.BYTES, damage.shorten)
    notes = [damage.damage(trial.rng, trial.input, ways) for _ in range(trial.rng.choice([1, 1, 8]))
             if trial.input.stat().st_size]  # fmt: skip
    trial.note = "; ".join(notes)
    outcome, boxes = _predict(trial, images)
    require("good.png" in boxes, "the good picture beside it has no result")
    require(outcome.status in (0, 1), f"status {outcome.status} for one bad picture")
    require(outcome.status == 0 or trial.input.name in outcome.err, "does not name the picture")


def trailers(trial: Trial) -> None:
    """A JPEG or PNG with data after its end, as phones write them, is read as without that data."""
    images = _with_good(trial)
    suffix = trial.rng.choice([".jpg", ".jpg", ".png"])
    data = _encoded(trial, suffix)
    kind, behind = trial.rng.choice([
        ("zeros", b"\0" * trial.rng.choice([1, 100, 10_000, 300_000])),
        ("noise", trial.rng.randbytes(trial.rng.choice([1, 1000, 100_000]))),
        ("another picture", data),
        ("a video's head", b"\0\0\0\x18ftypmp42" + trial.rng.randbytes(5000)),
    ])  # fmt: skip
    trial.input = images / f"long{suffix}"
    trial.input.write_bytes(data + behind)
    (images / f"plain{suffix}").write_bytes(data)
    trial.note = f"{kind}, {len(behind)} bytes"
    outcome, boxes = _predict(trial, images)
    require(outcome.status == 0, f"refused: {outcome.lines[-3:-1]}")
    require(boxes[f"long{suffix}"] == boxes[f"plain{suffix}"], "SILENT: other boxes")


def thin_pictures(trial: Trial) -> None:
    """A picture of any proportions takes no more memory than others and ends no command."""
    images = _with_good(trial)
    long, short = trial.rng.choice([3000, 20_000, 60_000]), trial.rng.choice([1, 2, 5])
    sides = (long, short) if trial.rng.random() < 0.5 else (short, long)
    trial.input = images / "thin.png"
    trial.input.write_bytes(cv2.imencode(".png", np.full((*sides, 3), 200, np.uint8))[1].tobytes())
    trial.note = f"{sides[1]} x {sides[0]} pixels"
    if trial.rng.random() < 0.7:
        outcome, boxes = _predict(trial, images)
        require("good.png" in boxes, "the good picture beside it has no result")
        require(outcome.status in (0, 1), f"status {outcome.status} for one thin picture")
        return
    labels = trial.folder / "labels.txt"
    labels.write_text("thin.png\t[]\ngood.png\t[]\n")
    data = (f"--config.data.root={images}", f"--config.data.val={labels}")
    outcome = trial.run("evaluate", *trial.valid.evaluating(trial.valid.path("net.onnx")), *data)
    require(outcome.status in (0, 1), f"status {outcome.status} for one thin picture")


def transparent(trial: Trial) -> None:
    """Text that only the alpha channel shows is found, or the picture is named."""
    images = _with_good(trial)
    image: Any = cv2.imread(str(images / "good.png"))
    dark = (image.min(-1) < 90).astype(np.uint8) * 255
    level = trial.rng.choice([0, 255])
    trial.note = f"all pixels {level}, the words in alpha"
    layered = np.dstack([np.full_like(image, level), dark if level == 0 else 255 - dark])
    trial.input = images / "layered.png"
    trial.input.write_bytes(cv2.imencode(".png", layered)[1].tobytes())
    outcome, boxes = _predict(trial, images)
    empty = not any(isinstance(value, list) and value for value in boxes.get("layered.png", ()))
    said = "layered.png" in outcome.err
    require(said or not empty, "SILENT: no boxes, no message")


def sideways(trial: Trial) -> None:
    """Pictures with an unsupported ending are named."""
    images = _with_good(trial)
    suffix = trial.rng.choice([".jfif", ".avif", ".jp2", ".JFIF", ".heic"])
    trial.input = images / f"other{suffix}"
    trial.input.write_bytes(_encoded(trial, ".jpg"))
    trial.note = suffix
    outcome, boxes = _predict(trial, images)
    said = suffix in outcome.err or trial.input.name in boxes
    require(said, "SILENT: skipped without a message")
