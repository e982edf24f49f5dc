"""The form of a config: its keys, the types of their values, and the upgrade of older forms.

A config file may be older than this program, and so may the config saved by a run, in an extracted
folder or in an exported file. Both are compared with the tree that `defaults` makes for them:
missing keys get values that keep the old behaviour, keys that nothing reads are dropped, and both
are reported.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

from ppocr_jax import defaults
from ppocr_jax.errors import UserError
from ppocr_jax.hints import hint_for

FORM = 2  # version of saved configs; form 1 has no such key and may lack others
LEFT_OUT = "ignoring unknown keys"
# Where a default does not do on every device what older versions did, the line on it says so.
WAS_OTHERWISE = {"precision": " (but tf32 on GPUs: set it to keep their rounding)"}
NAME = r"[\w-]{1,64}"  # of a network
NAMES = ("",)  # template: any number of names
PAIR = ("", "", 1.0)  # template: two roles and a weight, which may be missing
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def plain(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The config as nested dicts of JSON types; tuples become lists."""
    return json.loads(config.to_json())


def keys(config: Any, prefix: str = "") -> Iterator[str]:
    """Yields the dotted names of all values of a config."""
    for key, value in config.items():
        if hasattr(value, "items"):
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested dicts to `{"data.root": ...}`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, dict) and value
        flat.update(flatten(value, f"{prefix}{key}.") if nested else {prefix + key: value})
    return flat


