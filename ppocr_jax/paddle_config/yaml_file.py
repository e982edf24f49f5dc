"""Reads PaddleOCR's YAML files, and overrides their values as its option `-o` does."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from ppocr_jax.errors import UserError
from ppocr_jax.foreign import read_whole, what_it_is

MOST_BYTES = 1 << 20  # PaddleOCR's largest has 10 KiB, and parsing YAML is slow
MOST_VALUES = 20_000  # of a file with aliases expanded; PaddleOCR's largest has about 400


class _Loader(yaml.SafeLoader):
    """Loads YAML without Python objects.

    Attributes:
        repeated: a line for each key that is written twice; the last one counts.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.repeated: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"a key that is not a word, line {key.start_mark.line + 1}")
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines and key.tag != "tag:yaml.org,2002:merge":
                self.repeated.append(
                    f"{name} stands twice, in lines {lines[name]} and {line}: the last one counts"
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[str]]:
    """Reads the mapping in a YAML file.

    Returns:
        `(tree, repeated)`: nested dicts and lists; and a line for each key that is written twice.

    Raises:
        UserError: there is no such file, or it is not a mapping in YAML.
    """
    data = read_whole(path)
    words = what_it_is(data, path)
    if words and not words.startswith("a text file"):
        raise UserError(f"{path}: not a YAML file but {words}")
    if len(data) > MOST_BYTES:
        raise UserError(f"{path}: {len(data) >> 10} KiB are more than any config has")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text, so not a YAML file") from None
    try:
        loader = _Loader(text)
        tree = _with_text_keys(loader.get_single_data())
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: is not valid YAML: {_reason(error)}") from None
    if not isinstance(tree, dict) or not tree:
        raise UserError(f"{path}: holds no mapping of keys to values: not a PaddleOCR config")
    return tree, loader.repeated


def _with_text_keys(value: Any, left: Iterator[int] | None = None) -> Any:
    """A copy with text as keys, in which aliases are written out.

    Args:
        value: as PyYAML gives it, with the same object for each alias.
        left: one item for every value that the copy may still have.

    Raises:
        ValueError: it would have more than MOST_VALUES values, through aliases of aliases of
            aliases, or it has a number far beyond the range of floats.
    """
    left = left or iter(range(MOST_VALUES))
    if next(left, None) is None:
        raise ValueError(f"its aliases stand for more than {MOST_VALUES} values")
    if isinstance(value, int) and value.bit_length() > 1024:
        raise ValueError("a whole number of more than 300 digits")
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item, left) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_text_keys(item, left) for item in value]
    return value


def _reason(error: Exception) -> str:
    """PyYAML's message with the line of the mistake."""
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error)
    return f"{reason}, line {mark.line + 1}" if mark else reason


def override(tree: dict[str, Any], items: Iterable[str]) -> None:
    """Sets values in a tree by PaddleOCR's rules.

    Args:
        tree: changed in place.
        items: `key=value`, the value in YAML. A dotted key leads through existing mappings to a
            value that is replaced or added. A key without a dot replaces a whole section, or is
            merged into it when both are mappings. Unlike in PaddleOCR, a value may contain `=`.

    Raises:
        UserError: no `=`, a value that is not YAML, or an unknown section.
    """
    for item in items:
        key, equals, text = item.strip().partition("=")
        if not equals or not key:
            raise UserError(f"-o {item}: should be KEY=VALUE, such as Global.epoch_num=100")
        try:
            value = _with_text_keys(yaml.load(text, _Loader))
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise UserError(f"-o {item}: the value is not valid YAML: {_reason(error)}") from None
        *parents, last = key.split(".")
        place = tree
        for depth, name in enumerate(parents, 1):
            above = ".".join(parents[: depth - 1]) or "the file"
            if name not in place:
                near = difflib.get_close_matches(name, place, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UserError(f"-o {item}: {above} has no {name}{hint}")
            place = place[name]
            if not isinstance(place, dict):
                kind = "a list" if isinstance(place, list) else "not a section"
                raise UserError(f"-o {item}: {'.'.join(parents[:depth])} is {kind}")
        merged = not parents and isinstance(value, dict) and isinstance(place.get(last), dict)
        place[last] = {**place[last], **value} if merged else value
