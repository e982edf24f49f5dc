"""Fine-tuning the published student: what averaged weights gain, and what 50, 200, 900 images do.

    python -m experiments.finetune_sizes --plan
    python -m experiments.finetune_sizes --icdar icdar2015 --student student.pdparams \\
        --workdir runs/sizes

`--icdar` is the folder of ICDAR2015 with PaddleOCR's two label files. If it is stopped, run the
same command again: it resumes, and finished runs are skipped. The results are `averaging.md` and
`sizes.md` in the workdir; `--only averaging` or `--only sizes` makes one of them.
"""

from collections.abc import Sequence

from etils import epath

from experiments import recipe
from experiments.finetune_sizes import plan, stages
from ppocr_jax import cli, files
from ppocr_jax.errors import UserError

TABLES = {"averaging": stages.averaging_table, "sizes": stages.sizes_table}


def main(argv: Sequence[str]) -> int:
    """Makes the tables that are asked for and returns the exit status."""
    arguments = cli.parser(__doc__)
    arguments.add_argument(
        "--icdar", metavar="DIR", help="folder of ICDAR2015, with PaddleOCR's label files"
    )
    arguments.add_argument("--student", metavar="FILE", help="the published student's weights")
    arguments.add_argument("--workdir", metavar="DIR", help="folder for all runs and the tables")
    arguments.add_argument("--only", choices=TABLES, help="make only this table")
    arguments.add_argument("--plan", action="store_true", help="print the plan with its minutes")
    args = arguments.parse_args(argv)
    if args.plan:
        print("\n".join(explain()))
        return 0
    for name in ("icdar", "student", "workdir"):
        if getattr(args, name) is None:
            raise UserError(f"--{name} is missing: it is needed for everything but --plan")
        if name != "workdir" and not epath.Path(getattr(args, name)).exists():
            raise UserError(f"--{name} {getattr(args, name)}: no such file or folder")
    made = stages.Stages(args.icdar, args.student, args.workdir)
    for name in [args.only] if args.only else TABLES:
        lines = TABLES[name](made)
        files.write_text(made.workdir / f"{name}.md", "\n".join(lines) + "\n")
        print("\n".join(lines))
    return 0


def explain() -> list[str]:
    """Returns the plan as lines: what, how many runs, how many minutes."""
    return recipe.describe_plan(plan.expected())


if __name__ == "__main__":
    cli.run(main)
