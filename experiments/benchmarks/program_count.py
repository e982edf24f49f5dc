"""What a compiled GPU program launches, and the bytes that it moves: read off its HLO text.

Bytes are what every kernel reads and writes, once each. Bodies of loops count once per trip, where
the compiler knows the trips; called computations are entered. A fused operand of which only parts
are read counts as these parts, a map that is changed in place as what is changed.
"""

import math
import re
from typing import NamedTuple

BYTES = dict(
    pred=1, s8=1, u8=1, f8e4m3fn=1, f8e5m2=1, bf16=2, f16=2, s16=2, u16=2,
    f32=4, s32=4, u32=4, f64=8, s64=8, u64=8,
)  # fmt: skip
SHAPE = re.compile(rf"\b({'|'.join(BYTES)})\[([\d,]*)\]")
COMMENT = re.compile(r"/\*.*?\*/")  # of the index, in tuples and operands longer than five
LINE = re.compile(r"\s*(ROOT )?%?([\w.-]+) = (\([^=]*?\)|\S+) ([\w-]+)\((.*)")
HEAD = re.compile(r"(?m)^(ENTRY )?%?([\w.-]+) \(.*\{$")
CALLED = re.compile(r"(calls|body|to_apply|\w+_computations?)=(\{[^}]*\}|%?[\w.-]+)")
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}
SLICES = {"slice", "dynamic-slice", "gather"}
SEEN_THROUGH = {"bitcast", "convert"}  # each element of what comes out needs one that goes in
SCRATCH = re.compile(r", [us]8\[\d*\](\{0\})?\)$")  # of a library's call: how much, it decides
SUMS = {"reduce", "reduce-window", "dot", "convolution", "scatter"}
UPDATE = "dynamic-update-slice"


class Line(NamedTuple):
    """One instruction: its name, result, operation, operands' names, and the rest of the line."""

    root: bool
    name: str
    result: str
    op: str
    operands: tuple[str, ...]
    rest: str


class Kernel(NamedTuple):
    """Something that is launched.

    Attributes:
        moved: bytes that one launch reads and writes.
        kind: the library's function, or the compiler's name without its number.
        result: types and shapes.
        origin: of the network and its step, as the compiler keeps it; "" where it does not.
        times: launches in a step.
        library: result, operands, window of a library's convolution; "" of all else.
    """

    moved: int
    kind: str
    result: str
    origin: str
    times: int
    library: str


def read_kernels(text):
    """`[Kernel]` of everything that a program launches.

    Args:
        text: of a compiled program, as `compiled.as_text()` gives it.
    """
    text = COMMENT.sub("", text)
    programs, entry, heads = {}, None, list(HEAD.finditer(text))
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        body = text[head.end() : following.start() if following else len(text)]
        programs[head.group(2)] = [line for line in map(_parse, body.split("\n")) if line]
        entry = head.group(2) if head.group(1) else entry
    return list(_launched(programs, entry, 1))


def _parse(line):
    found = LINE.match(line)
    if found is None:
        return None
    root, name, result, op, rest = found.groups()
    operands = tuple(re.findall(r"%([\w.-]+)", rest.split(")")[0]))
    return Line(bool(root), name, result, op, operands, rest)


def _launched(programs, name, times):
    results = {line.name: line.result for line in programs[name]}
    for line in programs[name]:
        called = {key: value.lstrip("%") for key, value in CALLED.findall(line.rest)}
        if line.op == "while":
            trips = re.search(r'known_trip_count":\{"n":"(\d+)"', line.rest)
            trips = int(trips.group(1)) if trips else 1
            yield from _launched(programs, called["body"], times * trips)
        elif line.op == "conditional":  # one of them runs: the one that moves most
            branches = [list(_launched(programs, inner, times)) for inner in _branches(called)]
            yield from max(branches, key=lambda rows: sum(row.moved * row.times for row in rows))
        elif line.op == "call" and "to_apply" in called:
            yield from _launched(programs, called["to_apply"], times)
        elif line.op not in FREE and not line.op.endswith("-done"):
            yield _kernel(line, programs.get(called.get("calls"), []), results, times)


