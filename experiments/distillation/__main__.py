"""What a teacher gives to the student on real images: CML against the student alone.

    python -m experiments.distillation --plan
    python -m experiments.distillation --icdar icdar2015 --student student.pdparams \\
        --teacher finetuned.pdparams --workdir runs/distillation

Three seeds with equal updates and crops, the ICDAR2015 test set scored once for each run; then the
student alone for the time of CML; then short runs of one seed that look, on held-out images, at
what another teaching and fewer labels do. Given again, the same command goes on where it was
stopped; what is done is not done again. `updates.md`, `curve.png`, `time.md` and `tries.md` in the
workdir are the results; `--only` makes one of them.
"""

from etils import epath

from experiments import recipe
from experiments.distillation import plan, tables
from experiments.distillation.stages import Stages
from ppocr_jax import cli, files
from ppocr_jax.errors import UserError

TABLES = {"updates": tables.updates, "time": tables.time, "tries": tables.tries}


def main(argv):
    arguments = cli.parser(__doc__)
    arguments.add_argument("--icdar", metavar="DIR", help="folder of ICDAR2015")
    arguments.add_argument("--student", metavar="FILE", help="the published student")
    arguments.add_argument("--teacher", metavar="FILE", help="weights of the frozen teacher")
    arguments.add_argument("--workdir", metavar="DIR", help="folder of all runs and the tables")
    arguments.add_argument("--only", choices=TABLES, help="one of the tables")
    arguments.add_argument("--plan", action="store_true", help="say the minutes and end")
    args = arguments.parse_args(argv)
    if args.plan:
        print("\n".join(explain()))
        return 0
    for name in ("icdar", "student", "teacher", "workdir"):
        if getattr(args, name) is None:
            raise UserError(f"--{name} is missing")
        if name != "workdir" and not epath.Path(getattr(args, name)).exists():
            raise UserError(f"--{name} {getattr(args, name)}: there is no such file or folder")
    made = Stages(args.icdar, args.student, args.teacher, args.workdir)
    for name in [args.only] if args.only else TABLES:
        lines = TABLES[name](made)
        files.write_text(made.workdir / f"{name}.md", "\n".join(lines) + "\n")
        print("\n".join(lines))
        if name == "updates":
            tables.draw_curve(made, made.workdir / "curve.png")
    return 0


def explain():
    """The plan as lines: what, how many runs, how many minutes."""
    return recipe.describe_plan(plan.expected())


if __name__ == "__main__":
    cli.run(main)
