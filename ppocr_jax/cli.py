"""Shared by all commands: options, `--config` with overrides, one-line errors."""

import argparse
import contextlib
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import absl.logging
import ml_collections
from absl import flags
from ml_collections import config_flags

from ppocr_jax import __version__, averages, errors
from ppocr_jax.config_files import open_config
from ppocr_jax.errors import Escaping, UserError, explain, tell
from ppocr_jax.forms import KINDS, flatten, keys, plain, upgrade
from ppocr_jax.hints import hint_for
from ppocr_jax.runtime import interrupts

QUIET = "--quiet"
PIPE_CLOSED = 141  # the status a shell reports for a command ended by SIGPIPE
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
WRONG_VALUE = re.compile(
    r"(config\.([\w.]+)=.*): (?:invalid literal for int|could not convert|\('Non-boolean)"
)
PATH_KEYS = ("data.root", "data.train", "data.val", "init_from.")


def run(command: Callable[[list[str]], int], argv: list[str] | None = None) -> NoReturn:
    """Runs `command(argv) -> exit status` and exits with its status.

    A UserError or OSError becomes one line on stderr and status 2, Ctrl-C one line and 130. A
    closed pipe, as after `| head`, gives no line. `--quiet` takes effect here, because some
    commands print before they parse their options.
    """
    argv = sys.argv[1:] if argv is None else argv
    errors.be_quiet(QUIET in argv)
    absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax's errors are reported as one line here
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
    """Wraps stdout and stderr in `Escaping`, and flushes while errors can still be reported."""
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


def _fail(message: str) -> NoReturn:
    """Exits with one line and status 2."""
    with contextlib.suppress(OSError):  # stderr may be closed
        tell(f"error: {message}")
    _drop_output()
    sys.exit(2)


def _drop_output():
    """Discards output that could not be written: Python would fail on it again at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Parser(argparse.ArgumentParser):
    """A parser that expands `~` in values and reports mistakes in one line."""

    def error(self, message: str) -> NoReturn:
        """Raises a UserError instead of printing the usage."""
        raise UserError(f"{message}; --help lists the options")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As the base class, with every value through `local`."""
        found, rest = super().parse_known_args(args, namespace)
        for name, value in vars(found).items():
            option = "--" + name.replace("_", "-")
            if isinstance(value, str):
                setattr(found, name, local(value, option))
            elif isinstance(value, (list, tuple)):
                setattr(found, name, [local(v, option) if isinstance(v, str) else v for v in value])
        return found, rest


class _Heard(argparse.Action):
    """An option that is handled elsewhere, or only shown in the help; commands do not see it."""

    def __call__(self, *_):
        pass


def parser(doc: str | None) -> Parser:
    """An argument parser whose help is a module's docstring, with its line breaks kept.

    It has the options of all commands: `--help`, `--version` and `--quiet`.
    """
    arguments = Parser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    arguments.add_argument("--version", action="version", version=f"ppocr_jax {__version__}")
    arguments.add_argument(
        QUIET, action=_Heard, nargs=0, dest=argparse.SUPPRESS, default=argparse.SUPPRESS,
        help="no progress bars; only warnings and errors on stderr",
    )  # fmt: skip
    return arguments


def local(value: str, name: str) -> str:
    """Expands `~` in a path, or in several separated by commas, and checks them.

    A shell expands no `~` after `=` or after a comma.

    Args:
        value: of an option or a key.
        name: of that option or key, for messages.

    Raises:
        UserError: a URL, or a name that C++ libraries cannot handle.
    """
    parts = value.split(",")
    if any(ADDRESS.match(part.strip()) for part in parts):
        raise UserError(
            f"{name}={value}: only local paths work: download or copy it, or mount the bucket, and "
            "give that path"
        )
    if not value.isprintable() and any("\ud800" <= c <= "\udfff" or c == "\0" for c in value):
        raise UserError(
            f"{name}={value}: invalid UTF-8 or a NUL in the name: rename the file or folder"
        )
    return ",".join(os.path.expanduser(part) for part in parts)


