"""What the commands share: options, `--config` with overrides, one-line errors."""

import argparse
import difflib
import os
import pathlib
import sys

import absl.logging
from absl import flags
from ml_collections import config_flags

from ppocr_jax.errors import UserError

SAVED = pathlib.Path(__file__).parent / "weights" / "saved_config.py"


def run(command, argv=None):
    """Runs `command(argv) -> exit status`; a UserError
    or OSError becomes one line on stderr and status 2."""
    absl.logging.set_verbosity(absl.logging.FATAL)  # what Orbax logs is said in one line here
    try:
        sys.exit(command(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a full disk, a folder without rights
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def parser(doc):
    """An argument parser whose help is a module's docstring, with its example as it stands."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def parse(arguments, argv, needs_config=True, saved=None):
    """Parses the options of a command and its `--config FILE --config.key=value ...`.

    Args:
        arguments: the `argparse` parser of the command's own options.
        argv: what follows the command's name.
        needs_config: whether the command cannot do without a config.
        saved: `args -> path of a saved config.json or None`, used when `--config` is absent.

    Returns:
        `(args, config)`, config locked, or None when there is none and none is needed.

    Raises:
        UserError: an unknown option or config key (with the nearest name), a value of the wrong
            type, a config file that is missing or does not run.
    """
    arguments.add_argument("--config", metavar="FILE", help="config file, such as configs/X.py")
    arguments.add_argument(
        "--config.KEY",
        metavar="VALUE",
        dest="unused",
        help="overrides one value of the config, such as --config.data.root=icdar2015",
    )
    args, rest = arguments.parse_known_args(argv)
    source = args.config or (saved(args) if saved else None)
    if source is None:
        if rest:
            raise UserError(f"{rest[0]}: unknown option, or one that needs --config")
        if needs_config:
            raise UserError("--config is missing, such as --config configs/quickstart.py")
        return args, None
    if not args.config:
        source = f"{SAVED}:{source}"
    _let_import_parts(source)
    return args, _load_config(source, rest)


def _let_import_parts(source):
    """Lets a config import what lies beside its folder (`from configs import parts`)."""
    folder = str(pathlib.Path(source.partition(":")[0]).resolve().parents[1])
    if folder not in sys.path:
        sys.path.append(folder)


def _load_config(source, overrides):
    path = source.partition(":")[0]
    if not os.path.isfile(path):
        raise UserError(f"--config {path}: there is no such file")
    try:
        config, _ = _parse_flags([f"--config={source}"])
    except Exception as error:
        raise UserError(f"--config {path}: {type(error).__name__}: {error}") from None
    known = list(config_keys(config))
    for override in overrides:
        key = override.removeprefix("--config.").removeprefix("--noconfig.").partition("=")[0]
        if not override.startswith(("--config.", "--noconfig.")):
            if override.startswith("--"):
                raise UserError(f"{override}: unknown option")
            continue  # the value of the override before it
        if key.partition("[")[0] not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            inside = [name for name in known if name.startswith(key + ".")]
            hint = f"; did you mean {near[0]}?" if near else ""
            hint = f"; it holds {', '.join(inside)}" if inside else hint
            raise UserError(f"unknown config key {key}{hint}")
    try:
        config, left = _parse_flags([f"--config={source}", *overrides])
    except (flags.Error, TypeError, ValueError, AttributeError, KeyError, SyntaxError) as error:
        raise UserError(f"config: {str(error).replace('flag --', '')}") from None
    if left:
        raise UserError(f"{left[0]}: unknown argument")
    return config


def _parse_flags(argv):
    """`(config, what was left over)` of ml_collections' own parser."""
    argv, values = ["ppocr_jax", *argv], flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    left = values(argv)[1:]
    return values.config, left


def config_keys(config, prefix=""):
    """Dotted names of all values of a config."""
    for key, value in config.items():
        if hasattr(value, "items"):
            yield from config_keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key
