"""Weights by PaddleOCR's names: our variables there and back, and a report of what was loaded.

Ours is `{"params", "batch_stats"}` with NHWC kernels `[kh, kw, in, out]`; theirs is a flat dict
such as `backbone.stage0.1.expand_conv.conv.weight` with `[out, in, kh, kw]`. Transposed
convolutions, the only ones with 2x2 kernels, have `[in, out, kh, kw]` there and, unflipped,
`[kh, kw, in, out]` here. Loading never guesses: a part of the network loads wholly or not at all.
"""

import collections
import dataclasses
import functools
import hashlib

import flax.traverse_util
import numpy as np

from ppocr_jax.errors import UserError
from ppocr_jax.models import BACKBONES, HEADS, NECKS
from ppocr_jax.models.paddle_names import Naming, place

LONGEST = 200  # letters of a name; the longest of PaddleOCR's has 60
PARTS = ("backbone", "neck", "head.binarize", "head.thresh")


@functools.cache
def naming():
    """The names of all networks that there are."""
    return Naming([*BACKBONES.values(), *NECKS.values(), *HEADS.values()])


def paddle_name(path):
    """PaddleOCR's name of a leaf, from its path below "params" or "batch_stats".

    Raises:
        UserError: it has no name there.
    """
    return naming().leaf(path)


def variables_by_name(arrays):
    """Our variables from arrays by PaddleOCR's names, of whatever network they are.

    Raises:
        UserError: a name that no network of ours has, or an array that is not of floats.
    """
    flat = {}
    for name, array in arrays.items():
        if part_of(name) not in PARTS or not name.isascii() or len(name) > LONGEST:
            raise UserError(f"{name[:LONGEST]}: no part of a detector has such a name")
        _require_floats(name, array)
        path = naming().path(name, is_kernel=array.ndim == 4)
        flat[path] = np.ascontiguousarray(_from_layout(path, array))
    inner = {path[:end] for path in flat for end in range(1, len(path))}
    for path in flat:
        if path in inner:
            raise UserError(
                f"{'.'.join(path)}: a name of an array, and of a part that holds others"
            )
    return flax.traverse_util.unflatten_dict(flat)


def _require_floats(name, array):
    if array.dtype.kind != "f":
        raise UserError(f"{name}: holds {array.dtype}, and weights are floats")


def _to_layout(path, value):
    """A kernel in PaddleOCR's layout; anything else as it is."""
    if path[-1] != "kernel" or value.ndim != 4:
        return value
    return value.transpose(2, 3, 0, 1) if value.shape[:2] == (2, 2) else value.transpose(3, 2, 0, 1)


def _from_layout(path, value):
    if path[-1] != "kernel" or value.ndim != 4:
        return value
    return value.transpose(2, 3, 0, 1) if value.shape[2:] == (2, 2) else value.transpose(2, 3, 1, 0)


def to_paddle(variables, prefix=""):
    """Arrays by PaddleOCR's names, layer by layer in the order of ours.

    Args:
        variables: `{"params", "batch_stats"}`; either may be partial or empty.
        prefix: put before every name, such as "Student.".

    Returns:
        `{name: array}`, NumPy, C order, the bits of ours.
    """
    flat = flax.traverse_util.flatten_dict(variables)
    arrays = {}
    for path, value in flat.items():
        name = paddle_name(path[1:])
        arrays[prefix + name] = np.ascontiguousarray(_to_layout(path, np.asarray(value)))
    return {name: arrays[name] for name in sorted(arrays, key=place)}


