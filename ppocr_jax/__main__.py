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
FILES = {"config": "list_config"}  # commands whose name is taken by a module of the library


def main() -> None:
    """Runs the command named by the first argument, with the remaining ones."""
    name, *rest = sys.argv[1:] or ["--help"]
    command = name.replace("-", "_")
    if command not in COMMANDS:
        cli.run(say, [name])
    sys.argv[0] = f"ppocr-jax {name}"  # shown in help texts and errors
    # Imported only now: each command has heavy imports of its own.
    module = importlib.import_module(f"ppocr_jax.{file_of(command)}")
    cli.run(module.main, rest)


def say(argv: list[str]) -> int:
    """Handles everything that is no command: help, the version, a misspelt name."""
    [name] = argv
    if name == "--version":
        print(f"ppocr_jax {__version__}")
    elif name in ("--help", "-h", "help"):
        print("usage: ppocr-jax COMMAND ..., each with --help, --version and --quiet\n")
        print("\n".join(f"  {typed(command):<15} {first_line(command)}" for command in COMMANDS))
    elif name.startswith("-"):
        raise UserError(f"{name}: options follow the command, as in ppocr-jax train {name}")
    else:
        near = difflib.get_close_matches(name.replace("-", "_"), COMMANDS, 1, 0.5)
        known = ", ".join(map(typed, COMMANDS))
        hint = f"did you mean {typed(near[0])}?" if near else f"there are {known}"
        raise UserError(f"{name}: no such command; {hint}")
    return 0


def typed(command: str) -> str:
    """A command as the documentation writes it; with underscores it works as well."""
    return command.replace("_", "-")


def file_of(command: str) -> str:
    """The name of a command's file, without its suffix."""
    return FILES.get(command, command)


def first_line(command: str) -> str:
    """The first line of a command's docstring, parsed from its file: an import takes seconds."""
    path = pathlib.Path(__file__).with_name(f"{file_of(command)}.py")
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[0]


if __name__ == "__main__":
    main()
