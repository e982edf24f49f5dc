"""Decodes a pickle of arrays by name without running any of its code.

A pickle is a program for a stack machine. It may import any function and call it, and nest
containers so deeply that hashing, comparing or printing them takes forever. The machine here knows
only the instructions that a file of arrays needs. It creates no arrays and imports nothing; keys
are text; nesting is bounded; and an instruction takes time in proportion to its own length, so that
decoding is linear in the size of the file.

Source: the instructions are described in the standard library's `pickletools`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable
from typing import Any

from ppocr_jax.errors import UserError

DEPTH = 6  # of nested containers; a slice table has three, the state of an array two more
MARK = object()  # on the stack: where the items of a container begin


class Refused(UserError):
    """The file needs something other than arrays. The message says what."""


class Array:
    """An array as a pickle describes it, unchecked; `state` is what `__setstate__` would get."""

    depth = 0

    def __init__(self, state: list[Any] | None = None) -> None:
        self.state = state


class Dtype:
    """A dtype as a pickle describes it, unchecked: its code, such as "f4", and its state."""

    depth = 0

    def __init__(self, code: Any) -> None:
        self.code = code
        self.state: list[Any] | None = None


class Items:
    """A tuple, list or dict.

    Attributes:
        kind: "tuple", "list" or "dict".
        values: in order.
        keys: of a dict, one per value.
        depth: number of nested containers, at most DEPTH; deeper ones are refused while they are
            built.
    """

    def __init__(self, kind: str, values: Iterable[Any] = ()) -> None:
        self.kind, self.depth = kind, 1
        self.keys: list[str] = []
        self.values: list[Any] = []
        self.extend(list(values))

    def extend(self, values: list[Any]) -> None:
        """Appends values. Raises Refused where they are nested too deeply."""
        self.depth = max([self.depth, *(1 + getattr(value, "depth", 0) for value in values)])
        if self.depth > DEPTH:
            raise Refused("containers nested more deeply than arrays by name need")
        self.values += values

    def set(self, keys: list[Any], values: list[Any]) -> None:
        """Adds items to a dict. Raises Refused for a key that is not text."""
        for key in keys:
            if not isinstance(key, str):
                raise Refused(f"{describe(key)} is a key; arrays have text as keys")
        self.extend(values)
        self.keys += keys

    def mapping(self) -> dict[str, Any]:
        """The items as a dict; of equal keys the last counts."""
        return dict(zip(self.keys, self.values, strict=True))


class Function:
    """A function that a file of arrays may name, and what is called here in its place."""

    depth = 0

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name, self.call = name, call


def describe(value: Any) -> str:
    """A value in a few words, of bounded length and cost for any content."""
    if isinstance(value, Items):
        return f"a {value.kind}"
    if isinstance(value, str):
        return repr(value[:80])
    if isinstance(value, int) and abs(value) < 1 << 64 or isinstance(value, float):
        return repr(value)
    return f"a {type(value).__name__.lower()}"


def load(data: bytes) -> Any:
    """Decodes a pickle.

    Returns:
        Its value, made of the classes above and of plain text, bytes and numbers.

    Raises:
        Refused: it needs anything else.
        Exception: of any kind, when the data are damaged.
    """
    machine = _Machine(2 * len(data))
    for code, argument, _ in pickletools.genops(data):
        step = STEPS.get(code.name)
        if step is None:
            raise Refused(f"it uses {code.name}, which no file of arrays needs")
        step(machine, argument)
        if machine.done:
            return machine.stack[-1]
    raise ValueError("ends early")


class _Machine:
    """The state of the stack machine.

    Attributes:
        stack: of values.
        memo: values stored by number, to be used again.
        done: whether the pickle has ended.
    """

    def __init__(self, budget: int) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.done, self._budget = False, budget

    def spend(self, size: int) -> None:
        """Counts what a call copies: a value in the memo can be passed to any number of calls."""
        self._budget -= size
        if self._budget < 0:
            raise Refused("it copies more than the file holds")

    def pop(self) -> Any:
        """Takes the top value."""
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("a mark where a value should be")
        return value

    def pop_to_mark(self) -> list[Any]:
        """Takes all values above the last mark, and the mark."""
        values = []
        while (value := self.stack.pop()) is not MARK:
            values.append(value)
        return values[::-1]

    def top(self, kind: str) -> Items:
        """The container on top. Raises Refused where it is of another kind."""
        value = self.stack[-1]
        if not isinstance(value, Items) or value.kind != kind:
            raise Refused(f"it fills {describe(value)} as a {kind}")
        return value


# -- instructions ----------------------------------------------------------------------------------
# Each gets the machine, and the argument that is written behind the instruction in the file.

Step = Callable[[_Machine, Any], None]


def _push(machine: _Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _push_text(machine: _Machine, argument: Any) -> None:
    """A Python 2 string, which protocols 0 to 2 use for bytes and text alike: text here."""
    machine.stack.append(argument if isinstance(argument, str) else argument.decode("latin1"))


def _constant(value: Any) -> Step:
    return lambda machine, _: machine.stack.append(value)


def _empty(kind: str) -> Step:
    return lambda machine, _: machine.stack.append(Items(kind))


def _from_mark(kind: str) -> Step:
    return lambda machine, _: machine.stack.append(Items(kind, machine.pop_to_mark()))


def _tuple_of(count: int) -> Step:
    def step(machine: _Machine, _: Any) -> None:
        values = [machine.pop() for _ in range(count)][::-1]
        machine.stack.append(Items("tuple", values))

    return step


def _dict(machine: _Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    machine.stack.append(Items("dict"))
    machine.stack[-1].set(values[::2], values[1::2])


def _append(machine: _Machine, _: Any) -> None:
    value = machine.pop()
    machine.top("list").extend([value])


def _appends(machine: _Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    machine.top("list").extend(values)


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.top("dict").set([key], [value])


def _set_items(machine: _Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    machine.top("dict").set(values[::2], values[1::2])


def _global(machine: _Machine, argument: Any) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(_find(module, name))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise Refused("it names a function by something other than text")
    machine.stack.append(_find(module, name))


def _find(module: str, name: str) -> Function:
    call = ADMITTED.get((module, name))
    if call is None:
        raise Refused(f"it asks for {module[:80]}.{name[:80]}")
    return Function(f"{module}.{name}", call)


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, function = machine.pop(), machine.pop()
    if not isinstance(function, Function):
        raise Refused(f"it calls {describe(function)}")
    if not isinstance(arguments, Items) or arguments.kind != "tuple":
        raise Refused(f"it calls {function.name} with {describe(arguments)}")
    machine.stack.append(function.call(machine, *arguments.values))


def _build(machine: _Machine, _: Any) -> None:
    state, target = machine.pop(), machine.stack[-1]
    if not isinstance(target, Array | Dtype):
        name = target.name if isinstance(target, Function) else describe(target)
        raise Refused(f"it sets the state of {name}")
    if not isinstance(state, Items) or state.kind != "tuple":
        raise Refused(f"it sets a state that is {describe(state)}")
    target.state = state.values


def _put(machine: _Machine, argument: Any) -> None:
    machine.memo[int(argument)] = machine.stack[-1]


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _get(machine: _Machine, argument: Any) -> None:
    machine.stack.append(machine.memo[int(argument)])


def _pop(machine: _Machine, _: Any) -> None:
    machine.stack.pop()


def _pop_mark(machine: _Machine, _: Any) -> None:
    machine.pop_to_mark()


def _duplicate(machine: _Machine, _: Any) -> None:
    machine.stack.append(machine.stack[-1])


def _stop(machine: _Machine, _: Any) -> None:
    machine.done = True


def _outside(machine: _Machine, _: Any) -> None:
    raise Refused("it refers to an object outside the file")


def _extension(machine: _Machine, argument: Any) -> None:
    raise Refused(f"it asks for the extension {argument}")


def _nothing(machine: _Machine, _: Any) -> None:
    pass


STEPS: dict[str, Step] = {
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    "STOP": _stop,
    "MARK": _constant(MARK),
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": _duplicate,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    **dict.fromkeys(
        ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        _push,
    ),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _push),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), _push),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _push_text),
    "EMPTY_TUPLE": _empty("tuple"),
    "TUPLE": _from_mark("tuple"),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "EMPTY_LIST": _empty("list"),
    "LIST": _from_mark("list"),
    "APPEND": _append,
    "APPENDS": _appends,
    "EMPTY_DICT": _empty("dict"),
    "DICT": _dict,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _reduce),
    "BUILD": _build,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    "MEMOIZE": _memoize,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    **dict.fromkeys(("PERSID", "BINPERSID"), _outside),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _extension),
}


# -- functions that a file may call ----------------------------------------------------------------


def _encode(machine: _Machine, text: Any = None, encoding: Any = "latin1") -> bytes:
    """Bytes from text: protocol 2 has no bytes, and stores them as latin-1."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("_codecs.encode of something other than latin-1 text")
    machine.spend(len(text))
    return text.encode("latin1")


