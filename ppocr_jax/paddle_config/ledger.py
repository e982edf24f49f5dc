"""Conversion of a YAML tree into a config, which accounts for every value in the file.

Every leaf of the tree ends in one of three lists:

- carried: it is in the config now, or asks for what is built in here;
- meaningless: nothing here depends on it;
- dropped: it has a meaning and could not be carried, with the reason.

Only the leaves of a loss term that is lost as a whole end in one note, with their common reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator
from typing import Any

from ml_collections import ConfigDict

from ppocr_jax import config as configs
from ppocr_jax.errors import UserError
from ppocr_jax.paddle_config.meaningless import why_meaningless

Path = tuple[str | int, ...]  # of a value: keys of mappings and positions in lists
Ended = dict[str, tuple[Any, str]]  # {dotted path: (value, where it went or why not)}


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """`(path, value)` of every leaf: a plain value, an empty mapping, or a list of plain values."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        for index, item in enumerate(tree):
            yield from leaves(item, (*path, index))
    else:
        yield path, tree


def dotted(path: Path) -> str:
    """A path as text: `Train.dataset.transforms[2].IaaAugment`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class Conversion:
    """The state of a conversion: the tree, its config so far, and where its leaves have ended.

    Attributes:
        source: name of the file, for messages.
        tree: content of the file.
        config: filled key by key.
        left: `{path: value}` of the leaves that are in no list yet.
        carried, meaningless, dropped: `{dotted path: (value, where it went or why not)}`.
        notes: lines that belong to no single leaf.
        lost: `{dotted path: value}` of the leaves that a note accounts for together.
    """

    def __init__(self, source: str, tree: dict[str, Any], config: ConfigDict) -> None:
        self.source, self.tree, self.config = source, tree, config
        self.left: dict[Path, Any] = dict(leaves(tree))
        self.carried: Ended = {}
        self.meaningless: Ended = {}
        self.dropped: Ended = {}
        self.notes: list[str] = []
        self.lost: dict[str, Any] = {}

    def section(self, *path: str | int) -> Section:
        """The mapping at a path; an empty one where there is none."""
        tree: Any = self.tree
        for part in path:
            tree = tree.get(part) if isinstance(tree, dict) else None
        return Section(self, path, tree)

    def fail(self, path: Path, reason: object) -> UserError:
        """The error for a file that cannot become a config; to be raised by the caller."""
        return UserError(f"{self.source}: {dotted(path)}: {reason}")

    def settle(self, path: Path, ended: Ended, text: str) -> None:
        """Moves a leaf into a list; does nothing when the leaf is in one already."""
        if path in self.left:
            ended[dotted(path)] = (self.left.pop(path), text)

    def settle_rest(self) -> None:
        """Ends the leaves that nobody has asked for, and sorts the lists in the file's order."""
        for path in list(self.left):
            names = ".".join(part for part in path if isinstance(part, str))
            reason = why_meaningless(names)
            ended = self.meaningless if reason else self.dropped
            self.settle(path, ended, reason or "has no counterpart here")
        order = {dotted(path): place for place, (path, _) in enumerate(leaves(self.tree))}
        for ended in (self.carried, self.meaningless, self.dropped):
            # An item of a list that was split has the place of its list.
            whole = {path: path if path in order else path.rpartition("[")[0] for path in ended}
            places = {path: order[whole[path]] for path in ended}
            for text in sorted(ended, key=places.__getitem__):
                ended[text] = ended.pop(text)


