"""The runs that are tried: their settings, their names and the minutes they should take.

Reads and writes no files.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

SIZES = (50, 200, 900)  # training images
HELD_OUT = 100  # images by which settings and checkpoints are chosen
SEEDS = (11, 12, 13)  # of the averaging stage, as in ../icdar2015_finetune
SEARCH_SEED = 1  # of the runs by which settings are chosen
SCORED_SEEDS = (2, 3)  # of the runs with the chosen settings, which are scored on the test set

# A coordinate search: it starts here and tries the values of one key after the other. The number of
# steps comes last, so that the other keys are tried in short runs. The first size is searched from
# START; the other sizes start from what it found and try fewer values.
START = {
    "learning_rate": 1e-3,
    "steps": 300,
    "crop": 640,
    "data.augment.scale": (0.5, 3.0),
    "average.share": 0.2,
    "best.role": "student_average",
}
ROUNDS = {
    200: (
        ("learning_rate", (5e-4, 2e-3)),
        ("crop", (480,)),
        ("data.augment.scale", ((0.7, 1.5),)),
        ("steps", (600,)),
    ),
    50: (("learning_rate", (5e-4,)),),
    900: (("learning_rate", (2e-3,)),),
}
GAIN = 0.005  # a new value must raise the held-out hmean by more than this; less is noise
DECAY = 0.998  # of the averages
EVALUATIONS = 3  # of a run, besides the one before the first step

# Seconds measured on 2 cores of a shared machine; only the printed plan uses them.
UPDATE_S = 0.95  # per step, of four 640x640 crops
IMAGE_S = 0.13  # one image in one evaluation of one role
BEGIN_S = 30.0  # imports, reading labels, loading the compiled program


class Run(NamedTuple):
    """One training run.

    Attributes:
        name: of its folder; a change would train finished runs again.
        config: path of the config file.
        train: label file in the folder of splits.
        keys: `{key of the config: value}`, the overrides.
    """

    name: str
    config: str
    train: str
    keys: dict[str, Any]

    @property
    def roles(self) -> int:
        """How many roles the run evaluates: the network, and its average if there is one."""
        return 1 if self.keys.get("average.decay") == 0.0 else 2

    @property
    def minutes(self) -> float:
        """Expected minutes of training with its evaluations."""
        updates = self.keys["steps"] * UPDATE_S * (self.keys["crop"] / 640) ** 2
        evaluations = self.keys["steps"] // self.keys["eval.every_steps"] + 1
        return (BEGIN_S + updates + evaluations * self.roles * HELD_OUT * IMAGE_S) / 60


def averaging_run(seed: int, averaged: bool) -> Run:
    """A run with the budget of ../icdar2015_finetune, with or without averaged weights."""
    keys = {
        "crop": 640,
        "batch_size": 4,
        "steps": 300,
        "learning_rate": 1e-3,
        "warmup_steps": 20,
        "seed": seed,
        "eval.every_steps": 25,
        "save.every_steps": 25,
        "average.decay": DECAY if averaged else 0.0,
        "best.role": "student_average" if averaged else "student",
    }
    name = f"averaging/{'averaged' if averaged else 'raw'}_seed{seed}"
    return Run(name, "configs/ppocrv3_det_mobile.py", "train_900.txt", keys)


def size_run(size: int, settings: Mapping[str, Any], seed: int) -> Run:
    """A run of `configs/finetune.py` on `size` training images with the keys of `settings`."""
    every = settings["steps"] // EVALUATIONS
    keys = {**settings, "seed": seed, "eval.every_steps": every, "save.every_steps": every}
    keys["average.decay"] = 0.0 if settings["best.role"] == "student" else DECAY
    low, high = settings["data.augment.scale"]
    name = (
        f"sizes/{size}_rate{settings['learning_rate']:g}_steps{settings['steps']}"
        f"_crop{settings['crop']}_scale{low:g}-{high:g}_share{settings['average.share']:g}"
        f"_{settings['best.role']}_seed{seed}"
    )
    return Run(name, "configs/finetune.py", f"train_{size}.txt", keys)


def expected(score_s: float = 60.0) -> list[tuple[str, int, float]]:
    """Returns `[(what, runs, minutes)]`, assuming that the search changes nothing but steps to 600.

    Args:
        score_s: seconds of one pass over the test set.
    """
    averaging = [averaging_run(seed, on) for seed in SEEDS for on in (False, True)]
    rows = [("averaging: 3 seeds, raw and averaged", averaging, len(averaging))]
    settings = dict(START)
    for size, rounds in ROUNDS.items():
        pairs = [(key, value) for key, values in rounds for value in values]
        tried = [settings, *({**settings, key: value} for key, value in pairs)]
        runs = {run.name: run for run in (size_run(size, t, SEARCH_SEED) for t in tried)}
        rows.append((f"{size} images: settings, on held-out images", list(runs.values()), 0))
        settings["steps"] = 600
        scored = [size_run(size, settings, seed) for seed in SCORED_SEEDS]
        rows.append((f"{size} images: two other seeds, the test set", scored, len(scored)))
    return [
        (what, len(runs), sum(run.minutes for run in runs) + scores * score_s / 60)
        for what, runs, scores in rows
    ]
