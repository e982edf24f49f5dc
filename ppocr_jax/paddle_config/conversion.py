"""Converts PaddleOCR's YAML into a config, a config file, and a report on what became of it."""

from __future__ import annotations

import os
import pathlib
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from ppocr_jax import config as configs
from ppocr_jax import defaults as parts
from ppocr_jax import forms
from ppocr_jax.errors import shown
from ppocr_jax.paddle_config import data, networks, settings
from ppocr_jax.paddle_config.ledger import Conversion, Ended, brief, value_at
from ppocr_jax.paddle_config.losses import read_losses
from ppocr_jax.paddle_config.yaml_file import override, read_yaml

MARK = "Converted by ppocr_jax.convert_config from "
NETWORKS = {"parts.small()": parts.small(), "parts.large()": parts.large()}


def convert(
    source: str | os.PathLike[str], overrides: Sequence[str] = (), cards: int = 1
) -> tuple[Conversion, str | None]:
    """Converts a YAML file into a config.

    Args:
        source: path of the file.
        overrides: `key=value` items, as after PaddleOCR's `-o`.
        cards: number of cards; PaddleOCR's batch size is per card, ours is the whole.

    Returns:
        `(conversion, workdir)`: the finished conversion with its `config`; and the folder that the
        file names for the run, or None.

    Raises:
        UserError: there is no such file, it is not YAML, or not the config of a text detector that
            can be built and trained here.
    """
    tree, repeated = read_yaml(source)
    override(tree, overrides)
    conversion = Conversion(str(source), tree, parts.base(epochs=500))
    conversion.notes += repeated
    # Networks first: the losses refer to their roles, and all else to both.
    roles = networks.read_networks(conversion)
    read_losses(conversion, roles)
    workdir = settings.read_global(conversion, cards)
    settings.read_optimizer(conversion)
    settings.read_postprocess(conversion, distils=None not in roles)
    settings.read_metric(conversion, roles)
    data.read_training(conversion, cards)
    data.read_validation(conversion)
    conversion.settle_rest()
    configs.check(conversion.config)
    return conversion, workdir


def write(conversion: Conversion, workdir: str | None, output: str | os.PathLike[str]) -> str:
    """The text of a Python config file that gives `conversion.config`.

    Only what differs from `configs.parts` is written out, so that it reads as our own configs do.

    Args:
        conversion: finished.
        workdir: folder for the command in its docstring; None for one by the name of the file.
        output: path that the file will have.
    """
    config, loss = conversion.config, conversion.config.loss
    start = parts.base(epochs=config.epochs)
    start.loss = parts.losses(labels=loss.labels, mutual=loss.mutual, teacher=loss.teacher)
    start.init_from = parts.init_from(config.roles)
    wholly = ("roles", "trainable", "loss.labels", "loss.mutual", "loss.teacher")
    keys = [key for key in forms.keys(config) if not key.startswith((*wholly, "epochs"))]
    changed = [key for key in keys if value_at(config, key) != value_at(start, key)]
    lines = [
        f'"""{_docstring(conversion, workdir, output)}"""',
        "",
        "from configs import parts",
        "",
        "",
        "def get_config():",
        f"    config = parts.base(epochs={config.epochs})",
        "    config.roles = dict(",
        *(f"        {role}={_network(network)}," for role, network in config.roles.items()),
        "    )",
        f"    config.trainable = {_literal(config.trainable)}",
        "    config.init_from = parts.init_from(config.roles)",
        "    config.loss = parts.losses(",
        *(f"        {key}={_literal(loss[key])}," for key in ("labels", "mutual", "teacher")
          if loss[key]),
        "    )",
        *(f"    config.{key} = {_literal(value_at(config, key))}" for key in changed),
        "    return config",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _docstring(conversion: Conversion, workdir: str | None, output: str | os.PathLike[str]) -> str:
    """The source of the config, the command to run, what is not carried, and notes."""
    workdir = workdir or f"runs/{pathlib.Path(output).stem}"
    options = ["--config", shlex.quote(str(output)), "--workdir", shlex.quote(workdir)]
    command = f"python -m ppocr_jax.train {' '.join(options)}"
    lines = [shown(f"{MARK}{conversion.source}"), "", shown(command)]
    for title, items in (
        ("Not carried:", lines_of(conversion.dropped)),
        ("To be known:", conversion.notes),
    ):
        wrapped = [textwrap.fill(shown(line), 96, initial_indent="* ", subsequent_indent="  ",
                                 break_long_words=False, break_on_hyphens=False)
                   for line in items]  # fmt: skip
        lines += ["", title, *wrapped] if items else []
    text = "\n".join(lines) + "\n"
    # Values come from the file: they must not end the docstring and become code.
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def _network(network: ConfigDict) -> str:
    """A network as code: by its name in `configs.parts`, or written out."""
    tree = network.to_dict()
    for name, known in NETWORKS.items():
        if tree == known:
            return name
    lines = [f"            {kind}={_literal(tree[kind])}," for kind in tree]
    return "\n".join(["dict(", *lines, "        )"])


def _literal(value: Any) -> str:
    """A value as Python code, with double quotes."""
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key}={_literal(item)}' for key, item in value.items())})"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    if isinstance(value, str) and "'" not in value:
        return '"' + repr(value)[1:-1].replace('"', '\\"') + '"'
    return repr(value)


def lines_of(ended: Ended) -> list[str]:
    """A line per leaf in a list of a conversion: `Global.epoch_num = 500: epochs`."""
    return [f"{path} = {brief(value)}: {text}" for path, (value, text) in ended.items()]


def report(conversion: Conversion, cards: int) -> Iterator[str]:
    """What became of the file, as lines for the user.

    Args:
        conversion: finished.
        cards: see `convert`.
    """
    config = conversion.config
    learn = [role for role in config.roles if role in config.trainable]
    frozen = [role for role in config.roles if role not in config.trainable]
    yield f"{', '.join(learn)} learn" + (f", {', '.join(frozen)} frozen" if frozen else "")
    yield f"{cards} x {config.batch_size // cards} images: {configs.describe_rate(config)}"
    root = config.data.root
    if not os.path.isdir(root):
        yield (
            f"data.root={root} is not a folder seen from here: relative paths start where a "
            "command is run"
        )
    for title, items in (
        ("carried", lines_of(conversion.carried)),
        ("without meaning here", lines_of(conversion.meaningless)),
        ("not carried", lines_of(conversion.dropped)),
        ("to be known", conversion.notes),
    ):
        yield f"{title} ({len(items)})"
        yield from (f"  {line}" for line in items)
