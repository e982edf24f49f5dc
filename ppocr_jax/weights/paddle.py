"""Conversion of weights between our variables and PaddleOCR's names, with a report on each load.

Ours are a tree `{"params", "batch_stats"}` with kernels `[kh, kw, in, out]`. PaddleOCR's are a flat
dict, such as `backbone.stage0.1.expand_conv.conv.weight`, with kernels `[out, in, kh, kw]`.
Transposed convolutions, the only ones with 2x2 kernels, have `[in, out, kh, kw]` there and
`[kh, kw, in, out]` here, not flipped. A part of a network loads completely or not at all: a weight
that silently stays at its initial value is hard to find later.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flax.traverse_util
import numpy as np

from ppocr_jax.errors import UserError
from ppocr_jax.models import BACKBONES, HEADS, NECKS
from ppocr_jax.models.paddle_names import Naming, place

LONGEST = 200  # characters of a name; the longest of PaddleOCR's has 60
PARTS = ("backbone", "neck", "head.binarize", "head.thresh")

Arrays = Mapping[str, np.ndarray]  # by PaddleOCR's names
Variables = Mapping[str, Any]  # {"params", "batch_stats"}, or a part of them
Path = tuple[str, ...]  # of a leaf: ("params", "backbone", ..., "kernel")


@functools.cache
def naming() -> Naming:
    """The names of every backbone, neck and head."""
    return Naming([*BACKBONES.values(), *NECKS.values(), *HEADS.values()])


def paddle_name(path: Path) -> str:
    """PaddleOCR's name of a leaf, from its path below "params" or "batch_stats".

    Raises:
        UserError: PaddleOCR has no such layer.
    """
    return naming().leaf(path)


def variables_by_name(arrays: Arrays) -> dict[str, Any]:
    """Our variables from arrays by PaddleOCR's names, for any network.

    Raises:
        UserError: a name that none of our networks has, or an array that does not hold floats.
    """
    flat = {}
    for name, array in arrays.items():
        if part_of(name) not in PARTS or not name.isascii() or len(name) > LONGEST:
            raise UserError(f"{name[:LONGEST]}: no part of a detector has such a name")
        _require_floats(name, array)
        path = naming().path(name, is_kernel=array.ndim == 4)
        flat[path] = np.ascontiguousarray(_from_layout(path, array))
    # A tree cannot have an array where it also has a branch; a hostile file can name both.
    inner = {path[:end] for path in flat for end in range(1, len(path))}
    for path in flat:
        if path in inner:
            raise UserError(
                f"{'.'.join(path)}: is the name of an array and of a part with other arrays"
            )
    return flax.traverse_util.unflatten_dict(flat)


def _require_floats(name: str, array: np.ndarray) -> None:
    if array.dtype.kind != "f":
        raise UserError(f"{name}: holds {array.dtype}; weights are floats")


def _to_layout(path: Path, value: np.ndarray) -> np.ndarray:
    """A kernel in PaddleOCR's layout; any other leaf unchanged."""
    if path[-1] != "kernel" or value.ndim != 4:
        return value
    return value.transpose(2, 3, 0, 1) if value.shape[:2] == (2, 2) else value.transpose(3, 2, 0, 1)


def _from_layout(path: Path, value: np.ndarray) -> np.ndarray:
    """The inverse of `_to_layout`."""
    if path[-1] != "kernel" or value.ndim != 4:
        return value
    return value.transpose(2, 3, 0, 1) if value.shape[2:] == (2, 2) else value.transpose(2, 3, 1, 0)


def to_paddle(variables: Variables, prefix: str = "") -> dict[str, np.ndarray]:
    """Our variables as arrays by PaddleOCR's names, in the order of the layers.

    Args:
        variables: `{"params", "batch_stats"}`; either may be partial or empty.
        prefix: put before every name, such as "Student.".

    Returns:
        `{name: array}` in C order, with exactly our values.

    Raises:
        UserError: a layer that PaddleOCR has no name for.
    """
    flat = flax.traverse_util.flatten_dict(variables)
    arrays = {}
    for path, value in flat.items():
        name = paddle_name(path[1:])
        arrays[prefix + name] = np.ascontiguousarray(_to_layout(path, np.asarray(value)))
    return {name: arrays[name] for name in sorted(arrays, key=place)}


