"""Says what a model is and takes: parameters, operations, memory, the largest batch that fits.

    ppocr-jax info student.pdparams
    ppocr-jax info runs/mobile --size 1024x1792
    ppocr-jax info configs/ppocrv3_det_cml.py --config.batch_size=16 --config.crop=640
    ppocr-jax info configs/ppocrv3_det_dml.py --no-compile

What to look at is a config file, or weights: a workdir, one of its states, an extracted folder, a
`.pdparams` or ONNX file, or a published name. `--config FILE` names the config of weights that have
none. The figures come from programs that are compiled for this machine's devices and not run, which
takes minutes; `--no-compile` counts the parameters alone. `config.batch_size=0` takes the batch
that the last line names, or the images of an epoch where these are fewer.
"""

import re

from ppocr_jax import cli, config_files
from ppocr_jax import config as configs
from ppocr_jax.errors import UserError, shown, tell
from ppocr_jax.runtime import process

CONFIGS = (".py", ".json", ".yml", ".yaml")


def main(argv):
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


def _arguments():
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("what", metavar="WEIGHTS|CONFIG", help="what to look at")
    add("--role", help="whose forward pass; default: config.best.role")
    add("--size", metavar="HxW", default="736x1280", help="of its images; default: 736x1280")
    add("--batch", type=int, default=1, help="images in one forward pass; default: 1")
    add("--no-compile", action="store_true", help="count parameters alone")
    return arguments


def _config_of(args):
    if args.what.endswith(CONFIGS):
        return args.what
    return config_files.find_for(args.what, partial=True)


def _print(lines):
    for line in lines:
        print(shown(line), flush=True)


def parse_size(text):
    """`736x1280` as (height, width)."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.lower())
    if not found or not all(int(s) and int(s) % 32 == 0 for s in found.groups()):
        raise UserError(f"--size {text}: give HEIGHTxWIDTH in multiples of 32: 736x1280")
    return tuple(map(int, found.groups()))


if __name__ == "__main__":
    cli.run(main)
