"""Reads every label and every image of a config's data and says what is wrong with them.

    python -m ppocr_jax.check_data --config configs/ppocrv3_det_mobile.py \\
        --config.data.root=icdar2015

One line per finding: file, line, reason. Then a summary, with the share of words that are large
enough to learn from at the configured crop. The exit status is 1 when anything is wrong.
"""

import sys

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.data.inspection import check
from ppocr_jax.errors import shown


def main(argv):
    args, config = cli.parse(cli.parser(__doc__), argv)
    configs.check(config)
    problems, summary = check(config, progress=sys.stderr.isatty())
    for line in [*problems, *summary]:
        print(shown(str(line)))
    print(f"{len(problems)} problems" if problems else "nothing is wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    cli.run(main)
