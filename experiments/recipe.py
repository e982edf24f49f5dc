"""The whole recipe: teacher by DML -> extracted -> student by CML -> extracted -> scores.

    python -m experiments.recipe --config configs/quickstart_cml.py --workdir runs/recipe --alone
    python -m experiments.recipe --config configs/ppocrv3_det_cml.py --workdir runs/ppocrv3 \\
        --config.data.root=icdar2015 --teacher_config.data.root=icdar2015

`--teacher_config` is the DML config, by default the one beside `--config` with `_dml` in the place
of `_cml`; each has overrides of its own. `--alone` also trains the student without a teacher, all
else equal. Run again, it goes on where it stopped: a stage whose result is there is skipped.
"""

import json
import subprocess
import sys
import time

from etils import epath

from ppocr_jax import averages, cli
from ppocr_jax import config as configs
from ppocr_jax.errors import UserError


def alone(config):
    """The config of the best role trained on labels alone; everything else as it was."""
    role = config.best.role
    copy = config.copy_and_resolve_references()
    with copy.unlocked():
        copy.roles = {role: config.roles[role]}
        copy.trainable = copy.loss.labels = (role,)
        copy.loss.mutual = copy.loss.teacher = ()
        copy.loss.total = "mean"
        copy.init_from = {role: config.init_from[role], "all": ""}
    return copy


def describe_plan(rows):
    """`[(what, runs, minutes)]` as lines, with the hours of all."""
    lines = [f"{what}: {runs} runs, {minutes:.0f} min" for what, runs, minutes in rows]
    return [*lines, f"in all: {sum(minutes for _, _, minutes in rows) / 60:.1f} h on 2 CPU cores"]


def run(module, *arguments):
    """Runs a command of the package; a failure ends the recipe with its status."""
    print("+ python -m ppocr_jax." + " ".join([module, *map(str, arguments)]), flush=True)
    status = subprocess.run([sys.executable, "-m", f"ppocr_jax.{module}", *map(str, arguments)])
    if status.returncode:
        raise UserError(f"{module} ended with status {status.returncode}; run this again to go on")


class Recipe:
    """Stages in one workdir; what a stage made is what says that it is done."""

    def __init__(self, workdir):
        self.workdir = epath.Path(workdir)
        self.workdir.mkdir(parents=True, exist_ok=True)

    def train(self, name, config, role, output):
        """Trains in `<workdir>/<name>` and extracts a role of its best state to `output`."""
        output = self.workdir / output
        if not (output / "extracted.json").exists():
            started = time.time()
            path = self.workdir / f"{name}.json"
            configs.save(config, path)
            run("train", "--config", path, "--workdir", self.workdir / name)
            run("extract", "--weights", self.workdir / name, "--role", role, "--output", output)
            minutes = {"minutes": round((time.time() - started) / 60, 1)}
            (output / "minutes.json").write_text(json.dumps(minutes) + "\n")
        return output

    def evaluate(self, weights, config):
        """The metrics of an extracted network."""
        record = self.workdir / f"{weights.name}_score.json"
        if not record.exists():
            path = self.workdir / f"{weights.name}_config.json"
            configs.save(config, path)
            run("evaluate", "--config", path, "--weights", weights, "--output", record)
        return json.loads(record.read_text())


def parse(argv):
    """`(args, student's config, teacher's config)`; each has its own overrides."""
    of_teacher = [word for word in argv if word.startswith("--teacher_config.")]
    arguments = cli.parser(__doc__)
    arguments.add_argument("--workdir", required=True, help="folder of all stages")
    arguments.add_argument("--teacher_config", metavar="FILE", help="config of the DML stage")
    arguments.add_argument("--alone", action="store_true", help="also the student by itself")
    args, student = cli.parse(arguments, [word for word in argv if word not in of_teacher])
    file = args.teacher_config or args.config.replace("_cml", "_dml")
    overrides = [word.replace("--teacher_config.", "--config.", 1) for word in of_teacher]
    _, teacher = cli.parse(cli.parser(""), ["--config", file, *overrides])
    for config in (student, teacher):
        configs.check(config)
    frozen = [role for role in averages.networks(student) if role not in student.trainable]
    if len(frozen) != 1:
        raise UserError(f"--config {args.config}: should have one frozen role, the teacher")
    return args, student, teacher, frozen[0]


def main(argv):
    args, student, teacher, frozen = parse(argv)
    recipe = Recipe(args.workdir)
    networks = {}
    role = teacher.best.role
    networks["teacher by DML"] = (recipe.train("dml", teacher, role, "teacher"), teacher)
    with student.unlocked():
        student.init_from[frozen] = str(networks["teacher by DML"][0])
    if args.alone:
        single = alone(student)
        networks["student alone"] = (
            recipe.train("alone", single, single.best.role, "student_alone"), single,
        )  # fmt: skip
    networks["student by CML"] = (
        recipe.train("cml", student, student.best.role, "student"), student,
    )  # fmt: skip
    print("| network | precision | recall | hmean | minutes |\n| --- | --- | --- | --- | --- |")
    for name, (weights, config) in networks.items():
        score = recipe.evaluate(weights, config)
        minutes = json.loads((weights / "minutes.json").read_text())["minutes"]
        figures = [f"{score[key]:.4f}" for key in ("precision", "recall", "hmean")]
        print("| " + " | ".join([name, *figures, str(minutes)]) + " |")
    return 0


if __name__ == "__main__":
    cli.run(main)
