"""Shows labels, augmented crops with their target maps, and the sizes of words, on one page.

    python -m ppocr_jax.show_data --config configs/ppocrv3_det_mobile.py \\
        --config.data.root=icdar2015 --output look
    python -m ppocr_jax.show_data --config configs/ppocrv3_det_mobile.py \\
        --config.data.root=icdar2015 --output look --weights student.pdparams

`look/index.html` holds all of it and needs no network; `look/pictures/` has its pictures as files,
`look/words.csv` a line per word. The crops are those that training begins with. Words are counted
that training's crops show too small to be learned (`data.targets.min_text_size`). With `--weights`,
which is what `evaluate` takes, the page shows what these find in validation images, and says how
it differs from the labels: lines or words, tight or loose, moved. The exit status is 1 where a line
or a picture could not be shown.
"""

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.detection.network import open_network
from ppocr_jax.errors import UserError, shown, shows_progress, tell
from ppocr_jax.pages.look import Base, show
from ppocr_jax.runtime import process

MOST = 500  # pictures of a kind: a page of more is too large for a browser


def main(argv):
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


def _arguments():
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--output", required=True, metavar="DIR", help="folder for the page and its pictures")
    add("--images", type=int, default=12, metavar="N",
        help="images of each split that are shown with their labels; default: 12")  # fmt: skip
    add("--crops", type=int, default=8, metavar="N", help="crops of training; default: 8")
    add("--weights", help="whose boxes are laid beside the labels, such as the published student")
    add("--role", help="which network of the weights; default: config.best.role")
    return arguments


def open_base(config, args):
    """`look.Base` of `--weights`."""
    role = args.role or config.best.role
    if role not in config.roles:
        raise UserError(f"--role {role}: the config has {', '.join(config.roles)}")
    process.prepare()
    return Base(open_network(config, args.weights, role), str(args.weights))


if __name__ == "__main__":
    cli.run(main)
