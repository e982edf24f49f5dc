"""Explains the keys of a config: value, meaning, allowed values, and the code that reads it."""

from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from ppocr_jax import config as configs
from ppocr_jax import defaults
from ppocr_jax.errors import UserError
from ppocr_jax.forms import KINDS, flatten, plain
from ppocr_jax.hints import hint_for
from ppocr_jax.meanings import meaning_of, place_of

# Keys without a default: every recipe sets them.
WITHOUT = ("roles.", "trainable", "epochs", "loss.labels", "loss.mutual", "loss.teacher")


def list_keys(
    config: ConfigDict, wanted: Collection[str] = (), changed_only: bool = False
) -> tuple[list[str], int]:
    """Explains the keys of a config.

    Args:
        config: a complete config.
        wanted: keys or sections, or the last parts of such names; empty for all keys.
        changed_only: leave out keys that have their default.

    Returns:
        `(lines, count)`: three lines and a blank one for each key, and the number of keys whose
        value is not the default.

    Raises:
        UserError: a wanted name is not a key.
    """
    values, usual = flatten(plain(config)), defaults_beside(config)
    chosen = _choose(values, wanted)
    changed = {key for key in chosen if key in usual and usual[key] != values[key]}
    lines = []
    for key in chosen:
        if key in changed or not changed_only:
            note = f"   (default {_shown(usual[key])})" if key in changed else ""
            mark = "* " if key in changed else "  "
            key_of = meaning_of(key)
            lines += [f"{mark}{key} = {_shown(values[key])}{note}"]
            if key_of:
                read = f"read in ppocr_jax/{key_of.read_in}"
                lines += [f"      {key_of.meaning}", f"      {kind_of(key, values[key])}; {read}"]
            lines += [""]
    return lines[:-1], len(changed)


def defaults_beside(config: ConfigDict) -> dict[str, Any]:
    """`{dotted key: default}` of the keys that have a default."""
    usual = defaults.base(epochs=1)
    usual.init_from = defaults.init_from(config.roles)
    usual.loss = defaults.losses(config.trainable, config.loss.mutual)
    return {k: v for k, v in flatten(plain(usual)).items() if not k.startswith(WITHOUT)}


def kind_of(key: str, value: Any) -> str:
    """What values a key takes, in words: a choice of names, or a type with its bounds."""
    if key in configs.NAMES:
        return configs.one_of(configs.NAMES[key])
    if isinstance(value, list):
        return "a list" if not value else f"a list such as {_shown(value)}"
    bounds = [f"at least {configs.AT_LEAST[key]}"] if key in configs.AT_LEAST else []
    bounds += [f"at most {configs.AT_MOST[key]}"] if key in configs.AT_MOST else []
    return ", ".join([KINDS.get(type(value), "a value"), *bounds])


def _choose(values: Mapping[str, Any], wanted: Collection[str]) -> list[str]:
    """The keys that `wanted` names, in the order of `meanings.KEYS`."""
    known = sorted(values, key=place_of)
    asked: set[str] = set()
    for name in wanted:
        name = name.removeprefix("--").removeprefix("config.").partition("=")[0]
        inside = [key for key in known if key == name or key.startswith(f"{name}.")]
        ending = [key for key in known if key.endswith(f".{name}")]
        if not inside and not ending:
            is_file = name.endswith((".py", ".json"))
            hint = f"; for a file, --config {name}" if is_file else hint_for(name, known)
            raise UserError(f"unknown config key {name}{hint}")
        asked.update(inside or ending)
    return [key for key in known if key in asked or not wanted]


def _shown(value: Any) -> str:
    """A value in the form that `--config.key=value` accepts."""
    if isinstance(value, list):
        items = [_shown(item) if isinstance(item, list) else repr(item) for item in value]
        return f"({', '.join(items)}{',' * (len(items) == 1)})"
    return repr(value) if isinstance(value, str) and not value else str(value)
