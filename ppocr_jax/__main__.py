"""All commands under one name: `ppocr-jax train ...` is `python -m ppocr_jax.train ...`."""

import ast
import difflib
import importlib
import pathlib
import sys

from ppocr_jax import __version__, cli
from ppocr_jax.errors import UserError

COMMANDS = (
    "prepare_data", "pack", "check_data", "show_data", "train", "evaluate", "compare", "predict",
    "extract", "export", "convert_config", "config", "info", "download",
)  # fmt: skip
FILES = {"config": "list_config"}  # of commands whose name a room of the library has


def main():
    """Runs the command that the first argument names; the others are its own."""
    name, *rest = sys.argv[1:] or ["--help"]
    command = name.replace("-", "_")
    if command not in COMMANDS:
        cli.run(say, [name])
    sys.argv[0] = f"ppocr-jax {name}"  # which help texts and errors of options begin with
    module = importlib.import_module(
        f"ppocr_jax.{file_of(command)}"
    )  # each brings its own heavy imports
    cli.run(module.main, rest)


def say(argv):
    """Answers what is no command: help, the version, the nearest name."""
    [name] = argv
    if name == "--version":
        print(f"ppocr_jax {__version__}")
    elif name in ("--help", "-h", "help"):
        print("usage: ppocr-jax COMMAND ..., each with its own --help\n")
        print("\n".join(f"  {command:<15} {first_line(command)}" for command in COMMANDS))
    else:
        near = difflib.get_close_matches(name.replace("-", "_"), COMMANDS, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise UserError(f"{name}: no such command; {hint}")
    return 0


def file_of(command):
    """The name of a command's file, without its ending."""
    return FILES.get(command, command)


def first_line(command):
    """What a command does, from its file: an import would take seconds."""
    path = pathlib.Path(__file__).with_name(f"{file_of(command)}.py")
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]


if __name__ == "__main__":
    main()
