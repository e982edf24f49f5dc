"""Reads every label and image of a dataset and reports everything that is wrong.

    python -m ppocr_jax.check_data --config configs/ppocrv3_det_mobile.py \\
        --config.data.root=icdar2015

It prints a line per problem with file, line and reason; of similar ones the first three, and how
many more there are. A summary follows: the share of words that are large enough to learn from at
the configured crop, notes that are worth knowing, and hints at a common cause. The exit status is 1
if anything is wrong: everything in the data that `train` would refuse, and more.
"""

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.data.findings import condense
from ppocr_jax.data.inspection import check
from ppocr_jax.errors import counted, shown, shows_progress


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    args, config = cli.parse(cli.parser(__doc__), argv)
    configs.check(config)
    problems, summary = check(config, progress=shows_progress())
    for line in [*condense(problems), *summary]:
        print(shown(line))
    wrong = [problem for problem in problems if not problem.harmless]
    print(counted(len(wrong), "problem") if wrong else "nothing is wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    cli.run(main)
