"""What averaging gives, and what 50, 200 and 900 images give to the published student.

    python -m experiments.finetune_sizes --plan
    python -m experiments.finetune_sizes --icdar icdar2015 --student student.pdparams \\
        --workdir runs/sizes

`--icdar` holds ICDAR2015 with PaddleOCR's two label files. Given again, the same command goes on
where it was stopped; what is done is not done again. `averaging.md` and `sizes.md` in the workdir
are the tables; `--only averaging` or `--only sizes` makes one of them.
"""

from etils import epath

from experiments import recipe
from experiments.finetune_sizes import plan, stages
from ppocr_jax import cli, files
from ppocr_jax.errors import UserError

TABLES = {"averaging": stages.averaging_table, "sizes": stages.sizes_table}


def main(argv):
    arguments = cli.parser(__doc__)
    arguments.add_argument("--icdar", metavar="DIR", help="folder of ICDAR2015")
    arguments.add_argument("--student", metavar="FILE", help="the published student")
    arguments.add_argument("--workdir", metavar="DIR", help="folder of all runs and the tables")
    arguments.add_argument("--only", choices=TABLES, help="one of the two tables")
    arguments.add_argument("--plan", action="store_true", help="say the minutes and end")
    args = arguments.parse_args(argv)
    if args.plan:
        print("\n".join(explain()))
        return 0
    for name in ("icdar", "student", "workdir"):
        if getattr(args, name) is None:
            raise UserError(f"--{name} is missing")
        if name != "workdir" and not epath.Path(getattr(args, name)).exists():
            raise UserError(f"--{name} {getattr(args, name)}: there is no such file or folder")
    made = stages.Stages(args.icdar, args.student, args.workdir)
    for name in [args.only] if args.only else TABLES:
        lines = TABLES[name](made)
        files.write_text(made.workdir / f"{name}.md", "\n".join(lines) + "\n")
        print("\n".join(lines))
    return 0


def explain():
    """The plan as lines: what, how many runs, how many minutes."""
    return recipe.describe_plan(plan.expected())


if __name__ == "__main__":
    cli.run(main)
