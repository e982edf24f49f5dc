"""Shows labels, augmented crops with their target maps, and word sizes, on one HTML page.

    python -m ppocr_jax.show_data --config configs/ppocrv3_det_mobile.py \\
        --config.data.root=icdar2015 --output look
    python -m ppocr_jax.show_data --config configs/ppocrv3_det_mobile.py \\
        --config.data.root=icdar2015 --output look --weights student.pdparams

`look/index.html` is self-contained and works offline; `look/pictures/` has its images as files and
`look/words.csv` a line per word. The crops are the first ones of training. The page counts the
words that are too small to learn in the crops (`data.targets.min_text_size`). With `--weights`, as
for `evaluate`, it also shows what these weights find in validation images and how that differs from
the labels: lines or words, tight or loose, shifted. The exit status is 1 if a label or an image
could not be shown.
"""

import argparse

import ml_collections

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.detection.network import open_network
from ppocr_jax.errors import UserError, shown, shows_progress, tell
from ppocr_jax.pages.look import Base, show
from ppocr_jax.runtime import process

MOST = 500  # images of each kind: a larger page is too much for a browser


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    args, config = cli.parse(_arguments(), argv)
    configs.check(config)
    for name in ("images", "crops"):
        if not 0 <= getattr(args, name) <= MOST:
            raise UserError(f"--{name} {getattr(args, name)}: should be 0 to {MOST}")
    if args.role and not args.weights:
        raise UserError("--role has no effect without --weights")
    base = open_base(config, args) if args.weights else None
    look = show(config, args.output, args.images, args.crops, base, shows_progress())
    for line in look.failures:
        tell(f"warning: {line}")
    for line in look.lines:
        print(shown(line))
    return 1 if look.failures else 0


def _arguments() -> cli.Parser:
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--output", required=True, metavar="DIR", help="folder for the page and its images")
    add("--images", type=int, default=12, metavar="N",
        help="images of each split to show with their labels; default: 12")  # fmt: skip
    add("--crops", type=int, default=8, metavar="N", help="training crops to show; default: 8")
    add(
        "--weights",
        help="show what these weights find, such as the published student",
    )
    add("--role", help="network of these weights; default: config.best.role")
    return arguments


def open_base(config: ml_collections.ConfigDict, args: argparse.Namespace) -> Base:
    """Loads the network of `--weights`.

    Raises:
        UserError: the weights cannot be loaded, or have no such role.
    """
    role = args.role or config.best.role
    if role not in config.roles:
        raise UserError(f"--role {role}: the config has {', '.join(config.roles)}")
    process.prepare()
    return Base(open_network(config, args.weights, role), str(args.weights))


if __name__ == "__main__":
    cli.run(main)