class Section:
    """A mapping in the tree, whose leaves are read and ended one by one.

    A missing key is not an error: its methods then do nothing, or use what PaddleOCR would.

    Attributes:
        conversion: that it belongs to.
        path: of the mapping.
        tree: the mapping; {} where there is none.
    """

    def __init__(self, conversion: Conversion, path: Path, tree: Any) -> None:
        self.conversion, self.path = conversion, path
        self.tree: dict[Any, Any] = tree if isinstance(tree, dict) else {}

    def __contains__(self, name: str | int) -> bool:
        return self.tree.get(name) is not None

    def get(self, name: str | int, absent: Any = None) -> Any:
        """The value of a key; `absent` where it is missing or null."""
        return self.tree[name] if name in self else absent

    def sub(self, name: str | int) -> Section:
        """The section below a key."""
        return Section(self.conversion, (*self.path, name), self.tree.get(name))

    def items(self, name: str) -> list[Section]:
        """One section per mapping in a list."""
        listed = self.tree.get(name)
        listed = listed if isinstance(listed, list) else []
        path = (*self.path, name)
        return [Section(self.conversion, (*path, i), item) for i, item in enumerate(listed)]

    def fail(self, name: str, reason: object) -> UserError:
        """The error for a value from which no config can be made; to be raised by the caller."""
        return self.conversion.fail((*self.path, name), f"{brief(self.tree.get(name))}: {reason}")

    def carry(self, name: str | int, text: str) -> None:
        """Ends a leaf as carried; `text` is the key of the config, or what is built in."""
        self.conversion.settle((*self.path, name), self.conversion.carried, text)

    def ignore(self, name: str, text: str) -> None:
        """Ends a leaf as meaningless here; `text` says why."""
        self.conversion.settle((*self.path, name), self.conversion.meaningless, text)

    def drop(self, name: str | int, text: str) -> None:
        """Ends a leaf, or all remaining leaves below a key, as not carried; `text` says why."""
        path = (*self.path, name)
        for leaf in [leaf for leaf in self.conversion.left if leaf[: len(path)] == path]:
            self.conversion.settle(leaf, self.conversion.dropped, text)

    def lose(self, name: str, reason: str) -> None:
        """Ends all leaves below a key in one note."""
        path = (*self.path, name)
        for leaf in [leaf for leaf in self.conversion.left if leaf[: len(path)] == path]:
            self.conversion.lost[dotted(leaf)] = self.conversion.left.pop(leaf)
        self.conversion.notes.append(f"{dotted(path)} is not carried: {reason}")

    def split(self, name: str) -> Section:
        """Makes each value of a list a leaf of its own; returns a section keyed by position."""
        path, value = (*self.path, name), self.tree[name]
        if self.conversion.left.pop(path, None) is not None:
            self.conversion.left.update({(*path, i): item for i, item in enumerate(value)})
        return Section(self.conversion, path, dict(enumerate(value)))

    def expect(
        self, name: str, values: Container[Any], otherwise: str, built_in: str = "built in"
    ) -> None:
        """Ends a leaf for which only some values are possible here.

        Args:
            name: of the leaf.
            values: possible ones; a missing key or null is possible too.
            otherwise: why another value is not carried.
            built_in: where a possible value went.
        """
        if name not in self or self.get(name) in values:
            self.carry(name, built_in)
        else:
            self.drop(name, otherwise)

    def put(
        self,
        name: str | int,
        key: str,
        absent: Any = None,
        change: Callable[[Any], Any] | None = None,
    ) -> None:
        """Sets a key of the config from a leaf, converted to the type that the config has.

        A value that the config refuses leaves it unchanged, and the leaf ends as not carried.

        Args:
            name: of the leaf.
            key: of the config, dotted.
            absent: PaddleOCR's default for a missing key or null; None where ours is the same.
            change: converts the value first; raises ValueError where it cannot.
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


def value_at(config: Any, key: str) -> Any:
    """The value at a dotted key."""
    for part in key.split("."):
        config = config[part]
    return config


def set_at(config: Any, key: str, value: Any) -> None:
    """Sets the value at a dotted key."""
    *parents, last = key.split(".")
    for part in parents:
        config = config[part]
    config[last] = value


def as_type(value: Any, like: Any) -> Any:
    """A YAML value in the type of `like`.

    Text such as `1e-3` becomes a number: YAML 1.1 reads it as text for lack of a dot.

    Raises:
        ValueError: it has no such form.
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


def as_number(value: Any) -> float:
    """A finite float from a number or its text. Raises ValueError for anything else."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("should be a number")
    return number


def as_bool(value: Any) -> bool:
    """True or false, also from quoted text. Raises ValueError for anything else."""
    word = str(value).lower()
    if word not in ("true", "false"):
        raise ValueError("should be true or false")
    return word == "true"


def show(value: Any) -> str:
    """A value as it is written in YAML or a config."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return value if isinstance(value, str) and value.isprintable() else repr(value)


def brief(value: Any) -> str:
    """The first 200 characters of `show`, for messages."""
    text = show(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
