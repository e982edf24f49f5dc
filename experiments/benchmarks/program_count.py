"""Counts the kernels of a compiled GPU program and their traffic, from its HLO text.

The traffic of a kernel is what it reads and writes, each byte once. The body of a loop counts once
per iteration if the compiler knows how many there are; called computations are followed. If a
fusion reads only parts of an operand, these parts count; if it updates a map in place, the change
counts.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

BYTES = dict(  # of a value, by HLO's name of its type
    pred=1, s8=1, u8=1, f8e4m3fn=1, f8e5m2=1, bf16=2, f16=2, s16=2, u16=2,
    f32=4, s32=4, u32=4, f64=8, s64=8, u64=8,
)  # fmt: skip
SHAPE = re.compile(rf"\b({'|'.join(BYTES)})\[([\d,]*)\]")
COMMENT = re.compile(r"/\*.*?\*/")  # such as the index at every fifth entry of a tuple
# An instruction: `ROOT %name = type[shape] operation(operands), attributes`.
LINE = re.compile(r"\s*(ROOT )?%?([\w.-]+) = (\([^=]*?\)|\S+) ([\w-]+)\((.*)")
# The head of a computation, and the computations that an instruction calls.
HEAD = re.compile(r"(?m)^(ENTRY )?%?([\w.-]+) \(.*\{$")
CALLED = re.compile(r"(calls|body|to_apply|\w+_computations?)=(\{[^}]*\}|%?[\w.-]+)")
# Operations that launch nothing.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}
SLICES = {"slice", "dynamic-slice", "gather"}
SEEN_THROUGH = {"bitcast", "convert", "pad"}  # parts of the result need parts of the operand
SCRATCH = re.compile(r", [us]8\[\d*\](\{0\})?\)$")  # memory that a library call asks for itself
SUMS = {"reduce", "reduce-window", "dot", "convolution", "scatter"}
UPDATE = "dynamic-update-slice"


class Line(NamedTuple):
    """One instruction of HLO text.

    Attributes:
        root: whether it is the result of its computation.
        name: of the instruction.
        result: types and shapes.
        op: operation, such as "fusion".
        operands: names of the instructions that it reads.
        rest: of the text, from its operands on.
    """

    root: bool
    name: str
    result: str
    op: str
    operands: tuple[str, ...]
    rest: str


class Kernel(NamedTuple):
    """A kernel.

    Attributes:
        moved: traffic of one launch, in bytes.
        kind: name of the library function, or the compiler's name without its number.
        result: types and shapes.
        origin: the compiler's `op_name`, which tells the part of the network; "" if unknown.
        times: launches per training step.
        library: for a library convolution its result, operands and window, which tell distinct ones
            apart; "" for other kernels.
    """

    moved: int
    kind: str
    result: str
    origin: str
    times: int
    library: str


def read_kernels(text: str) -> list[Kernel]:
    """Lists the kernels that a program launches.

    Args:
        text: of a compiled program, from `compiled.as_text()`.
    """
    text = COMMENT.sub("", text)
    programs: dict[str, list[Line]] = {}
    entry, heads = "", list(HEAD.finditer(text))
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        body = text[head.end() : following.start() if following else len(text)]
        programs[head.group(2)] = [line for line in map(_parse, body.split("\n")) if line]
        entry = head.group(2) if head.group(1) else entry
    return list(_launched(programs, entry, 1))


def _parse(line: str) -> Line | None:
    """Reads one instruction; None for other lines."""
    found = LINE.match(line)
    if found is None:
        return None
    root, name, result, op, rest = found.groups()
    operands = tuple(re.findall(r"%([\w.-]+)", rest.split(")")[0]))
    return Line(bool(root), name, result, op, operands, rest)


def _launched(programs: Mapping[str, Sequence[Line]], name: str, times: int) -> Iterator[Kernel]:
    """Kernels of one computation and of those that it calls.

    Args:
        programs: all computations by name.
        name: of this one.
        times: how often it runs in a step.
    """
    results = {line.name: line.result for line in programs[name]}
    for line in programs[name]:
        called = {key: value.lstrip("%") for key, value in CALLED.findall(line.rest)}
        if line.op == "while":
            known = re.search(r'known_trip_count":\{"n":"(\d+)"', line.rest)
            trips = int(known.group(1)) if known else 1
            yield from _launched(programs, called["body"], times * trips)
        elif line.op == "conditional":  # one branch runs: assume the one with the most traffic
            branches = [list(_launched(programs, inner, times)) for inner in _branches(called)]
            yield from max(branches, key=lambda rows: sum(row.moved * row.times for row in rows))
        elif line.op == "call" and "to_apply" in called:
            yield from _launched(programs, called["to_apply"], times)
        elif line.op not in FREE and not line.op.endswith("-done"):
            yield _kernel(line, programs.get(called.get("calls", ""), []), results, times)


def _branches(called: Mapping[str, str]) -> list[str]:
    """Names of the computations of a conditional."""
    names = [value for key, value in called.items() if "_computation" in key]
    return [name for value in names for name in re.findall(r"[\w.-]+", value)]


def _kernel(line: Line, fused: Sequence[Line], results: Mapping[str, str], times: int) -> Kernel:
    """The kernel of one instruction.

    Args:
        line: the instruction.
        fused: the instructions inside it, if it is a fusion.
        results: types and shapes by name, in its computation.
        times: launches per step.
    """
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


def _moved(line: Line, fused: Sequence[Line], sizes: Sequence[int]) -> int:
    """Traffic of one instruction in bytes.

    Args:
        line: the instruction.
        fused: the instructions inside it, if it is a fusion.
        sizes: bytes of its operands, each as a whole.
    """
    if line.op == UPDATE:  # reads the new part and writes it; the rest stays in place
        return 2 * sizes[1]
    if line.op in SLICES:
        return 2 * num_bytes(line.result)
    # What is written: the result, less the untouched rest of maps that are updated in place.
    uses, updated = _uses(fused), _in_place(fused)
    result = SCRATCH.sub(")", line.result) if line.op == "custom-call" else line.result
    moved = num_bytes(result) - sum(whole - part for _, whole, part in updated)
    # What is read: of each operand no more than its uses need.
    untouched = {index for index, *_ in updated if len(uses[index][1]) == 1}
    sums = "kind=kLoop" not in line.rest or SUMS & {inner.op for inner in fused}
    for index, size in enumerate(sizes):
        if index not in untouched:
            results = None if sums else num_elements(line.result)
            moved += int(min(size, _limit(*uses.get(index, ("", [])), results)))
    return moved


def _limit(parameter: str, uses: Sequence[Line], results: int | None) -> float:
    """Upper limit of the bytes that a fusion reads of an operand; infinite if it may read all.

    Args:
        parameter: type and shape of the operand.
        uses: the instructions that read it. If all of them are slices, only the slices are read.
        results: elements of the fusion's result. An elementwise fusion reads at most one element
            per result and use. None if the fusion sums, so that a result may need many elements.
    """
    width = num_bytes(parameter) // max(1, num_elements(parameter))
    if uses and all(use.op in SLICES for use in uses):
        return sum(num_elements(use.result) for use in uses) * width
    if uses and results is not None:
        return results * len(uses) * width
    return math.inf


def _uses(fused: Sequence[Line]) -> dict[int, tuple[str, list[Line]]]:
    """How a fusion uses its operands: `{index: (type and shape, [instructions that read it])}`.

    An operand that is converted, padded or bitcast still counts as the operand itself.
    """
    index_of: dict[str, int] = {}
    uses: dict[int, tuple[str, list[Line]]] = {}
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


def _in_place(fused: Sequence[Line]) -> list[tuple[int, int, int]]:
    """Operands that a fusion updates in place: `[(index, bytes in all, bytes that change)]`."""
    lines, found = {line.name: line for line in fused}, []
    # A result is an update in place if it is a dynamic-update-slice of an operand, bitcasts aside.
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


def num_elements(shape: str) -> int:
    """Returns the number of elements of a type and shape, or of a tuple of them."""
    return sum(_count(sides) for _, sides in SHAPE.findall(shape))


def num_bytes(shape: str) -> int:
    """Returns the bytes of a type and shape, or of a tuple of them."""
    return sum(_count(sides) * BYTES[dtype] for dtype, sides in SHAPE.findall(shape))


def _count(sides: str) -> int:
    return math.prod(int(side) for side in filter(None, sides.split(",")))
