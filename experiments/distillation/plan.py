"""Which runs are compared: their configs, names, and the minutes that they should take. Pure."""

from typing import Any, NamedTuple

from configs import parts
from ppocr_jax import averages

SEEDS = (11, 12, 13)
STUDENTS = ("student", "student2")
JUDGED = "student_average"  # scored, chosen by and compared, in every run

CROP, BATCH, RATE, WARMUP = 640, 4, 1e-3, 20  # as in ../icdar2015_finetune
STEPS = 300  # updates of a compared run
EVALUATIONS = 4  # of a compared run, on the held-out images
TRY_SEED, TRY_STEPS, TRY_EVALUATIONS = 1, 300, 2  # of the short runs that look at what limits it

PICTURES = 900
LABELLED = {"all": PICTURES, "few": 20}  # case: labelled images; CML sees all the pictures


class Teaching(NamedTuple):
    """How the teacher teaches.

    Attributes:
        where: `config.loss.teacher_where`.
        norm: `config.frozen_norm`.
        hard: weight of each student's term with the teacher's dilated text; 0: without.
        soft: weight of each student's mutual term with the teacher's map itself; 0: without.
    """

    where: str
    norm: str
    hard: float
    soft: float


TEACHINGS = {
    "as_published": Teaching("labels", "batch", 1.0, 0.0),
    "everywhere": Teaching("everywhere", "stored", 1.0, 0.0),
    "soft": Teaching("labels", "stored", 0.0, 50.0),
    "soft_x4": Teaching("labels", "stored", 0.0, 200.0),
}
TRIED = {"all": ("as_published", "soft", "soft_x4"), "few": ("everywhere", "soft")}
COMPARED = ("all", "soft")  # on the test set
ALONE = "alone"  # in the place of a teaching

# On 2 quiet cores, for the minutes of the plan.
UPDATE_S = {False: 0.85, True: 1.95}  # alone, by CML
IMAGE_S = 0.09  # one image in one evaluation of one role
HELD_OUT, TEST = 100, 500  # images
BEGIN_S = 60.0  # imports, reading, compiling or the compiled program from the cache


class Run(NamedTuple):
    """One training run.

    Attributes:
        case: of `LABELLED`.
        teaching: of `TEACHINGS`, or `ALONE`.
        seed: of order, crops and fresh values.
        steps: updates.
        evaluations: after the one of its first state.
    """

    case: str
    teaching: str
    seed: int
    steps: int = STEPS
    evaluations: int = EVALUATIONS

    @property
    def name(self):
        """Of its folder."""
        return f"{self.case}_{self.teaching}_seed{self.seed}_steps{self.steps}"

    @property
    def taught(self):
        """Whether it is CML."""
        return self.teaching != ALONE

    @property
    def trainable(self):
        """Names of the networks that learn."""
        return STUDENTS if self.taught else STUDENTS[:1]

    @property
    def minutes(self):
        """That training and its evaluations should take."""
        scored = (self.evaluations + 1) * 2 * len(self.trainable) * HELD_OUT  # each and its average
        return (BEGIN_S + self.steps * UPDATE_S[self.taught] + scored * IMAGE_S) / 60


def a_try(case, teaching):
    """A short run of one seed."""
    return Run(case, teaching, TRY_SEED, TRY_STEPS, TRY_EVALUATIONS)


def alone(seed, steps=STEPS):
    """The student without a teacher, of those that are compared."""
    return Run(COMPARED[0], ALONE, seed, steps)


def taught(seed):
    """Two students by CML, of those that are compared."""
    return Run(*COMPARED, seed)


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
        where, norm, hard, soft = TEACHINGS[run.teaching]
        lessons = [(role, "teacher") for role in run.trainable]
        config.roles.teacher = teacher
        config.loss = parts.losses(
            labels=run.trainable,
            mutual=parts.all_pairs(run.trainable) + tuple((*p, soft) for p in lessons if soft),
            teacher=tuple((*pair, hard) for pair in lessons if hard),
        )
        config.loss.teacher_where, config.frozen_norm = where, norm
    config.init_from = parts.init_from(config.roles)
    config.seed, config.steps, config.learning_rate = run.seed, run.steps, RATE
    config.crop, config.batch_size, config.warmup_steps = CROP, BATCH, WARMUP
    config.average.decay, config.best.role = 0.998, JUDGED
    config.eval.every_steps = config.save.every_steps = run.steps // run.evaluations
    averages.complete(config)
    return config


def expected():
    """`[(what, runs, minutes)]`; every compared run is scored once on the test set."""
    longer = round(STEPS * UPDATE_S[True] / UPDATE_S[False])
    of = {
        "equal updates: the student alone": [alone(seed) for seed in SEEDS],
        "equal updates: by CML": [taught(seed) for seed in SEEDS],
        "equal time: the student alone": [alone(seed, longer) for seed in SEEDS],
        "tries": [a_try(case, how) for case in LABELLED for how in (ALONE, *TRIED[case])],
    }
    rows = []
    for what, runs in of.items():
        scored = 0 if what == "tries" else len(runs) * TEST * IMAGE_S / 60
        rows.append((what, len(runs), sum(run.minutes for run in runs) + scored))
    return rows