def _branches(called):
    names = [value for key, value in called.items() if "_computation" in key]
    return [name for value in names for name in re.findall(r"[\w.-]+", value)]


def _kernel(line, fused, results, times):
    sizes = [num_bytes(results.get(operand, "")) for operand in line.operands]
    target = re.search(r'custom_call_target="([^"]+)"', line.rest)
    origin = re.search(r'op_name="([^"]+)"', line.rest)
    kind = target.group(1) if target else re.sub(r"[.\d]+$", "", line.name)
    kind += " grouped" if "feature_group_count" in line.rest else ""
    library = ""
    if "conv" in (target.group(1).lower() if target else line.op):
        window = re.search(r"window=\{[^}]*\}", line.rest)
        shapes = [results.get(operand, "") for operand in line.operands]
        library = " ".join([kind, line.result, *shapes, window.group() if window else ""])
    return Kernel(
        _moved(line, fused, sizes), kind, line.result, origin.group(1) if origin else "", times,
        library,
    )  # fmt: skip


def _moved(line, fused, sizes):
    """Bytes that an instruction reads and writes, given those of its whole operands."""
    if line.op == UPDATE:  # reads what is new, writes it: the rest stays where it is
        return 2 * sizes[1]
    if line.op in SLICES:
        return 2 * num_bytes(line.result)
    uses, updated = _uses(fused), _in_place(fused)
    result = SCRATCH.sub(")", line.result) if line.op == "custom-call" else line.result
    moved = num_bytes(result) - sum(whole - part for _, whole, part in updated)
    untouched = {index for index, *_ in updated if len(uses[index][1]) == 1}
    sums = "kind=kLoop" not in line.rest or SUMS & {inner.op for inner in fused}
    for index, size in enumerate(sizes):
        if index not in untouched:
            results = None if sums else num_elements(line.result)
            moved += min(size, _limit(*uses.get(index, ("", ())), results))
    return moved


def _limit(parameter, uses, results):
    """Bytes that a fusion reads of an operand at most; infinite where all may be read.

    An operand that is only sliced counts as the slices. A loop over so many results reads of every
    operand at most so many elements for each of its uses, unless something in it sums.
    """
    width = num_bytes(parameter) // max(1, num_elements(parameter))
    if uses and all(use.op in SLICES for use in uses):
        return sum(num_elements(use.result) for use in uses) * width
    if uses and results is not None:
        return results * len(uses) * width
    return math.inf


def _uses(fused):
    """`{operand's index: (type and shape, [lines that use it])}`, whatever its type is there."""
    index_of, uses = {}, {}
    for line in fused:
        if line.op == "parameter":
            index_of[line.name] = int(line.rest.split(")")[0])
            uses[index_of[line.name]] = (line.result, [])
        for operand in set(line.operands) & index_of.keys():
            if line.op in SEEN_THROUGH and not line.root:
                index_of[line.name] = index_of[operand]
            else:
                uses[index_of[operand]][1].append(line)
    return uses


def _in_place(fused):
    """`[(operand, bytes of its whole, bytes that are changed)]` of maps that a fusion updates."""
    lines, found = {line.name: line for line in fused}, []
    for root in (line for line in fused if line.root):
        ends = [lines[name] for name in root.operands] if root.op == "tuple" else [root]
        for end in ends:
            while end.op == "bitcast":
                end = lines[end.operands[0]]
            base = lines.get(end.operands[0]) if end.op == UPDATE else None
            while base is not None and base.op == "bitcast":
                base = lines[base.operands[0]]
            if base is not None and base.op == "parameter":
                changed = num_bytes(lines[end.operands[1]].result)
                found.append((int(base.rest.split(")")[0]), num_bytes(end.result), changed))
    return found


def num_elements(shape):
    """Elements of a type and shape, or of a tuple of some."""
    return sum(_count(sides) for _, sides in SHAPE.findall(shape))


def num_bytes(shape):
    """Bytes of a type and shape, or of a tuple of some."""
    return sum(_count(sides) * BYTES[dtype] for dtype, sides in SHAPE.findall(shape))


def _count(sides):
    return math.prod(int(side) for side in filter(None, sides.split(",")))