def with_tuples(value: Any) -> Any:
    """Turns every list in `value` into a tuple, as configs have them."""
    if isinstance(value, dict):
        return {key: with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(with_tuples(item) for item in value)
    return value


def upgrade(tree: Any, name: str = "config.json") -> tuple[dict[str, Any], list[str]]:
    """Upgrades a saved config to the form of this version.

    Args:
        tree: nested dicts from JSON, complete or not, of this form or an older one.
        name: of the file, for messages.

    Returns:
        `(tree, lines)`: a new tree with every key, without `form`, and what was changed.

    Raises:
        UserError: no mapping, a newer form, a value of the wrong type, or a missing key that has no
            default: `roles`, `trainable`.
    """
    if not isinstance(tree, dict):
        raise UserError(f"{name}: holds no config (a mapping of keys)")
    form = tree.get("form", 1)
    if type(form) is not int or form > FORM:
        raise UserError(
            f"{name}: form={form}: this version of ppocr_jax reads forms up to {FORM}: update it"
        )
    match = _Match({key: value for key, value in tree.items() if key != "form"}, name)
    return match.whole, match.lines()


def complete(config: ml_collections.ConfigDict, name: str) -> list[str]:
    """Fills in missing keys of a config and removes those that nothing reads, in place.

    Args:
        config: of a config file.
        name: of the file, for messages.

    Returns:
        Lines on what was changed.

    Raises:
        UserError: as `upgrade`.
    """
    match = _Match(plain(config), name)
    with config.unlocked():
        for key, value in match.filled.items():
            section, last = _section(config, key)
            section[last] = with_tuples(value)
        for key in match.unknown:
            section, last = _section(config, key)
            del section[last]
    return match.lines()


def _section(config, key):
    """`(section, last name)` of a dotted key."""
    *parents, last = key.split(".")
    for parent in parents:
        config = config[parent]
    return config, last


class _Match:
    """Compares a tree with the one that `defaults` makes for it.

    Attributes:
        whole: the completed tree; JSON types.
        filled: `{dotted key: value}` of missing keys; a missing section is one entry.
        unknown: `{dotted key: value}` of keys that nothing reads.
    """

    def __init__(self, tree: dict[str, Any], name: str) -> None:
        self.name = name
        self.filled: dict[str, Any] = {}
        self.unknown: dict[str, Any] = {}
        self._like = self._reference(tree)
        self.whole = self._walk(tree, self._like, "")

    def lines(self) -> list[str]:
        """A line on the keys that were filled in, and one on those that were removed."""
        lines = []
        if self.filled:
            values = ", ".join(
                f"{key}={_short(value)}{WAS_OTHERWISE.get(key, '')}"
                for key, value in flatten(self.filled).items()
            )
            lines.append(f"missing keys get the values that older versions used: {values}")
        if self.unknown:
            known = list(flatten(self._like))
            named = []
            for key, value in flatten(self.unknown).items():
                hint = hint_for(key, known).removeprefix("; ")
                hint = f" ({hint})" if hint else ""
                named.append(f"{key}={_short(value)}{hint}")
            lines.append(f"{LEFT_OUT}: {', '.join(named)}")
        return lines

    def _reference(self, tree):
        """The tree of all keys, with values of the right types.

        Its values keep what a run without the key did. A default that does not has to be set back
        here, or explained in `WAS_OTHERWISE`.
        """
        for key, wanted in (("roles", dict), ("trainable", list)):
            if key not in tree:
                raise UserError(f"{self.name}: config.{key} is missing and has no default")
            if not isinstance(tree[key], wanted):
                self._refuse(key, tree[key], "a mapping" if wanted is dict else "a list")
        roles, trainable = tree["roles"], tree["trainable"]
        self._check_networks(roles)
        loss = tree["loss"] if isinstance(tree.get("loss"), dict) else {}
        like = defaults.base(epochs=1).to_dict()
        like["roles"] = roles  # the networks check their own arguments
        like["trainable"] = like["freeze"] = NAMES
        like["init_from"] = defaults.init_from(roles)
        like["loss"] = defaults.losses(trainable, mutual=loss.get("mutual"))
        like["loss"].update({"labels": trainable, "mutual": (PAIR,), "teacher": (PAIR,)})
        if "student" not in trainable:
            like["best"]["role"] = str(next(iter(trainable), "student"))
        return like

    def _check_networks(self, roles):
        for role, network in roles.items():
            key = f"roles.{role}"
            if not re.fullmatch(NAME, role) or role == "all":  # it becomes part of file names
                raise UserError(
                    f"{self.name}: config.{key}: the name of a network may have letters, digits, _ "
                    'and -, at most 64, and must not be "all"'
                )
            if not isinstance(network, dict):
                self._refuse(key, network, "a network: backbone, neck and head")
            for part in ("backbone", "neck", "head"):
                named = network.get(part)
                if not isinstance(named, dict) or not isinstance(named.get("name"), str):
                    self._refuse(f"{key}.{part}", named, "a mapping with a name")
                strange = [argument for argument in named if not argument.isidentifier()]
                if strange:
                    self._refuse(f"{key}.{part}", strange[0], "an argument")

    def _walk(self, tree, like, path):
        whole = {}
        for key, default in like.items():
            if key not in tree:
                self.filled[path + key] = whole[key] = _value_of(default)
            elif isinstance(default, dict):
                if not isinstance(tree[key], dict):
                    self._refuse(path + key, tree[key], f"a mapping with {', '.join(default)}")
                whole[key] = self._walk(tree[key], default, f"{path}{key}.")
            else:
                whole[key] = self._convert(tree[key], default, path + key)
        for key in tree:
            if (
                key not in like and path == "init_from." and re.fullmatch(NAME, key)
            ):  # one per role, or the name of a file
                whole[key] = self._convert(tree[key], "", path + key)
            elif key not in like:
                self.unknown[path + key] = tree[key]
        return whole

    def _convert(self, value, like, key):
        """Converts `value` to the type of `like`; a whole number may stand for a float.

        A tuple with one entry stands for any number of such values, a longer one for exactly as
        many, of which those after the second may be missing.
        """
        if isinstance(like, tuple):
            least, most = (0, math.inf) if len(like) == 1 else (2, len(like))
            if not isinstance(value, list) or not least <= len(value) <= most:
                self._refuse(key, value, "a list" + f" of {least} or more" * (least > 0))
            kinds = like * len(value) if len(like) == 1 else like
            return [
                self._convert(item, kind, key) for item, kind in zip(value, kinds, strict=False)
            ]
        if type(value) is int and abs(value) >= 2**63:  # too large for any array
            self._refuse(key, value, KINDS.get(type(like), "of another kind"))
        if type(like) is float and type(value) is int:
            return float(value)
        if type(value) is not type(like) or (type(value) is float and not math.isfinite(value)):
            self._refuse(key, value, KINDS.get(type(like), "of another kind"))
        return value

    def _refuse(self, key, value, wanted):
        raise UserError(f"{self.name}: config.{key}={_short(value)}: should be {wanted}")


def _value_of(default):
    """A default in JSON types; the templates of names and pairs become empty lists."""
    return json.loads(json.dumps(() if default in (NAMES, (PAIR,)) else default))


def _short(value):
    """A value for a message, cut at 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
