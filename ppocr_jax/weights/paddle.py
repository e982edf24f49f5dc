"""Weights by PaddleOCR's names: our variables there and back, and a report of what was loaded.

Ours is `{"params", "batch_stats"}` with NHWC kernels `[kh, kw, in, out]`; theirs is a flat dict
such as `backbone.stage0.1.expand_conv.conv.weight` with `[out, in, kh, kw]`. The two head layers
that are transposed convolutions have `[in, out, kh, kw]` there and, unflipped, `[kh, kw, in, out]`
here. Loading never guesses: a part of the network loads wholly or not at all.
"""

import collections
import dataclasses
import hashlib
import re

import flax.traverse_util
import jax
import numpy as np

from ppocr_jax.errors import UserError

PARTS = ("backbone", "neck", "head.binarize", "head.thresh")
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "_mean",
    "var": "_variance",
}
LISTED = re.compile(r"^(stage\d+|ins_conv|inp_conv|pan_head_conv|pan_lat_conv)_(\d+)$")
RESNET = re.compile(r"^(bb_\d+_\d+|conv1_\d+)$")
LAYERS = (
    "backbone neck head binarize thresh conv1_1 conv1_2 conv1_3 conv _conv bn _batch_norm "
    "expand_conv bottleneck_conv mid_se linear_conv ins_conv inp_conv pan_head_conv pan_lat_conv "
    "in2_conv in3_conv in4_conv in5_conv p5_conv p4_conv p3_conv p2_conv in_conv se_block "
    "conv0 conv1 conv_bn1 bn1 conv2 conv_bn2 bn2 conv3 conv_end short"
).split()
ORDER = {"weight": 0, "bias": 1, "_mean": 2, "_variance": 3}


def paddle_name(path):
    """PaddleOCR's name of a leaf, from its path below "params" or "batch_stats"."""
    resnet = any(RESNET.match(name) for name in path)
    names = []
    for name in path[:-1]:
        name = LISTED.sub(r"\1.\2", name)
        if resnet:
            name = {"conv": "_conv", "bn": "_batch_norm"}.get(name, name)
        names.append(name)
    return ".".join([*names, LEAVES[path[-1]]])


def our_path(name, array):
    """The way back: `(kind, *path)` of a leaf, from PaddleOCR's name and the array.

    Raises:
        UserError: no network of ours has such a name.
    """
    *words, leaf = name.split(".")
    path = []
    for word in words:
        listed = path and word.isdigit() and LISTED.match(f"{path[-1]}_{word}")
        path[-1:] = [f"{path[-1]}_{word}"] if listed else [*path[-1:], word]
    if any(RESNET.match(word) for word in path):
        path = [{"_conv": "conv", "_batch_norm": "bn"}.get(word, word) for word in path]
    kernel = "kernel" if array.ndim == 4 else "scale"
    leaf = {"weight": kernel, "bias": "bias", "_mean": "mean", "_variance": "var"}.get(leaf, leaf)
    kind = "batch_stats" if leaf in ("mean", "var") else "params"
    path = (kind, *path, leaf)
    if part_of(name) not in PARTS or leaf not in LEAVES or paddle_name(path[1:]) != name:
        raise UserError(f"{name}: no part of a detector has such a name")
    return path


def variables_by_name(arrays):
    """Our variables from arrays by PaddleOCR's names, of whatever network they are.

    Raises:
        UserError: a name that no network of ours has.
    """
    flat = {}
    for name, array in arrays.items():
        path = our_path(name, array)
        flat[path] = np.ascontiguousarray(_from_layout(path, array))
    return flax.traverse_util.unflatten_dict(flat)


def paddle_names(variables):
    """`{(kind, *path): name}` of every leaf of `{"params", "batch_stats"}`."""
    flat = flax.traverse_util.flatten_dict(variables)
    return {path: paddle_name(path[1:]) for path in flat}


def _is_transposed(path):
    return path[1] == "head" and path[-2] in ("conv2", "conv3")


def _to_layout(path, value):
    """A kernel in PaddleOCR's layout; anything else as it is."""
    if path[-1] != "kernel":
        return value
    return value.transpose(2, 3, 0, 1) if _is_transposed(path) else value.transpose(3, 2, 0, 1)


