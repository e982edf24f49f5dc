"""What distillation gains on real images: the student by CML against the student alone.

    python -m experiments.distillation --plan
    python -m experiments.distillation --icdar icdar2015 --student student.pdparams \\
        --teacher finetuned.pdparams --workdir runs/distillation

First three seeds with the same number of steps and the same crops, each run scored once on the
ICDAR2015 test set; then the student alone for as long as CML takes; then short runs of one seed
that try other kinds of distillation and fewer labels, scored on held-out images. If it is stopped,
run the same command again: it resumes, and finished runs are skipped. The results are `updates.md`,
`curve.png`, `time.md` and `tries.md` in the workdir; `--only` makes one of them.
"""

from collections.abc import Sequence

from etils import epath

from experiments import recipe
from experiments.distillation import plan, tables
from experiments.distillation.stages import Stages
from ppocr_jax import cli, files
from ppocr_jax.errors import UserError

TABLES = {"updates": tables.updates, "time": tables.time, "tries": tables.tries}


def main(argv: Sequence[str]) -> int:
    """Makes the tables that are asked for and returns the exit status."""
    arguments = cli.parser(__doc__)
    arguments.add_argument(
        "--icdar", metavar="DIR", help="folder of ICDAR2015, with PaddleOCR's label files"
    )
    arguments.add_argument("--student", metavar="FILE", help="the published student's weights")
    arguments.add_argument("--teacher", metavar="FILE", help="the frozen teacher's weights")
    arguments.add_argument("--workdir", metavar="DIR", help="folder for all runs and the tables")
    arguments.add_argument("--only", choices=TABLES, help="make only this table")
    arguments.add_argument("--plan", action="store_true", help="print the plan with its minutes")
    args = arguments.parse_args(argv)
    if args.plan:
        print("\n".join(explain()))
        return 0
    for name in ("icdar", "student", "teacher", "workdir"):
        if getattr(args, name) is None:
            raise UserError(f"--{name} is missing: it is needed for everything but --plan")
        if name != "workdir" and not epath.Path(getattr(args, name)).exists():
            raise UserError(f"--{name} {getattr(args, name)}: no such file or folder")
    made = Stages(args.icdar, args.student, args.teacher, args.workdir)
    for name in [args.only] if args.only else TABLES:
        lines = TABLES[name](made)
        files.write_text(made.workdir / f"{name}.md", "\n".join(lines) + "\n")
        print("\n".join(lines))
        if name == "updates":
            tables.draw_curve(made, made.workdir / "curve.png")
    return 0


def explain() -> list[str]:
    """Returns the plan as lines: what, how many runs, how many minutes."""
    return recipe.describe_plan(plan.expected())


if __name__ == "__main__":
    cli.run(main)
