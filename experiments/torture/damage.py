"""Damages files as disks and people do. Each function changes one file and returns what it did."""

import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any


def files_below(path: Path) -> list[Path]:
    """Returns all files in a folder, sorted, or the path itself if it is a file."""
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file())


def flip_bit(rng: random.Random, path: Path) -> str:
    """Flips one bit anywhere in a file."""
    data = bytearray(path.read_bytes())
    if not data:
        return f"nothing to flip in {path.name}"
    place, bit = rng.randrange(len(data)), rng.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {place} of {len(data)} flipped in {path.name}"


def flip_low_bit(rng: random.Random, path: Path) -> str:
    """Flips one of a byte's low bits: text then often stays text, and digits stay digits."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    data[place] ^= 1 << rng.randrange(4)
    path.write_bytes(data)
    return f"byte {place} of {path.name} is {chr(data[place])!r} now"


def shorten(rng: random.Random, path: Path) -> str:
    """Truncates a file: to nothing, somewhere, or by one byte."""
    size = path.stat().st_size
    left = rng.choice([0, rng.randrange(size + 1), max(size - 1, 0)])
    os.truncate(path, left)
    return f"{path.name} cut to {left} of {size} bytes"


def remove(rng: random.Random, path: Path) -> str:
    """Deletes a file."""
    path.unlink()
    return f"{path.name} removed"


def overwrite(rng: random.Random, path: Path) -> str:
    """Overwrites part of a file with noise, or with zeros, as a power cut does."""
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data) + 1)
    count = min(rng.choice([1, 16, 512]), len(data) - start)
    data[start : start + count] = bytes(count) if rng.random() < 0.5 else rng.randbytes(count)
    path.write_bytes(data)
    return f"{count} bytes of {path.name} from {start} overwritten"


STRANGE: tuple[Any, ...] = (
    None, True, 0, -1, 1e30, 10**400, float("nan"), float("inf"), "", "x", "\x1b[31m", [], {}, [[]],
    [None], {"a": None}, 2**63, 0.5, "9" * 50, [1, "2"],
)  # fmt: skip


def change_json(rng: random.Random, path: Path) -> str:
    """Replaces one value of a JSON file by something strange, or removes it."""
    tree = json.loads(path.read_text(encoding="utf-8-sig"))
    note, tree = change_node(rng, tree)
    path.write_text(json.dumps(tree, indent=1), encoding="utf-8")
    return f"{note} in {path.name}"


def change_node(rng: random.Random, tree: Any) -> tuple[str, Any]:
    """Changes one node of a tree of dicts, lists and scalars; returns `(what was done, tree)`."""
    places = [(node, key) for node in _nodes(tree) for key in _keys(node)]
    if not places or rng.random() < 0.03:
        value = rng.choice(STRANGE)
        return f"the whole is {value!r:.60}", value
    node, key = rng.choice(places)
    if rng.random() < 0.25:
        del node[key]
        return f"{key} is gone", tree
    node[key] = rng.choice(STRANGE) if rng.random() < 0.9 else _deep(rng)
    return f"{key} is {str(node[key])[:60]!r}", tree


def _deep(rng: random.Random) -> list[Any]:
    """A deeply nested list."""
    value: list[Any] = []
    for _ in range(rng.choice([20, 400])):
        value = [value]
    return value


def _nodes(tree: Any) -> Iterator[Any]:
    """All dicts and lists of a tree."""
    if isinstance(tree, (dict, list)):
        yield tree
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from _nodes(child)


def _keys(node: Any) -> Iterable[Any]:
    return list(node) if isinstance(node, dict) else range(len(node))


Damage = Callable[[random.Random, Path], str]
BYTES: tuple[Damage, ...] = (flip_bit, shorten, overwrite)  # for files of any format


def damage(rng: random.Random, path: Path, ways: Sequence[Damage] = BYTES) -> str:
    """Damages a file in one of several ways and returns what was done."""
    return rng.choice(ways)(rng, path)
