"""The journey of `docs/journey.md`, each command as it is shown, on drawn photos."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import cv2
import jax
import pytest
from shown_commands import blocks, commands, typed
from tiny import ROOT

from ppocr_jax.data.scenes import draw_scene
from ppocr_jax.defaults import small
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.weights.paddle import to_paddle
from ppocr_jax.weights.pdparams import write_pdparams

PAGE = "docs/journey.md"
SHORT = [f"--config.{item}" for item in ("crop=64", "steps=2", "warmup_steps=1")]  # of `train`


def label(folder, photos, count=10, side=192):
    """Drawn photos in `photos`, and once more in `folder` with labelme's files."""
    for index in range(count):
        image, words = draw_scene(3, "train", index, side)
        shapes = [
            {"label": word.text, "shape_type": "polygon", "points": word.quad.tolist()}
            for word in words
        ]
        value = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imageData": None,
                 "imagePath": f"{index}.png", "imageHeight": side, "imageWidth": side}  # fmt: skip
        (folder / f"{index}.json").write_text(json.dumps(value))
        for place in (folder, photos):
            cv2.imwrite(str(place / f"{index}.png"), image)


def walk(words, folder):
    """Runs a shown `ppocr-jax` command in a folder; what it wrote to stdout."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ppocr_jax", *words[1:]]
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert result.returncode == 0, f"{shlex.join(words)}: {result.stderr}"
    return result.stdout


@pytest.mark.long
def test_the_journey_can_be_walked(tmp_path):
    for name in ("labelme_folder", "photos"):
        (tmp_path / name).mkdir()
    label(tmp_path / "labelme_folder", tmp_path / "photos")
    model = build_detector(small())
    variables = jax.device_get(init_variables(model, jax.random.key(0)))
    write_pdparams(tmp_path / "student.pdparams", to_paddle(variables))
    [console] = blocks(PAGE, "console")
    for line in typed(console):
        words = shlex.split(line)
        walk([*words, *(SHORT if words[1] == "train" else [])], tmp_path)
    for made in ("data/prepared.csv", "look/index.html", "runs/mine/results.html", "mine.onnx",
                 "runs/mine/compare/compare.html", "out/crops", "out/Label.txt"):  # fmt: skip
        assert (tmp_path / made).exists(), made

    corrected = [words for words, _ in commands(PAGE) if "corrected" in " ".join(words)]
    assert [words[1] for words in corrected] == ["prepare-data", "train"]
    shutil.copy(tmp_path / "out" / "Label.txt", tmp_path / "photos")
    walk(corrected[0], tmp_path)
    lines = [(tmp_path / "corrected" / f"{split}.txt").read_text() for split in ("train", "val")]
    assert sum(text.count("\n") for text in lines) == 10
