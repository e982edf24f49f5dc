"""What the commands share: options, `--config` with overrides, one-line errors."""

import argparse
import difflib
import sys

import absl.logging
from absl import flags
from ml_collections import config_flags

from ppocr_jax.config_files import open_config
from ppocr_jax.errors import UserError, explain, shown
from ppocr_jax.forms import keys


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
        print(f"error: {shown(f'{place}{explain(error)}')}", file=sys.stderr)
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
        saved: `args -> path of a saved config or None`, used when `--config` is absent.

    Returns:
        `(args, config)`, config locked, or None when there is none and none is needed.

    Raises:
        UserError: an unknown option or config key (with the nearest name), a value of the wrong
            type, a config file that is missing or does not run.
    """
    arguments.add_argument(
        "--config", metavar="FILE", help="configs/X.py, or the config.json of a run"
    )
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
    config, lines = open_config(str(source), found=not args.config)
    for line in lines:
        print(line, file=sys.stderr)
    return args, override(config, rest)


def override(config, overrides):
    """A config with `--config.key=value ...`, locked.

    Raises:
        UserError: an unknown option or key, a value of the wrong type.
    """
    _require_known(overrides, list(keys(config)))
    values = flags.FlagValues()
    try:
        argv = ["ppocr_jax", *overrides]
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
        left = values(argv)[1:]
    except (flags.Error, TypeError, ValueError, AttributeError, KeyError, SyntaxError) as error:
        raise UserError(f"config: {str(error).replace('flag --', '')}") from None
    if left:
        raise UserError(f"{left[0]}: unknown argument")
    return values.config


def _require_known(overrides, known):
    """Refuses keys that the config does not have, with the nearest that it has."""
    for item in overrides:
        key = item.removeprefix("--config.").removeprefix("--noconfig.").partition("=")[0]
        if not item.startswith(("--config.", "--noconfig.")):
            if item.startswith("--"):
                raise UserError(f"{item}: unknown option")
            continue  # the value of the override before it
        if key.partition("[")[0] not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            inside = [name for name in known if name.startswith(key + ".")]
            hint = f"; did you mean {near[0]}?" if near else ""
            hint = f"; it holds {', '.join(inside)}" if inside else hint
            raise UserError(f"unknown config key {key}{hint}")