def to_names(variables):
    """As `to_paddle`; by our own names, and as we lay them out, where PaddleOCR lacks a name."""
    try:
        return to_paddle(variables)
    except UserError:
        flat = flax.traverse_util.flatten_dict(variables, sep="/")
        return {name: np.asarray(flat[name]) for name in sorted(flat)}


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What a file gave to a network.

    Attributes:
        source: where the arrays came from.
        loaded: `{part: tensors loaded}`.
        expected: `{part: tensors that the network has}`.
        unused: names in the file that the network has no place for.
        hash: of all arrays of the file, 12 hex digits.
        unverified: part of the source that an older version wrote without a checksum, or "".
    """

    source: str
    loaded: dict[str, int]
    expected: dict[str, int]
    unused: tuple[str, ...]
    hash: str
    unverified: str = ""

    @property
    def initial(self):
        """Parts that the file lacks: they keep their initial values."""
        return [part for part, count in self.loaded.items() if not count]

    def __str__(self):
        parts = ", ".join(f"{p} {self.loaded[p]}/{self.expected[p]}" for p in self.loaded)
        gates = sum(".mid_se." in name for name in self.unused)
        why = f" ({gates} of squeeze-excite, which this network drops)" if gates else ""
        old = f"; {self.unverified} without a checksum (older version)" if self.unverified else ""
        return f"{parts}; unused {len(self.unused)}{why}; hash {self.hash}{old}"


def part_of(name):
    """The part of the network that a PaddleOCR name belongs to."""
    return next((part for part in PARTS if name.startswith(part + ".")), name.split(".")[0])


def from_paddle(arrays, template, source):
    """Our variables from arrays by PaddleOCR's names.

    Args:
        arrays: `{name: array}` of one network, without a role's prefix.
        template: `{"params", "batch_stats"}` of arrays or ShapeDtypeStructs.
        source: what to call the arrays in messages.

    Returns:
        `(variables, LoadReport)`. Leaves of a part that the file lacks are the template's.

    Raises:
        UserError: a part is there but not whole: tensors missing, of another shape, or no floats.
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


def from_state(variables, template, source):
    """As `from_paddle`, from variables that a run of ours has kept: leaf by leaf, no name between.

    Raises:
        UserError: a part is there but not whole: leaves missing, of another shape or dtype.
    """
    flat, given = map(flax.traverse_util.flatten_dict, (template, variables))
    names = {path: ".".join(path[1:]) for path in (*flat, *given)}
    whole, loaded, expected = _take_parts(flat, given, names, source)
    unused = tuple(names[path] for path in given if path not in flat)
    report = LoadReport(source, loaded, expected, unused, array_hash(to_names(variables)))
    return flax.traverse_util.unflatten_dict(whole), report


def _take_parts(flat, given, names, source):
    """`(leaves, tensors taken, tensors expected)`, the counts by part of the network.

    Args:
        flat: `{path: leaf}` of the network.
        given: `{path: array}`, in our layout.
        names: `{path: name}`, for messages.
        source: what to call the arrays.
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


def _part_of_path(path):
    return ".".join(path[1:3]) if path[1] == "head" and len(path) > 3 else path[1]


def _is_alike(a, b):
    return (a.shape, a.dtype) == (b.shape, b.dtype)


def _difference(name, path, given, wanted):
    """How a leaf differs, its shape as PaddleOCR lays it out."""
    if given.shape == wanted.shape:
        return f"{name} is {given.dtype}, not {wanted.dtype}"
    shapes = (_to_layout(path, np.broadcast_to(0, x.shape)).shape for x in (given, wanted))
    return "{} is {}, not {}".format(name, *map(list, shapes))


def _some(names, limit=3):
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def require_parts(report, trainable):
    """Refuses weights that leave a network without what it needs.

    A trainable role needs its backbone and, once its neck or its binarize branch is there, both:
    those are a detector's. A frozen or evaluated role needs all three. The threshold branch alone
    may be missing: no inference file has it.

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
    use = "a role that learns" if trainable else "a role that is frozen or evaluated"
    raise UserError(f"{report.source}: nothing for {', '.join(lacking)}, which {use} needs{holds}")


def role_prefixes(arrays):
    """Names before the first dot that stand before a whole network: ["Student", "Teacher"]."""
    roles = {}
    for name in arrays:
        head, _, rest = name.partition(".")
        if rest.startswith(("backbone.", "neck.", "head.")):
            roles[head] = None
    return list(roles)


def role_of_prefix(prefix):
    """Our name of a role from PaddleOCR's: `Student2` is `student2`."""
    return prefix[:1].lower() + prefix[1:]


def paddle_prefix(role):
    """PaddleOCR's prefix of a role: `student2` is `Student2.`."""
    return role[:1].upper() + role[1:] + "."


def select_role(arrays, role, source):
    """The arrays of one role, without its prefix; a file without prefixes is one network.

    Raises:
        UserError: the file holds roles, and this one is not among them.
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


def array_hash(arrays):
    """Twelve hex digits of the SHA-256 over names, shapes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{value.shape}{value.dtype.str}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:12]
