"""Every key of a config, for people: its value, what it means, what it may be, who reads it."""

from ppocr_jax import config as configs
from ppocr_jax import defaults
from ppocr_jax.errors import UserError
from ppocr_jax.forms import KINDS, flatten, plain
from ppocr_jax.hints import hint_for
from ppocr_jax.meanings import meaning_of, place_of

WITHOUT = ("roles.", "trainable", "epochs", "loss.labels", "loss.mutual", "loss.teacher")


def list_keys(config, wanted=(), changed_only=False):
    """Lines on the keys of a config.

    Args:
        config: a whole config.
        wanted: keys or sections, or the last parts of such names; all keys where it is empty.
        changed_only: leave out what has its default.

    Returns:
        `(lines, count)`: three lines for a key and a blank one, and how many have another value
        than their default.

    Raises:
        UserError: a wanted name is none.
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


def defaults_beside(config):
    """`{dotted key: default}` of the keys that have one; networks and their lists have none."""
    usual = defaults.base(epochs=1)
    usual.init_from = defaults.init_from(config.roles)
    usual.loss = defaults.losses(config.trainable, config.loss.mutual)
    return {k: v for k, v in flatten(plain(usual)).items() if not k.startswith(WITHOUT)}


def kind_of(key, value):
    """What a key takes, in words: its names, or its kind with the bounds."""
    if key in configs.NAMES:
        return configs.one_of(configs.NAMES[key])
    if isinstance(value, list):
        return "a list" if not value else f"a list such as {_shown(value)}"
    bounds = [f"at least {configs.AT_LEAST[key]}"] if key in configs.AT_LEAST else []
    bounds += [f"at most {configs.AT_MOST[key]}"] if key in configs.AT_MOST else []
    return ", ".join([KINDS.get(type(value), "a value"), *bounds])


def _choose(values, wanted):
    """The keys that are asked for, in the order of `meanings.KEYS`."""
    known, asked = sorted(values, key=place_of), set()
    for name in wanted:
        name = name.removeprefix("--").removeprefix("config.").partition("=")[0]
        inside = [key for key in known if key == name or key.startswith(f"{name}.")]
        ending = [key for key in known if key.endswith(f".{name}")]
        if not inside and not ending:
            raise UserError(f"unknown config key {name}{hint_for(name, known)}")
        asked.update(inside or ending)
    return [key for key in known if key in asked or not wanted]


def _shown(value):
    """A value as `--config.key=value` takes it."""
    if isinstance(value, list):
        items = [_shown(item) if isinstance(item, list) else repr(item) for item in value]
        return f"({', '.join(items)}{',' * (len(items) == 1)})"
    return repr(value) if isinstance(value, str) and not value else str(value)
