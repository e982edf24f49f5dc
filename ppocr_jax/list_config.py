"""Prints every key of a config with its value, what it means and where it is read.

    ppocr-jax config
    ppocr-jax config batch_size eval
    ppocr-jax config --config configs/quickstart.py --changed
    ppocr-jax config --config runs/mobile/config.json --config.crop=640 crop

KEY is a key, a section such as `data.augment`, or the last part of a key. Without --config the keys
are those of configs/ppocrv3_det_mobile.py. A `*` marks a value that is not the default. The exit
status is 2 where no run can use the values.
"""

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.errors import shown
from ppocr_jax.pages.config_keys import list_keys

USUAL = "configs/ppocrv3_det_mobile.py"


def main(argv):
    arguments = cli.parser(__doc__)
    arguments.add_argument("keys", nargs="*", metavar="KEY", help="keys or sections; default: all")
    arguments.add_argument("--changed", action="store_true", help="only what is not the default")
    args, config = cli.parse(arguments, argv, saved=lambda args: USUAL)
    lines, changed = list_keys(config, args.keys, args.changed)
    print("\n".join(map(shown, lines)))
    if not args.keys:
        print(f"\nnot the default, marked with *: {changed} of the keys")
    configs.check(config)
    return 0


if __name__ == "__main__":
    cli.run(main)