def to_names(variables: Variables) -> dict[str, np.ndarray]:
    """Arrays by PaddleOCR's names; by our names and in our layout where PaddleOCR lacks one."""
    try:
        return to_paddle(variables)
    except UserError:
        flat = flax.traverse_util.flatten_dict(variables, sep="/")
        return {name: np.asarray(flat[name]) for name in sorted(flat)}


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What was loaded from a file into a network.

    Attributes:
        source: where the arrays came from.
        loaded: `{part: number of tensors loaded}`.
        expected: `{part: number of tensors in the network}`.
        unused: names in the file that the network does not have.
        hash: of all arrays in the file, 12 hex digits, see `array_hash`.
        unverified: the part of the source without a checksum, since an older version wrote it; or
            "".
    """

    source: str
    loaded: dict[str, int]
    expected: dict[str, int]
    unused: tuple[str, ...]
    hash: str
    unverified: str = ""

    @property
    def initial(self) -> list[str]:
        """Parts that the file lacks: they keep their initial values."""
        return [part for part, count in self.loaded.items() if not count]

    def __str__(self) -> str:
        parts = ", ".join(f"{p} {self.loaded[p]}/{self.expected[p]}" for p in self.loaded)
        # The ImageNet backbone has squeeze-excite blocks, which the published student leaves out.
        gates = sum(".mid_se." in name for name in self.unused)
        why = f" ({gates} of squeeze-excite, which this network drops)" if gates else ""
        old = f"; {self.unverified} without a checksum (older version)" if self.unverified else ""
        return f"{parts}; unused {len(self.unused)}{why}; hash {self.hash}{old}"


def part_of(name: str) -> str:
    """The part of the network that a PaddleOCR name belongs to."""
    return next((part for part in PARTS if name.startswith(part + ".")), name.split(".")[0])


def from_paddle(
    arrays: Arrays, template: Variables, source: str
) -> tuple[dict[str, Any], LoadReport]:
    """Our variables from arrays by PaddleOCR's names, for a given network.

    Args:
        arrays: `{name: array}` of one network, without a role's prefix.
        template: `{"params", "batch_stats"}` of the network, arrays or ShapeDtypeStructs.
        source: name of the file, for messages.

    Returns:
        `(variables, report)`. A part that the file lacks keeps the leaves of the template.

    Raises:
        UserError: a part is incomplete: tensors are missing, have other shapes, or are not floats.
    """
    flat = flax.traverse_util.flatten_dict(template)
    names = {path: paddle_name(path[1:]) for path in flat}
    given = {}
    for path, name in names.items():
        if name in arrays:
            _require_floats(f"{source}: {name}", arrays[name])
            value = np.ascontiguousarray(_from_layout(path, arrays[name]))
            given[path] = value.astype(flat[path].dtype, copy=False)
    whole, loaded, expected = _take_parts(flat, given, names, source)
    places = set(names.values())
    unused = tuple(name for name in arrays if name not in places)
    report = LoadReport(source, loaded, expected, unused, array_hash(arrays))
    return flax.traverse_util.unflatten_dict(whole), report


def from_state(
    variables: Variables, template: Variables, source: str
) -> tuple[dict[str, Any], LoadReport]:
    """As `from_paddle`, from variables saved by our own runs, which need no renaming.

    Raises:
        UserError: a part is incomplete: leaves are missing or have other shapes or dtypes.
    """
    flat, given = map(flax.traverse_util.flatten_dict, (template, variables))
    names = {path: ".".join(path[1:]) for path in (*flat, *given)}
    whole, loaded, expected = _take_parts(flat, given, names, source)
    unused = tuple(names[path] for path in given if path not in flat)
    report = LoadReport(source, loaded, expected, unused, array_hash(to_names(variables)))
    return flax.traverse_util.unflatten_dict(whole), report


def _take_parts(
    flat: Mapping[Path, Any],
    given: Mapping[Path, Any],
    names: Mapping[Path, str],
    source: str,
) -> tuple[dict[Path, Any], dict[str, int], dict[str, int]]:
    """Fills a network part by part, each completely or not at all.

    Args:
        flat: `{path: leaf}` of the network.
        given: `{path: array}` of the file, in our layout.
        names: `{path: name}`, for messages.
        source: name of the file.

    Returns:
        `(leaves, loaded, expected)`: all leaves of the network, and counts by part.
    """
    by_part = collections.defaultdict(list)
    for path in flat:
        by_part[_part_of_path(path)].append(path)
    order = [*(part for part in PARTS if part in by_part), *(p for p in by_part if p not in PARTS)]
    whole, loaded = dict(flat), {}
    for part in order:
        there = [path for path in by_part[part] if path in given]
        wrong = [path for path in there if not _is_alike(given[path], flat[path])]
        if there and (wrong or len(there) < len(by_part[part])):
            missing = [names[path] for path in by_part[part] if path not in given]
            differ = [_difference(names[p], p, given[p], flat[p]) for p in wrong]
            raise UserError(
                f"{source}: {part} has {len(there) - len(wrong)} of its {len(by_part[part])} "
                "tensors"
                + (f"; missing: {_some(missing)}" if missing else "")
                + (f"; wrong shape: {_some(differ)}" if differ else "")
                + ": these weights belong to another network"
            )
        whole.update((path, given[path]) for path in there)
        loaded[part] = len(there)
    return whole, loaded, {part: len(by_part[part]) for part in order}


def _part_of_path(path: Path) -> str:
    """The part of a leaf: backbone, neck, head.binarize or head.thresh."""
    return ".".join(path[1:3]) if path[1] == "head" and len(path) > 3 else path[1]


def _is_alike(a: Any, b: Any) -> bool:
    return (a.shape, a.dtype) == (b.shape, b.dtype)


def _difference(name: str, path: Path, given: Any, wanted: Any) -> str:
    """How a leaf differs, with its shape in PaddleOCR's layout."""
    if given.shape == wanted.shape:
        return f"{name} is {given.dtype}, not {wanted.dtype}"
    shapes = (_to_layout(path, np.broadcast_to(0, x.shape)).shape for x in (given, wanted))
    return "{} is {}, not {}".format(name, *map(list, shapes))


