"""Which runs are compared: their configs, names, and the minutes that they should take. Pure."""

from typing import Any, NamedTuple

from configs import parts
from ppocr_jax import averages

SEEDS = (11, 12, 13)
STUDENTS = ("student", "student2")
JUDGED = "student_average"  # scored, chosen by and compared, in every run

STEPS = 1200  # updates of a run
CROP, BATCH = 320, 8
RATE = 2e-3
WARMUP = 40  # updates
EVALUATIONS = 4  # of a run, on the held-out images
TEACHER_WEIGHT = 2.0  # of each student's term with the teacher

# On 2 quiet cores, for the minutes of the plan.
UPDATE_S = {"alone": 0.45, "cml": 1.05}
IMAGE_S = 0.09  # one image in one evaluation of one role
HELD_OUT, TEST = 100, 500  # images
BEGIN_S = 60.0  # imports, reading, compiling or the compiled program from the cache


class Run(NamedTuple):
    """One training run.

    Attributes:
        name: of its folder.
        taught: by CML, or the student by itself.
        seed: of order, crops and fresh values.
        steps: updates.
    """

    name: str
    taught: bool
    seed: int
    steps: int = STEPS

    @property
    def minutes(self):
        """That it and its one pass over the test set should take."""
        updates = self.steps * UPDATE_S["cml" if self.taught else "alone"]
        roles = 2 * len(self.trainable)  # each with its average
        images = (EVALUATIONS + 1) * roles * HELD_OUT + TEST
        return (BEGIN_S + updates + images * IMAGE_S) / 60

    @property
    def trainable(self):
        """Names of the networks that learn."""
        return STUDENTS if self.taught else STUDENTS[:1]


def alone(seed):
    """The student from labels alone."""
    return Run(f"alone_seed{seed}", False, seed)


def taught(seed):
    """Two students and the teacher: as many updates, of the same crops."""
    return Run(f"cml_seed{seed}", True, seed)


def as_long(seed, ratio):
    """The student alone for the time of CML: `ratio` times the updates, in its own cosine."""
    return Run(f"longer_seed{seed}", False, seed, round(STEPS * ratio / 10) * 10)


def make_config(run: Run, teacher: Any):
    """The config of a run, but for its paths. Runs differ in what their names say alone.

    Args:
        teacher: its network, as `config.roles` has it.
    """
    config = parts.base(epochs=1)
    config.roles = dict.fromkeys(run.trainable, parts.small())
    config.trainable = run.trainable
    config.loss = parts.losses(labels=run.trainable)
    if run.taught:
        config.roles.teacher = teacher
        config.loss = parts.losses(
            labels=run.trainable,
            mutual=parts.all_pairs(run.trainable),
            teacher=tuple((role, "teacher", TEACHER_WEIGHT) for role in run.trainable),
        )
    config.loss.teacher_where = "everywhere"
    config.frozen_norm = "stored"
    config.init_from = parts.init_from(config.roles)
    config.seed, config.steps, config.learning_rate = run.seed, run.steps, RATE
    config.crop, config.batch_size, config.warmup_steps = CROP, BATCH, WARMUP
    config.average.decay, config.best.role = 0.998, JUDGED
    config.eval.every_steps = config.save.every_steps = run.steps // EVALUATIONS
    averages.complete(config)
    return config


def expected():
    """`[(what, runs, minutes)]`."""
    ratio = UPDATE_S["cml"] / UPDATE_S["alone"]
    rows = [
        ("equal updates: the student alone", [alone(seed) for seed in SEEDS]),
        ("equal updates: by CML", [taught(seed) for seed in SEEDS]),
        ("equal time: the student alone for longer", [as_long(seed, ratio) for seed in SEEDS]),
    ]
    return [(what, len(runs), sum(run.minutes for run in runs)) for what, runs in rows]
