"""A YAML tree on its way into a config: every leaf ends in one of three lists.

carried: the config has it, or it says what is built in here. meaningless: nothing here depends on
it. dropped: it has a meaning and could not be carried, with the reason. The leaves of a term
that is lost end in one note instead, which says the one reason of them all.
"""

import functools
import math
import operator

from ppocr_jax import config as configs
from ppocr_jax.errors import UserError
from ppocr_jax.paddle_config.meaningless import why_meaningless


def leaves(tree, path=()):
    """`(path, value)` of everything that holds no mapping; a list of plain values is one leaf."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        for index, item in enumerate(tree):
            yield from leaves(item, (*path, index))
    else:
        yield path, tree


def dotted(path):
    """`Train.dataset.transforms[2].IaaAugment` from the parts of a path."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class Conversion:
    """The tree, the config that it becomes, and where its leaves ended.

    Attributes:
        source: name of the file, for messages.
        config: ConfigDict, filled key by key.
        left: `{path: value}` of the leaves that are in no list yet.
        carried, meaningless, dropped: `{dotted path: (value, where to or why)}`.
        notes: lines that belong to no single leaf.
        lost: `{dotted path: value}` of leaves that a note speaks of together.
    """

    def __init__(self, source, tree, config):
        self.source, self.tree, self.config = source, tree, config
        self.left = dict(leaves(tree))
        self.carried, self.meaningless, self.dropped, self.notes = {}, {}, {}, []
        self.lost = {}

    def section(self, *path):
        """The mapping at a path; an empty one when there is none."""
        tree = self.tree
        for part in path:
            tree = tree.get(part) if isinstance(tree, dict) else None
        return Section(self, path, tree)

    def fail(self, path, reason):
        """The error for a file that cannot become a config."""
        return UserError(f"{self.source}: {dotted(path)}: {reason}")

    def settle(self, path, ended, text):
        """Moves a leaf into a list; a path without a leaf that is still left changes nothing."""
        if path in self.left:
            ended[dotted(path)] = (self.left.pop(path), text)

    def settle_rest(self):
        """Ends what nothing has asked for, and puts the lists into the order of the file."""
        for path in list(self.left):
            names = ".".join(part for part in path if isinstance(part, str))
            reason = why_meaningless(names)
            ended = self.meaningless if reason else self.dropped
            self.settle(path, ended, reason or "has no counterpart here")
        order = {dotted(path): place for place, (path, _) in enumerate(leaves(self.tree))}
        for ended in (self.carried, self.meaningless, self.dropped):
            whole = {path: path if path in order else path.rpartition("[")[0] for path in ended}
            for path in sorted(ended, key=lambda path: order[whole[path]]):
                ended[path] = ended.pop(path)


class Section:
    """A mapping of the tree. What is asked of a key that is not there changes nothing."""

    def __init__(self, conversion, path, tree):
        self.conversion, self.path = conversion, path
        self.tree = tree if isinstance(tree, dict) else {}

    def __contains__(self, name):
        return self.tree.get(name) is not None

    def get(self, name, absent=None):
        """The value; `absent` when there is none, or null."""
        return self.tree[name] if name in self else absent

    def sub(self, name):
        """The section below a key."""
        return Section(self.conversion, (*self.path, name), self.tree.get(name))

    def items(self, name):
        """One section per mapping of a list."""
        listed = self.tree.get(name)
        listed = listed if isinstance(listed, list) else []
        path = (*self.path, name)
        return [Section(self.conversion, (*path, i), item) for i, item in enumerate(listed)]

    def fail(self, name, reason):
        """The error for a value with which no config can be made."""
        return self.conversion.fail((*self.path, name), f"{brief(self.tree.get(name))}: {reason}")

    def carry(self, name, text):
        """Ends a leaf as carried; `text` is the key of the config, or what is built in."""
        self.conversion.settle((*self.path, name), self.conversion.carried, text)

    def ignore(self, name, text):
        """Ends a leaf as without meaning here."""
        self.conversion.settle((*self.path, name), self.conversion.meaningless, text)

    def drop(self, name, text):
        """Ends a leaf, or all that are below a key and still left, as not carried."""
        path = (*self.path, name)
        for leaf in [leaf for leaf in self.conversion.left if leaf[: len(path)] == path]:
            self.conversion.settle(leaf, self.conversion.dropped, text)

    def lose(self, name, reason):
        """Ends all that is below a key, in one note."""
        path = (*self.path, name)
        for leaf in [leaf for leaf in self.conversion.left if leaf[: len(path)] == path]:
            self.conversion.lost[dotted(leaf)] = self.conversion.left.pop(leaf)
        self.conversion.notes.append(f"{dotted(path)} is not carried: {reason}")

    def split(self, name):
        """Makes each value of a list a leaf of its own, `self.sub(name)` its section."""
        path, value = (*self.path, name), self.tree.get(name)
        if self.conversion.left.pop(path, None) is not None:
            self.conversion.left.update({(*path, i): item for i, item in enumerate(value)})
        return Section(self.conversion, path, dict(enumerate(value)))

    def expect(self, name, values, otherwise, built_in="built in"):
        """Ends a leaf that can only have certain values here; null counts as one of them."""
        if name not in self or self.get(name) in values:
            self.carry(name, built_in)
        else:
            self.drop(name, otherwise)

    def put(self, name, key, absent=None, change=None):
        """Sets a value of the config to that of a leaf, in the type that the config has.

        Args:
            name: of the leaf.
            key: dotted, of the config; a value that no run can use leaves it as it was, and the
                leaf is not carried.
            absent: what PaddleOCR takes where the key is missing or null; None: the same as ours.
            change: applied to the value first; raises ValueError where it cannot.
        """
        config = self.conversion.config
        before = value_at(config, key)
        if name not in self:
            set_at(config, key, before if absent is None else absent)
            self.carry(name, f"{key} = {show(value_at(config, key))}")
            return
        try:
            value = self.get(name)
            set_at(config, key, as_type(change(value) if change else value, before))
            configs.check(config)
        except (ValueError, TypeError, UserError) as error:
            set_at(config, key, before)
            reason = str(error).partition(": ")[2] or str(error)
            self.drop(name, f"{reason}; {key} stays {show(before)}")
        else:
            self.carry(name, key)


def value_at(config, key):
    """The value at a dotted key."""
    return functools.reduce(operator.getitem, key.split("."), config)


def set_at(config, key, value):
    """Sets the value at a dotted key."""
    *parents, last = key.split(".")
    functools.reduce(operator.getitem, parents, config)[last] = value


def as_type(value, like):
    """A YAML value in the type of `like`; YAML 1.1 reads `1e-3` as text, here it is a number.

    Raises:
        ValueError: it is none.
    """
    if isinstance(like, bool):
        return as_bool(value)
    if isinstance(like, int):
        if as_number(value) != int(as_number(value)):
            raise ValueError("should be a whole number")
        return int(as_number(value))
    if isinstance(like, float):
        return as_number(value)
    if isinstance(like, tuple):
        return tuple(as_number(item) for item in (value if isinstance(value, list) else [value]))
    if not isinstance(value, str):
        raise ValueError("should be text")
    return value


def as_number(value):
    """A finite float from a number or its text."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("should be a number")
    return number


def as_bool(value):
    """True or false, also where a quoted text says so."""
    word = str(value).lower()
    if word not in ("true", "false"):
        raise ValueError("should be true or false")
    return word == "true"


def show(value):
    """A value as one would write it in a config or in YAML."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return value if isinstance(value, str) and value.isprintable() else repr(value)


def brief(value):
    """The beginning of `show`, for messages."""
    text = show(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