def _some(names: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def require_parts(report: LoadReport, trainable: bool) -> None:
    """Refuses weights that leave a network incomplete.

    A trainable role may start from a backbone alone, and otherwise needs backbone, neck and
    binarize branch together. A frozen or evaluated role needs these three. The threshold branch
    may always be missing: it serves training only, and inference files lack it.

    Args:
        report: of the load.
        trainable: whether the role will be trained.

    Raises:
        UserError: names what is missing and what the file holds instead.
    """
    detector = [part for part in report.expected if part != "head.thresh"]
    there = [part for part in detector if report.loaded.get(part)]
    whole = len(there) == len(detector)
    if whole or (trainable and there == ["backbone"]):
        return
    lacking = [part for part in detector if part not in there]
    heads = sorted({name.split(".")[0] for name in report.unused})
    holds = f"; it holds names under {_some(heads, 5)}" if heads else ""
    use = "a trained role" if trainable else "a frozen or evaluated role"
    raise UserError(f"{report.source}: nothing for {', '.join(lacking)}, which {use} needs{holds}")


def role_prefixes(arrays: Iterable[str]) -> list[str]:
    """The roles in a file of PaddleOCR's distillation, such as ["Student", "Teacher"].

    Args:
        arrays: names, as in `Student.backbone...`. Names of a single network have no prefix.
    """
    roles: dict[str, None] = {}
    for name in arrays:
        head, _, rest = name.partition(".")
        if rest.startswith(("backbone.", "neck.", "head.")):
            roles[head] = None
    return list(roles)


def role_of_prefix(prefix: str) -> str:
    """Our name of a role from PaddleOCR's: `Student2` is `student2`."""
    return prefix[:1].lower() + prefix[1:]


def paddle_prefix(role: str) -> str:
    """PaddleOCR's prefix of a role: `student2` is `Student2.`."""
    return role[:1].upper() + role[1:] + "."


def select_role(arrays: Arrays, role: str, source: str) -> Arrays:
    """The arrays of one role, without its prefix.

    Args:
        arrays: of a file. Without prefixes they are one network, whatever the role.
        role: its name, ours or PaddleOCR's.
        source: name of the file, for messages.

    Raises:
        UserError: the file holds several roles, and this one is not among them.
    """
    prefixes = role_prefixes(arrays)
    if not prefixes:
        return arrays
    match = [p for p in prefixes if p == role or role_of_prefix(p) == role]
    if not match and len(prefixes) == 1:
        match = prefixes
    if not match:
        names = ", ".join(role_of_prefix(prefix) for prefix in prefixes)
        raise UserError(f"{source}: holds the roles {names}, not {role}; extract one of them first")
    start = match[0] + "."
    return {name.removeprefix(start): v for name, v in arrays.items() if name.startswith(start)}


def array_hash(arrays: Arrays) -> str:
    """Twelve hex digits of the SHA-256 over names, shapes, dtypes and bytes, sorted by name.

    Equal weights have equal hashes whatever file they lie in.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{value.shape}{value.dtype.str}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:12]
