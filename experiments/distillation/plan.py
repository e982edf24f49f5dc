"""The runs that are compared: their configs, their names and the minutes they should take.

Reads and writes no files.
"""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from configs import parts
from ppocr_jax import averages

SEEDS = (11, 12, 13)
STUDENTS = ("student", "student2")
JUDGED = "student_average"  # the role that selects `best` and is scored, in every run

CROP, BATCH, RATE, WARMUP = 640, 4, 1e-3, 20  # as in ../icdar2015_finetune
STEPS = 300  # of a compared run
EVALUATIONS = 4  # of a compared run, on the held-out images
TRY_SEED, TRY_STEPS, TRY_EVALUATIONS = 1, 300, 2  # of the runs that try other losses and few labels

PICTURES = 900  # training images, as in ../icdar2015_finetune
LABELLED = {"all": PICTURES, "few": 20}  # labelled images; CML also sees the others


class Teaching(NamedTuple):
    """How the students learn from the teacher.

    Attributes:
        where: `config.loss.teacher_where`.
        norm: `config.frozen_norm`.
        hard: weight of the published loss, with the teacher's binarized, dilated map; 0: off.
        soft: weight of the mutual loss with the teacher's probability map; 0: off.
        peers: whether a second student learns beside the first, each from the other too.
    """

    where: str
    norm: str
    hard: float
    soft: float
    peers: bool = True


TEACHINGS = {
    "as_published": Teaching("labels", "batch", 1.0, 0.0),
    "everywhere": Teaching("everywhere", "stored", 1.0, 0.0),
    "soft": Teaching("labels", "stored", 0.0, 50.0),
    "soft_x4": Teaching("labels", "stored", 0.0, 200.0),
    "single_x4": Teaching("labels", "stored", 0.0, 200.0, peers=False),
}
TRIED = {"all": ("as_published", "soft", "soft_x4", "single_x4"), "few": ("everywhere", "soft")}
COMPARED = ("all", "soft_x4")  # on the test set
ALONE = "alone"  # instead of a teaching: the student without a teacher

# Seconds measured on 2 idle cores; only the printed plan uses them.
UPDATE_S = {1: 0.85, 2: 1.2, 3: 2.71}  # per step, by networks: alone, one student taught, CML
IMAGE_S = 0.09  # one image in one evaluation of one role
HELD_OUT, TEST = 100, 500  # images
BEGIN_S = 60.0  # imports, reading labels, compiling or loading the compiled program


class Run(NamedTuple):
    """One training run.

    Attributes:
        case: key of `LABELLED`.
        teaching: key of `TEACHINGS`, or `ALONE`.
        seed: of data order, augmentation and newly initialised parameters.
        steps: training steps.
        evaluations: how many, besides the one before the first step.
    """

    case: str
    teaching: str
    seed: int
    steps: int = STEPS
    evaluations: int = EVALUATIONS

    @property
    def name(self) -> str:
        """Of its folder; a change would train finished runs again."""
        return f"{self.case}_{self.teaching}_seed{self.seed}_steps{self.steps}"

    @property
    def taught(self) -> bool:
        """Whether the run has a teacher (CML)."""
        return self.teaching != ALONE

    @property
    def trainable(self) -> tuple[str, ...]:
        """Roles that learn."""
        return STUDENTS if self.taught and TEACHINGS[self.teaching].peers else STUDENTS[:1]

    @property
    def minutes(self) -> float:
        """Expected minutes of training with its evaluations."""
        scored = (self.evaluations + 1) * 2 * len(self.trainable) * HELD_OUT  # and the averages
        return (
            BEGIN_S + self.steps * UPDATE_S[len(self.trainable) + self.taught] + scored * IMAGE_S
        ) / 60


def a_try(case: str, teaching: str) -> Run:
    """A short run with one seed."""
    return Run(case, teaching, TRY_SEED, TRY_STEPS, TRY_EVALUATIONS)


def alone(seed: int, steps: int = STEPS) -> Run:
    """The compared run of the student without a teacher."""
    return Run(COMPARED[0], ALONE, seed, steps)


def taught(seed: int) -> Run:
    """The compared run of two students by CML."""
    return Run(*COMPARED, seed)


def make_config(run: Run, teacher: Any) -> ConfigDict:
    """Makes the config of a run, without its paths. Runs differ in what their names say.

    Args:
        run: which run.
        teacher: the teacher's network, an entry of `config.roles`.
    """
    # Networks and losses: labels alone, or labels, peers and teacher.
    config = parts.base(epochs=1)
    config.roles = dict.fromkeys(run.trainable, parts.small())
    config.trainable = run.trainable
    config.loss = parts.losses(labels=run.trainable)
    if run.taught:
        where, norm, hard, soft, _ = TEACHINGS[run.teaching]
        lessons = [(role, "teacher") for role in run.trainable]
        config.roles.teacher = teacher
        config.loss = parts.losses(
            labels=run.trainable,
            mutual=parts.all_pairs(run.trainable) + tuple((*p, soft) for p in lessons if soft),
            teacher=tuple((*pair, hard) for pair in lessons if hard),
        )
        config.loss.teacher_where, config.frozen_norm = where, norm
    config.init_from = parts.init_from(config.roles)
    # Everything else is the same in every run, except that `loss.total` is "sum" with a mutual term
    # and "mean" without, as in the shipped configs.
    config.seed, config.steps, config.learning_rate = run.seed, run.steps, RATE
    config.crop, config.batch_size, config.warmup_steps = CROP, BATCH, WARMUP
    config.average.decay, config.best.role = 0.998, JUDGED
    config.eval.every_steps = config.save.every_steps = run.steps // run.evaluations
    averages.complete(config)
    return config


def expected() -> list[tuple[str, int, float]]:
    """Returns `[(what, runs, minutes)]`, with one pass over the test set for each compared run."""
    longer = round(STEPS * UPDATE_S[3] / UPDATE_S[1])
    of = {
        "equal steps: student alone": [alone(seed) for seed in SEEDS],
        "equal steps: CML": [taught(seed) for seed in SEEDS],
        "equal time: student alone": [alone(seed, longer) for seed in SEEDS],
        "tries": [a_try(case, how) for case in LABELLED for how in (ALONE, *TRIED[case])],
    }
    rows = []
    for what, runs in of.items():
        scored = 0 if what == "tries" else len(runs) * TEST * IMAGE_S / 60
        rows.append((what, len(runs), sum(run.minutes for run in runs) + scored))
    return rows
