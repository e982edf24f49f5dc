"""The form of a config: its keys, the kinds of their values, and older forms brought up to date.

A config file may be older than this program, and so may a config that a run, an extracted folder
or an exported file has saved. Both are held against the tree that `defaults` makes for them: what
they lack is filled with values that keep what older versions did, what nothing reads is left out,
and lines say both.
"""

import json
import math
import re

from ppocr_jax import defaults
from ppocr_jax.errors import UserError
from ppocr_jax.hints import hint_for

FORM = 2  # of saved configs; those that do not say have form 1, which may lack keys
LEFT_OUT = "keys that nothing reads are left out"
NAME = r"[\w-]{1,64}"  # of a network
NAMES = ("",)  # any number of names
PAIR = ("", "", 1.0)  # two roles and a weight, which may be missing
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def plain(config):
    """The config as nested dicts of JSON's types; tuples become lists."""
    return json.loads(config.to_json())


def keys(config, prefix=""):
    """Dotted names of all values of a config."""
    for key, value in config.items():
        if hasattr(value, "items"):
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def flatten(tree, prefix=""):
    """`{"data.root": ...}` from nested dicts."""
    flat = {}
    for key, value in tree.items():
        nested = isinstance(value, dict) and value
        flat.update(flatten(value, f"{prefix}{key}.") if nested else {prefix + key: value})
    return flat


def with_tuples(value):
    """`value` with every list as a tuple, as configs have them."""
    if isinstance(value, dict):
        return {key: with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(with_tuples(item) for item in value)
    return value


def upgrade(tree, name="config.json"):
    """A saved config in the form of this version, and lines on what that took.

    Args:
        tree: nested dicts as JSON gives them, whole or in parts, of this form or an older one.
        name: of the file, for messages.

    Returns:
        `(tree, lines)`: a new tree with every key, without `form`; no line where nothing changed.

    Raises:
        UserError: no mapping, a newer form, a value of another kind, or a key is missing that
            nothing can fill: `roles`, `trainable`.
    """
    if not isinstance(tree, dict):
        raise UserError(f"{name}: holds no config, which is a mapping of keys")
    form = tree.get("form", 1)
    if type(form) is not int or form > FORM:
        raise UserError(f"{name}: form={form}: this version reads forms up to {FORM}, update it")
    match = _Match({key: value for key, value in tree.items() if key != "form"}, name)
    return match.whole, match.lines()


def complete(config, name):
    """Fills in place what a config lacks and takes out what nothing reads.

    Args:
        config: ConfigDict of a config file.
        name: of the file, for messages.

    Returns:
        Lines on what was done.

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
    """`(the part of a config that holds a dotted key, the key's last name)`."""
    *parents, last = key.split(".")
    for parent in parents:
        config = config[parent]
    return config, last


class _Match:
    """A tree beside the tree that `defaults` makes for it.

    Attributes:
        whole: the tree with everything; JSON's types.
        filled: `{dotted key: value}` of what it lacked; a section that was missing is one entry.
        unknown: `{dotted key: value}` of what nothing reads.
    """

    def __init__(self, tree, name):
        self.name, self.filled, self.unknown = name, {}, {}
        self._like = self._reference(tree)
        self.whole = self._walk(tree, self._like, "")

    def lines(self):
        """For people: a line on what was filled, one on what is left out."""
        lines = []
        if self.filled:
            values = ", ".join(f"{k}={_short(v)}" for k, v in flatten(self.filled).items())
            lines.append(f"missing keys take the values that older versions worked with: {values}")
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
        """All keys with values of the kinds that they should have.

        The values are those that keep what a run without the key did. A default that is not such
        a value has to be set back here.
        """
        for key, wanted in (("roles", dict), ("trainable", list)):
            if key not in tree:
                raise UserError(f"{self.name}: config.{key} is missing, which nothing can fill")
            if not isinstance(tree[key], wanted):
                self._refuse(key, tree[key], "a mapping" if wanted is dict else "a list")
        roles, trainable = tree["roles"], tree["trainable"]
        self._check_networks(roles)
        loss = tree["loss"] if isinstance(tree.get("loss"), dict) else {}
        like = defaults.base(epochs=1).to_dict()
        like["roles"] = roles  # what a network takes is for the network to say
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
            if not re.fullmatch(NAME, role) or role == "all":  # files are named after it
                raise UserError(
                    f"{self.name}: config.{key}: the name of a network is letters, digits, _ and "
                    "-, 64 at most, and not all"
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
        """`value` in the kind of `like`: a whole number will do for a float.

        A tuple of one stands for any number of such values, a longer one for as many, of which
        those after the second may be missing.
        """
        if isinstance(like, tuple):
            least, most = (0, math.inf) if len(like) == 1 else (2, len(like))
            if not isinstance(value, list) or not least <= len(value) <= most:
                self._refuse(key, value, "a list" + f" of {least} or more" * (least > 0))
            kinds = like * len(value) if len(like) == 1 else like
            return [
                self._convert(item, kind, key) for item, kind in zip(value, kinds, strict=False)
            ]
        if type(value) is int and abs(value) >= 2**63:  # no array takes it
            self._refuse(key, value, KINDS.get(type(like), "of another kind"))
        if type(like) is float and type(value) is int:
            return float(value)
        if type(value) is not type(like) or (type(value) is float and not math.isfinite(value)):
            self._refuse(key, value, KINDS.get(type(like), "of another kind"))
        return value

    def _refuse(self, key, value, wanted):
        raise UserError(f"{self.name}: config.{key}={_short(value)}: should be {wanted}")


def _value_of(default):
    """A default as JSON has it; of names and of pairs there are none by default."""
    return json.loads(json.dumps(() if default in (NAMES, (PAIR,)) else default))


def _short(value):
    """A value as messages show it."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
