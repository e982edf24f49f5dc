"""What the commands share: options, `--config` with overrides, one-line errors."""

import argparse
import contextlib
import os
import re
import sys

import absl.logging
from absl import flags
from ml_collections import config_flags

from ppocr_jax import __version__, averages, errors
from ppocr_jax.config_files import open_config
from ppocr_jax.errors import Escaping, UserError, explain, tell
from ppocr_jax.forms import keys
from ppocr_jax.hints import hint_for
from ppocr_jax.runtime import interrupts

QUIET = "--quiet"
PIPE_CLOSED = 141  # what a shell says of a command that SIGPIPE ended
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
PATH_KEYS = ("data.root", "data.train", "data.val", "init_from.")


def run(command, argv=None):
    """Runs `command(argv) -> exit status` and exits with it.

    A UserError or OSError becomes one line on stderr and status 2, Ctrl-C one line and 130. Where
    nobody reads the output any more, as after `| head`, there is no line. `--quiet` counts from
    here on: some commands have something to say before they look at their options.
    """
    argv = sys.argv[1:] if argv is None else argv
    errors.be_quiet(QUIET in argv)
    absl.logging.set_verbosity(absl.logging.FATAL)  # what Orbax logs is said in one line here
    try:
        interrupts.end_in_order()
        with _escaping():
            status = command(argv)
        sys.exit(status)
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:
        _drop_output()
        sys.exit(PIPE_CLOSED)
    except OSError as error:  # a full disk, a folder without rights
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{explain(error)}")
    except KeyboardInterrupt:
        interrupts.finish()


@contextlib.contextmanager
def _escaping():
    """Prints through `Escaping`, and has all printed before it is too late for a line on that."""
    with contextlib.ExitStack() as replaced:
        if sys.stderr is not None:
            replaced.enter_context(contextlib.redirect_stderr(Escaping(sys.stderr)))
        if sys.stdout is not None:
            replaced.enter_context(contextlib.redirect_stdout(Escaping(sys.stdout)))
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()


def _fail(message):
    """Ends with one line and status 2."""
    with contextlib.suppress(OSError):  # nobody may be left to read it
        tell(f"error: {message}")
    _drop_output()
    sys.exit(2)


def _drop_output():
    """Lets what a stream could not write be forgotten, rather than fail again at the end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Parser(argparse.ArgumentParser):
    """A parser that takes paths as a shell would have given them, and says mistakes in one line."""

    def error(self, message):
        raise UserError(f"{message}; --help lists the options")

    def parse_known_args(self, args=None, namespace=None):
        args, rest = super().parse_known_args(args, namespace)
        for name, value in vars(args).items():
            option = "--" + name.replace("_", "-")
            if isinstance(value, str):
                setattr(args, name, local(value, option))
            elif isinstance(value, (list, tuple)):
                setattr(args, name, [local(v, option) if isinstance(v, str) else v for v in value])
        return args, rest


class _Heard(argparse.Action):
    """An option that `run` has acted on, and that no command needs to know of."""

    def __call__(self, *_):
        pass


def parser(doc):
    """An argument parser whose help is a module's docstring, with its example as it stands.

    It has the options that all commands have: `--help`, `--version` and `--quiet`.
    """
    arguments = Parser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    arguments.add_argument("--version", action="version", version=f"ppocr_jax {__version__}")
    arguments.add_argument(
        QUIET, action=_Heard, nargs=0, dest=argparse.SUPPRESS, default=argparse.SUPPRESS,
        help="no progress, and on stderr only warnings and errors",
    )  # fmt: skip
    return arguments


def local(value, name):
    """A path of this machine, or several separated by commas, with `~` for the home folder.

    No shell expands a `~` after `=`, or after a comma.

    Args:
        value: of an option or a key.
        name: of that option or key, for the message.

    Raises:
        UserError: an address of something elsewhere, or a name that libraries in C++ fail at.
    """
    parts = value.split(",")
    if any(ADDRESS.match(part.strip()) for part in parts):
        raise UserError(
            f"{name}={value}: paths are files and folders of this machine: download or copy it, or "
            "mount the bucket, and give that path"
        )
    if not value.isprintable() and any("\ud800" <= c <= "\udfff" or c == "\0" for c in value):
        raise UserError(f"{name}={value}: broken UTF-8, or a NUL; rename the file or folder")
    return ",".join(os.path.expanduser(part) for part in parts)


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
    _require_values(argv, rest)
    source = args.config or (saved(args) if saved else None)
    if source is None:
        if rest:
            raise UserError(f"{rest[0]}: unknown option, or one that needs --config")
        if needs_config:
            raise UserError("--config is missing, such as --config configs/quickstart.py")
        return args, None
    config, lines = open_config(str(source), found=not args.config)
    for line in lines:
        tell(line)
    config = override(config, rest)
    _localise(config, args.config is not None)
    return args, config


def _require_values(argv, rest):
    """Refuses a key whose value an argument without a name has taken: `--config.key value a b`.

    Args:
        argv: all arguments.
        rest: those that are no options of the command, in their order.
    """
    for item, value in zip(argv, argv[1:], strict=False):
        if not item.startswith("--config.") or "=" in item or value.startswith("-"):
            continue
        place = rest.index(item)
        if rest[place + 1 : place + 2] != [value]:
            raise UserError(
                f"{item} {value}: in this command a value of the config follows `=`: {item}=VALUE"
            )


def _localise(config, named):
    """Makes the paths of a config those of this machine, see `local`.

    Args:
        config: locked.
        named: whether the user has named it; what another one has in `init_from` is not followed.
    """
    for key in keys(config):
        if not key.startswith(PATH_KEYS if named else PATH_KEYS[:-1]):
            continue
        *parents, last = key.split(".")
        section = config
        for parent in parents:
            section = section[parent]
        section[last] = local(section[last], f"config.{key}")


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
    averages.complete(values.config)
    return values.config


def given_keys(argv):
    """Keys of the config that options name: `learning_rate` of `--config.learning_rate=1e-3`."""
    names = (item.partition("=")[0] for item in argv if item.startswith("--config."))
    return tuple(name.removeprefix("--config.") for name in names)


def _require_known(overrides, known):
    """Refuses keys that the config does not have, with the nearest that it has."""
    for item in overrides:
        key = item.removeprefix("--config.").removeprefix("--noconfig.").partition("=")[0]
        if not item.startswith(("--config.", "--noconfig.")):
            if item.startswith("--"):
                hint = hint_for(item.lstrip("-").partition("=")[0], known)
                hint = hint.replace("did you mean ", "did you mean --config.")
                raise UserError(f"{item}: unknown option{hint}")
            continue  # the value of the override before it
        if key.partition("[")[0] not in known:
            inside = [name for name in known if name.startswith(key + ".")]
            hint = f"; it holds {', '.join(inside)}" if inside else hint_for(key, known)
            hint = hint or "; ppocr-jax config lists all keys"
            raise UserError(f"unknown config key {key}{hint}")