def _reconstruct(_: _Machine, kind: Any = None, shape: Any = None, code: Any = None) -> Array:
    if not isinstance(kind, Function) or kind.call is not _bare_array:
        raise Refused("an array of another class")
    return Array()


def _bare_array(*_: Any) -> Array:
    return Array()


def _scalar(_: _Machine, dtype: Any = None, data: Any = b"") -> Array:
    return Array([Items("tuple"), dtype, False, data])


def _dtype(_: _Machine, code: Any = None, align: Any = False, copy: Any = False) -> Dtype:
    return Dtype(code)


def _ordered(machine: _Machine, items: Any = None) -> Items:
    """An OrderedDict as a plain dict: empty, or from pairs."""
    made = Items("dict")
    pairs = items.values if isinstance(items, Items) else []
    machine.spend(len(pairs))
    for pair in pairs:
        if not isinstance(pair, Items) or len(pair.values) != 2:
            raise Refused("an OrderedDict of something other than pairs")
        made.set(pair.values[:1], pair.values[1:])
    return made


def _tuple(machine: _Machine, items: Any = None) -> Items:
    values = items.values if isinstance(items, Items) else ()
    machine.spend(len(values))
    return Items("tuple", values)


def _no_bytes(_: _Machine) -> bytes:
    """An empty byte string, for which protocol 2 calls `bytes`."""
    return b""


ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _bare_array,
    ("numpy", "dtype"): _dtype,
    ("collections", "OrderedDict"): _ordered,
    ("builtins", "tuple"): _tuple,
    ("__builtin__", "tuple"): _tuple,
    ("__builtin__", "bytes"): _no_bytes,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
}