def parse(
    arguments: argparse.ArgumentParser,
    argv: Sequence[str],
    needs_config: bool = True,
    saved: Callable[[argparse.Namespace], Any] | None = None,
) -> tuple[argparse.Namespace, Any]:
    """Parses the options of a command and its `--config FILE --config.key=value ...`.

    Args:
        arguments: parser with the command's own options.
        argv: the arguments after the command's name.
        needs_config: whether the command needs a config.
        saved: `args -> path of a saved config or None`, used if `--config` is absent.

    Returns:
        `(args, config)`: the config is a locked ConfigDict, or None if there is none and none is
        needed.

    Raises:
        UserError: an unknown option or config key (with the nearest name), a value of the wrong
            type, a config file that is missing or fails.
    """
    arguments.add_argument(
        "--config",
        metavar="FILE",
        help="a config file, such as configs/X.py, or a run's config.json",
    )
    arguments.add_argument(
        "--config.KEY=VALUE",
        action=_Heard,
        nargs=0,
        dest=argparse.SUPPRESS,
        default=argparse.SUPPRESS,
        help="override a value of the config, such as --config.data.root=icdar2015",
    )
    args, rest = arguments.parse_known_args(argv)
    _require_values(argv, rest)
    _suggest_option(arguments, rest)
    source = args.config or (saved(args) if saved else None)
    if source is None:
        if rest:
            raise UserError(f"{rest[0]}: unknown option, or one that needs --config")
        if needs_config:
            raise UserError("--config is missing: add, for example, --config configs/quickstart.py")
        return args, None
    config, lines = open_config(str(source), found=not args.config)
    for line in lines:
        tell(line)
    config = override(config, rest)
    _localise(config, args.config is not None)
    return args, config


def _require_values(argv, rest):
    """Catches `--config.key value a b`, where argparse takes the value as a positional argument.

    Args:
        argv: all arguments.
        rest: those that are not the command's own, in order.
    """
    for item, value in zip(argv, argv[1:], strict=False):
        if not item.startswith("--config.") or "=" in item or value.startswith("-"):
            continue
        place = rest.index(item)
        if rest[place + 1 : place + 2] != [value]:
            raise UserError(
                f"{item} {value}: in this command, write config values with `=`: {item}=VALUE"
            )


def _suggest_option(arguments, rest):
    """Catches a misspelt option of the command itself, such as `--crop` for `--crops`."""
    own = [name for action in arguments._actions for name in action.option_strings]
    for item in rest:
        name = item.partition("=")[0]
        near = difflib.get_close_matches(name, own, 1, 0.8)
        if near and name.startswith("--") and "config." not in name:
            raise UserError(f"{name}: unknown option; did you mean {near[0]}?")


def _localise(config, named):
    """Applies `local` to every path of a config.

    Args:
        config: locked.
        named: whether the user named it. Of a config found beside weights, `init_from` is not used
            and so not checked.
    """
    for key in keys(config):
        if not key.startswith(PATH_KEYS if named else PATH_KEYS[:-1]):
            continue
        *parents, last = key.split(".")
        section = config
        for parent in parents:
            section = section[parent]
        section[last] = local(section[last], f"config.{key}")


def override(
    config: ml_collections.ConfigDict, overrides: Sequence[str]
) -> ml_collections.ConfigDict:
    """Applies `--config.key=value ...` to a config and locks it.

    Raises:
        UserError: an unknown option or key, a value of the wrong type, also inside a tuple.
    """
    _require_known(overrides, list(keys(config)))
    values = flags.FlagValues()
    try:
        argv = ["ppocr_jax", *overrides]
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
        left = values(argv)[1:]
    except (flags.Error, TypeError, ValueError, AttributeError, KeyError, SyntaxError) as error:
        raise UserError(_describe_wrong_value(str(error), config)) from None
    if left:
        raise UserError(f"{left[0]}: unknown argument")
    averages.complete(values.config)
    upgrade(plain(values.config), "command line")  # ml_collections takes anything inside a tuple
    return values.config


def _describe_wrong_value(error, config):
    """What absl says about a value, but for numbers and booleans without Python's own words."""
    text = error.replace("flag --", "")
    found = WRONG_VALUE.match(text)
    if not found:
        return f"config: {text}"
    kind = KINDS[type(flatten(config.to_dict())[found[2]])]
    return f"{found[1]}: should be {kind}"


def given_keys(argv: Sequence[str]) -> tuple[str, ...]:
    """The config keys set by options: `learning_rate` for `--config.learning_rate=1e-3`."""
    names = (item.partition("=")[0] for item in argv if item.startswith("--config."))
    return tuple(name.removeprefix("--config.") for name in names)


def _require_known(overrides, known):
    """Checks that the config has every key; suggests the nearest for one it lacks."""
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
            hint = f"; it contains {', '.join(inside)}" if inside else hint_for(key, known)
            hint = hint or "; ppocr-jax config lists all keys"
            raise UserError(f"unknown config key {key}{hint}")
