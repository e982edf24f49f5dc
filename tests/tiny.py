"""A small run for tests of the loop: drawn images, and a narrow network of the same classes."""

import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np
from jax.flatten_util import ravel_pytree

ROOT = pathlib.Path(__file__).resolve().parents[1]
TINY = dict(
    backbone=dict(name="MobileNetV3", scale=0.35, squeeze_excite=False, blocks=(1, 3, 6, 12)),
    neck=dict(name="RSEFPN", channels=16, shortcut=True),
    head=dict(name="DBHead", kernels=(3, 2, 2), k=50.0),
)

TEACHER = dict(
    backbone=dict(name="ResNetVD", depths=(1, 1, 1, 1), width=8),
    neck=dict(name="LKPAN", channels=16, mode="lite"),
    head=dict(name="DBHead", kernels=(7, 2, 2), k=50.0),
)

# Options of a compilation: LLVM's own optimisations take longer than a few small updates without.
CHEAP = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def adam_moments(state, trainable, frozen=None):
    """`(first, second)` moments of a state, each a tree like the parameters that learn."""
    from ppocr_jax.training.state import pick_learning

    adam = state.opt_state[1]
    unravel = ravel_pytree(pick_learning(state.params, trainable, frozen))[1]
    return unravel(adam.mu), unravel(adam.nu)


CONFIG = """
from configs import parts
from tiny import TEACHER, TINY

def get_config():
    config = parts.base(epochs=1)
    students, teachers = {students!r}, {teachers!r}
    config.roles = dict.fromkeys(students, TINY) | dict.fromkeys(teachers, TEACHER)
    config.trainable = students
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(
        labels=students,
        mutual=parts.all_pairs(students),
        teacher=tuple((s, t) for t in teachers for s in students),
    )
    config.data.root = {root!r}
    config.data.train, config.data.val = "train.txt", "val.txt"
    config.data.augment.scale = (0.8, 1.2)
    config.data.prefetch_mb = 1
    config.steps, config.batch_size, config.crop = 8, 4, 64
    config.learning_rate, config.warmup_epochs = 1e-3, 0.5
    config.eval.limit_side, config.eval.every_steps = 96, 4
    config.save.every_steps = config.log.every_steps = 2
    return config
"""


def make_network():
    """`(detector, variables)`, as a trained one: statistics differ from channel to channel."""
    import jax

    from ppocr_jax.models.detector import build_detector, init_variables

    model = build_detector(TINY)
    variables = jax.jit(lambda: init_variables(model, jax.random.key(1)))()
    rng = np.random.default_rng(0)
    stats = jax.tree.map(
        lambda leaf: leaf + rng.uniform(0, 0.3, leaf.shape).astype("f4"), variables["batch_stats"]
    )
    return model, {"params": variables["params"], "batch_stats": stats}


def draw_data(folder, train=10, val=3, side=96):
    """Pictures with dark bars on light ground, as words; returns the folder."""
    rng = np.random.default_rng(0)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("val", val)):
        lines = []
        for index in range(count):
            image = rng.integers(160, 220, (side, side, 3)).astype(np.uint8)
            labels = []
            for row in range(3):
                x, y = int(rng.integers(4, 40)), 6 + 30 * row
                w, h = int(rng.integers(30, side - x - 4)), int(rng.integers(12, 20))
                cv2.rectangle(image, (x, y), (x + w, y + h), rng.integers(0, 60, 3).tolist(), -1)
                points = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
                labels.append({"transcription": f"w{row}", "points": points})
            name = f"{split}_{index}.png"
            cv2.imwrite(str(folder / name), image)
            lines.append(f"{name}\t{json.dumps(labels)}\n")
        (folder / f"{split}.txt").write_text("".join(lines))
    return folder


def write_config(folder, root, students=("student",), teachers=()):
    """A config file over drawn data; returns its path."""
    path = pathlib.Path(folder) / "configs_for_test" / "tiny_run.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIG.format(root=str(root), students=students, teachers=teachers))
    return path


def load_config(path, *overrides):
    """The config of a file with `key=value` overrides, as a command gets it."""
    from ppocr_jax import cli

    argv = ["--config", str(path), *(f"--config.{override}" for override in overrides)]
    return cli.parse(cli.parser(""), argv)[1]


def start(module, *argv, env=None, **kwargs):
    """Starts `python -m ppocr_jax.<module>` from the root of the project."""
    import os

    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **(env or {})}
    command = [sys.executable, "-m", f"ppocr_jax.{module}", *map(str, argv)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **kwargs,
    )


def run(module, *argv, env=None):
    """Runs a command to its end: `(status, stdout, stderr)`."""
    process = start(module, *argv, env=env)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


__all__ = ["CHEAP", "TEACHER", "TINY", "draw_data", "load_config", "make_network", "run", "start",
           "write_config"]  # fmt: skip
