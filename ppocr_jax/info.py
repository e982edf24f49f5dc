"""Shows parameters, FLOPs and memory of a model, and the largest batch that fits.

    ppocr-jax info student.pdparams
    ppocr-jax info runs/mobile --size 1024x1792
    ppocr-jax info configs/ppocrv3_det_cml.py --config.batch_size=16 --config.crop=640
    ppocr-jax info configs/ppocrv3_det_dml.py --no-compile

The argument is a config file, or weights: a workdir, one of its checkpoints, an extracted folder, a
`.pdparams` or ONNX file, or a published name. `--config FILE` is for weights without a config. The
figures come from programs compiled for this machine's devices but not run, which takes minutes;
`--no-compile` only counts parameters. `config.batch_size=0` uses the batch in the last line, or all
images of an epoch if these are fewer.
"""

import argparse
import re
from collections.abc import Iterable

from ppocr_jax import cli, config_files
from ppocr_jax import config as configs
from ppocr_jax.errors import UserError, shown, tell
from ppocr_jax.runtime import process

CONFIGS = (".py", ".json", ".yml", ".yaml")


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    process.prepare()  # before weights without a config are looked at
    args, config = cli.parse(_arguments(), argv, saved=_config_of)
    configs.check(config)
    size = parse_size(args.size)
    if args.batch < 1:
        raise UserError(f"--batch {args.batch}: should be at least 1")
    role = args.role or config.best.role
    if role not in config.roles:
        raise UserError(f"--role {role}: the config has {', '.join(config.roles)}")
    from ppocr_jax.training import model_info

    if not args.what.endswith(CONFIGS):
        _print(model_info.describe_weights(config, args.what))
    _print(model_info.describe_networks(config))
    if not args.no_compile:
        _print(model_info.describe_passes(config, role, size, args.batch, tell))
        _print([model_info.ASSUMED])
    return 0


def _arguments() -> cli.Parser:
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("what", metavar="WEIGHTS|CONFIG", help="weights or a config file")
    add("--role", help="network of the forward pass; default: config.best.role")
    add("--size", metavar="HxW", default="736x1280", help="size of its images; default: 736x1280")
    add("--batch", type=int, default=1, help="images per forward pass; default: 1")
    add("--no-compile", action="store_true", help="only count parameters")
    return arguments


def _config_of(args: argparse.Namespace) -> str:
    if args.what.endswith(CONFIGS):
        return args.what
    return config_files.find_for(args.what, partial=True)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(shown(line), flush=True)


def parse_size(text: str) -> tuple[int, int]:
    """Parses `736x1280` to (height, width).

    Raises:
        UserError: another form, or sides that are not multiples of 32.
    """
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.lower())
    if not found or not all(int(s) and int(s) % 32 == 0 for s in found.groups()):
        raise UserError(f"--size {text}: give HEIGHTxWIDTH in multiples of 32: 736x1280")
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    cli.run(main)
