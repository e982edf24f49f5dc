"""Lists every key of a config with its value, its meaning and where it is read.

    ppocr-jax config
    ppocr-jax config batch_size eval
    ppocr-jax config --config configs/quickstart.py --changed
    ppocr-jax config --config runs/mobile/config.json --config.crop=640 crop

KEY is a key, a section such as `data.augment`, or the last part of a key. Without --config it lists
configs/ppocrv3_det_mobile.py. A `*` marks values that differ from the default. The exit status is 2
if no run can use the values.
"""

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.errors import shown
from ppocr_jax.pages.config_keys import list_keys

USUAL = "configs/ppocrv3_det_mobile.py"


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    arguments = cli.parser(__doc__)
    arguments.add_argument("keys", nargs="*", metavar="KEY", help="keys or sections; default: all")
    arguments.add_argument(
        "--changed", action="store_true", help="only values that differ from the default"
    )
    args, config = cli.parse(arguments, argv, saved=lambda args: USUAL)
    lines, changed = list_keys(config, args.keys, args.changed)
    print("\n".join(map(shown, lines)))
    if not args.keys:
        print(f"\n{changed} values differ from the default, marked with *")
    configs.check(config)
    return 0


if __name__ == "__main__":
    cli.run(main)
