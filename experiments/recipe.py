"""The complete recipe: train the teacher by DML, extract it, train the student by CML, evaluate.

    python -m experiments.recipe --config configs/quickstart_cml.py --workdir runs/recipe --alone
    python -m experiments.recipe --config configs/ppocrv3_det_cml.py --workdir runs/ppocrv3 \\
        --config.data.root=icdar2015 --teacher_config.data.root=icdar2015

`--teacher_config` is the DML config; by default its name is that of `--config` with `_dml` instead
of `_cml`. Each config has its own overrides. `--alone` also trains the student without a teacher,
with everything else unchanged. A second run of the same command resumes: finished stages are
skipped.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from ppocr_jax import averages, cli
from ppocr_jax import config as configs
from ppocr_jax.errors import UserError


def alone(config: ConfigDict) -> ConfigDict:
    """A copy of a CML config in which the best role learns from labels only, without a teacher."""
    role = config.best.role
    copy = config.copy_and_resolve_references()
    with copy.unlocked():
        copy.roles = {role: config.roles[role]}
        copy.trainable = copy.loss.labels = (role,)
        copy.loss.mutual = copy.loss.teacher = ()
        copy.loss.total = "mean"  # as in all configs without a mutual loss
        copy.init_from = {role: config.init_from[role], "all": ""}
    return copy


def describe_plan(rows: Sequence[tuple[str, int, float]]) -> list[str]:
    """Lines for `[(what, runs, minutes)]`, and a last one with the total hours."""
    lines = [f"{what}: {runs} runs, {minutes:.0f} min" for what, runs, minutes in rows]
    return [*lines, f"total: {sum(minutes for _, _, minutes in rows) / 60:.1f} h on 2 CPU cores"]


def run(module: str, *arguments: object) -> None:
    """Runs `python -m ppocr_jax.<module>` with arguments.

    Raises:
        UserError: the command failed; it has already printed why.
    """
    print("+ python -m ppocr_jax." + " ".join([module, *map(str, arguments)]), flush=True)
    status = subprocess.run([sys.executable, "-m", f"ppocr_jax.{module}", *map(str, arguments)])
    if status.returncode:
        raise UserError(
            f"{module} exited with status {status.returncode}: run this again to resume"
        )


class Recipe:
    """The stages in one workdir. A stage whose output exists is done and is not run again."""

    def __init__(self, workdir: epath.PathLike) -> None:
        self.workdir = epath.Path(workdir)
        self.workdir.mkdir(parents=True, exist_ok=True)

    def train(self, name: str, config: ConfigDict, role: str, output: str) -> epath.Path:
        """Trains in `<workdir>/<name>`, then extracts a role of the best checkpoint.

        Args:
            name: folder of the run, in the recipe's workdir.
            config: of the run; a copy is saved beside that folder.
            role: which network to extract.
            output: folder for the extracted network, in the recipe's workdir.

        Returns:
            Path of the extracted network.
        """
        weights = self.workdir / output
        if not (weights / "extracted.json").exists():  # written last by `extract`
            started = time.time()
            path = self.workdir / f"{name}.json"
            configs.save(config, path)
            run("train", "--config", path, "--workdir", self.workdir / name)
            run("extract", "--weights", self.workdir / name, "--role", role, "--output", weights)
            minutes = {"minutes": round((time.time() - started) / 60, 1)}
            (weights / "minutes.json").write_text(json.dumps(minutes) + "\n")
        return weights

    def evaluate(self, weights: epath.Path, config: ConfigDict) -> dict[str, Any]:
        """Returns the validation metrics of an extracted network; evaluates it only once."""
        record = self.workdir / f"{weights.name}_score.json"
        if not record.exists():
            path = self.workdir / f"{weights.name}_config.json"
            configs.save(config, path)
            run("evaluate", "--config", path, "--weights", weights, "--output", record)
        return json.loads(record.read_text())


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, ConfigDict, ConfigDict, str]:
    """Returns `(args, student's config, teacher's config, role of the frozen teacher)`.

    Raises:
        UserError: an option or config is wrong, or there is not exactly one frozen role.
    """
    # `cli.parse` knows one config: the teacher's overrides are parsed separately, renamed.
    of_teacher = [word for word in argv if word.startswith("--teacher_config.")]
    arguments = cli.parser(__doc__)
    arguments.add_argument("--workdir", required=True, help="folder for all stages")
    arguments.add_argument("--teacher_config", metavar="FILE", help="config of the DML stage")
    arguments.add_argument("--alone", action="store_true", help="also train the student alone")
    args, student = cli.parse(arguments, [word for word in argv if word not in of_teacher])
    file = args.teacher_config or args.config.replace("_cml", "_dml")
    overrides = [word.replace("--teacher_config.", "--config.", 1) for word in of_teacher]
    _, teacher = cli.parse(cli.parser(""), ["--config", file, *overrides])
    for config in (student, teacher):
        configs.check(config)
    frozen = [role for role in averages.networks(student) if role not in student.trainable]
    if len(frozen) != 1:
        raise UserError(f"--config {args.config}: needs exactly one frozen role, the teacher")
    return args, student, teacher, frozen[0]


def main(argv: Sequence[str]) -> int:
    """Runs all stages that are not done yet and prints a table of their scores."""
    args, student, teacher, frozen = parse(argv)
    recipe = Recipe(args.workdir)
    networks: dict[str, tuple[epath.Path, ConfigDict]] = {}
    # The teacher: two peers by DML, of which the better role becomes the frozen network.
    role = teacher.best.role
    networks["teacher by DML"] = (recipe.train("dml", teacher, role, "teacher"), teacher)
    with student.unlocked():
        student.init_from[frozen] = str(networks["teacher by DML"][0])
    # The students: alone for comparison, then by CML with that teacher.
    if args.alone:
        single = alone(student)
        networks["student alone"] = (
            recipe.train("alone", single, single.best.role, "student_alone"), single,
        )  # fmt: skip
    networks["student by CML"] = (
        recipe.train("cml", student, student.best.role, "student"), student,
    )  # fmt: skip
    # Scores. Times were saved by the stages, since a stage may have run on another day.
    print("| network | precision | recall | hmean | minutes |\n| --- | --- | --- | --- | --- |")
    for name, (weights, config) in networks.items():
        score = recipe.evaluate(weights, config)
        minutes = json.loads((weights / "minutes.json").read_text())["minutes"]
        figures = [f"{score[key]:.4f}" for key in ("precision", "recall", "hmean")]
        print("| " + " | ".join([name, *figures, str(minutes)]) + " |")
    return 0


if __name__ == "__main__":
    cli.run(main)
