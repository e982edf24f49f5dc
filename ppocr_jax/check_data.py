"""Reads every label and every image of a config's data and says what is wrong with them.

    python -m ppocr_jax.check_data --config configs/ppocrv3_det_mobile.py \\
        --config.data.root=icdar2015

A line per finding: file, line, reason; of those that are alike the first three, and how many more
there are. Then a summary, with the share of words that are large enough to learn from at the
configured crop, notes on what is no mistake but worth knowing, and hints at a common cause. The
exit status is 1 when anything is wrong: all that `train` would refuse of the data, and more.
"""

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.data.findings import condense
from ppocr_jax.data.inspection import check
from ppocr_jax.errors import counted, shown, shows_progress


def main(argv):
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