def _from_layout(path, value):
    if path[-1] != "kernel":
        return value
    return value.transpose(2, 3, 0, 1) if _is_transposed(path) else value.transpose(2, 3, 1, 0)


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
    return {name: arrays[name] for name in sorted(arrays, key=_place)}


def _place(name):
    """Sorts names as Paddle's modules are made; what is not in LAYERS goes by its numbers."""
    layer, _, leaf = name.rpartition(".")
    words = [
        (LAYERS.index(word) if word in LAYERS else len(LAYERS), *_numbered(word))
        for word in layer.split(".")
    ]
    return words, ORDER[leaf]


def _numbered(word):
    return [int(piece) if piece.isdigit() else -1 for piece in re.findall(r"\d+|\D+", word)]


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What a file gave to a network.

    Attributes:
        source: where the arrays came from.
        loaded: `{part: tensors loaded}`.
        expected: `{part: tensors that the network has}`.
        unused: names in the file that the network has no place for.
        hash: of all arrays of the file, 12 hex digits.
    """

    source: str
    loaded: dict[str, int]
    expected: dict[str, int]
    unused: tuple[str, ...]
    hash: str

    @property
    def initial(self):
        """Parts that the file lacks: they keep their initial values."""
        return [part for part, count in self.loaded.items() if not count]

    def __str__(self):
        parts = ", ".join(f"{p} {self.loaded[p]}/{self.expected[p]}" for p in self.loaded)
        gates = sum(".mid_se." in name for name in self.unused)
        why = f" ({gates} of squeeze-excite, which this network drops)" if gates else ""
        return f"{parts}; unused {len(self.unused)}{why}; hash {self.hash}"


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
        UserError: a part is there but not whole: tensors missing or of another shape.
    """
    flat = flax.traverse_util.flatten_dict(template)
    by_part = collections.defaultdict(list)
    for path in flat:
        by_part[part_of(paddle_name(path[1:]))].append(path)
    order = [part for part in PARTS if part in by_part]
    filled, loaded, wrong_shapes = {}, {}, []
    for part in order:
        known = {path: paddle_name(path[1:]) for path in by_part[part]}
        found = {}
        for path, name in known.items():
            if name not in arrays:
                continue
            value = _from_layout(path, arrays[name]) if arrays[name].ndim == 4 else arrays[name]
            if value.shape == flat[path].shape:
                found[path] = np.ascontiguousarray(value).astype(flat[path].dtype, copy=False)
            else:
                want = _shape_there(path, flat[path].shape)
                wrong_shapes.append(f"{name} is {list(arrays[name].shape)}, not {want}")
        here = sum(name in arrays for name in known.values())
        if here and len(found) < len(known):
            missing = [name for name in known.values() if name not in arrays]
            raise UserError(
                f"{source}: {part} has {len(found)} of its {len(known)} tensors"
                + (f"; missing: {_some(missing)}" if missing else "")
                + (f"; wrong shape: {_some(wrong_shapes)}" if wrong_shapes else "")
                + ": these weights belong to another network"
            )
        filled.update(found)
        loaded[part] = len(found)
    places = set(paddle_names(template).values())
    report = LoadReport(
        source,
        loaded,
        {part: len(by_part[part]) for part in order},
        tuple(name for name in arrays if name not in places),
        array_hash(arrays),
    )
    whole = {path: filled.get(path, leaf) for path, leaf in flat.items()}
    return flax.traverse_util.unflatten_dict(whole), report


def _shape_there(path, shape):
    if path[-1] != "kernel":
        return list(shape)
    return list(jax.eval_shape(lambda: _to_layout(path, jax.numpy.zeros(shape))).shape)


def _some(names, limit=3):
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def require_parts(report, trainable):
    """Refuses weights that leave a network without what it needs.

    A trainable role needs its backbone and, once its neck or its binarize branch is there, both:
    those are a detector's. A frozen or evaluated role needs all three.

    Raises:
        UserError: names what is missing and what the file holds instead.
    """
    detector = ("backbone", "neck", "head.binarize")
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
