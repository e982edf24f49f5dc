"""A pickle of arrays by name, read without running any of it.

A pickle is a program for a stack machine: it may name any function, call it, and build containers
inside containers that take for ever to hash, compare or print. This machine knows only what a file
of arrays needs. It makes no array and calls nothing; keys are text; containers are flat; and every
instruction takes time by its own length, so that reading is linear in the file.
"""

import pickletools
from typing import Any

from ppocr_jax.errors import UserError

DEPTH = 6  # containers inside each other; a slice table has three, an array's state two more
MARK = object()


class Refused(UserError):
    """The file asks for something else than arrays. Its text says what."""


class Array:
    """What a pickle says of an array, unchecked: `state` as given to `__setstate__`."""

    depth = 0

    def __init__(self, state=None):
        self.state = state


class Dtype:
    """What a pickle says of a dtype, unchecked: its letters, and its state."""

    depth = 0

    def __init__(self, code):
        self.code, self.state = code, None


class Items:
    """A tuple, a list or a dict: `values` in order, of a dict under `keys`.

    `depth` says how many containers lie inside each other at least; it never goes beyond DEPTH,
    since whatever would make it is refused.
    """

    def __init__(self, kind, values=()):
        self.kind, self.keys, self.values, self.depth = kind, [], [], 1
        self.extend(values)

    def extend(self, values):
        self.depth = max([self.depth, *(1 + getattr(value, "depth", 0) for value in values)])
        if self.depth > DEPTH:
            raise Refused("containers inside containers, deeper than arrays by name need")
        self.values += values

    def set(self, keys, values):
        for key in keys:
            if not isinstance(key, str):
                raise Refused(f"{describe(key)} is a key; arrays go by text")
        self.extend(values)
        self.keys += keys

    def mapping(self):
        """A dict, the last of equal keys counting."""
        return dict(zip(self.keys, self.values, strict=True))


class Function:
    """A name that a file of arrays needs: what is called here in its place."""

    depth = 0

    def __init__(self, name, call):
        self.name, self.call = name, call


def describe(value: Any) -> str:
    """A value in a few words, whatever a file has made of it."""
    if isinstance(value, Items):
        return f"a {value.kind}"
    if isinstance(value, str):
        return repr(value[:80])
    if isinstance(value, int) and abs(value) < 1 << 64 or isinstance(value, float):
        return repr(value)
    return f"a {type(value).__name__.lower()}"


def load(data: bytes) -> Any:
    """What a pickle holds, of the classes above and plain text, bytes and numbers.

    Raises:
        Refused: it asks for anything else.
        Exception: of whatever kind, when the data are damaged.
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
    """The stack, what is remembered by number, and how much calls may still copy."""

    def __init__(self, budget):
        self.stack, self.memo, self.done, self._budget = [], {}, False, budget

    def spend(self, size):
        """Counts what a call copies: a remembered value can be handed to many of them."""
        self._budget -= size
        if self._budget < 0:
            raise Refused("it copies more than the file holds")

    def pop(self):
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("a mark where a value should be")
        return value

    def pop_to_mark(self):
        values = []
        while (value := self.stack.pop()) is not MARK:
            values.append(value)
        return values[::-1]

    def top(self, kind):
        value = self.stack[-1]
        if not isinstance(value, Items) or value.kind != kind:
            raise Refused(f"it fills {describe(value)} as a {kind}")
        return value


def _push(machine, argument):
    machine.stack.append(argument)


def _push_text(machine, argument):
    """Protocol 0 to 2 know bytes and text of Python 2 alike; both are text here."""
    machine.stack.append(argument if isinstance(argument, str) else argument.decode("latin1"))


def _constant(value):
    return lambda machine, _: machine.stack.append(value)


def _empty(kind):
    return lambda machine, _: machine.stack.append(Items(kind))


def _from_mark(kind):
    return lambda machine, _: machine.stack.append(Items(kind, machine.pop_to_mark()))


def _tuple_of(count):
    def step(machine, _):
        values = [machine.pop() for _ in range(count)][::-1]
        machine.stack.append(Items("tuple", values))

    return step


def _dict(machine, _):
    values = machine.pop_to_mark()
    machine.stack.append(Items("dict"))
    machine.stack[-1].set(values[::2], values[1::2])


def _append(machine, _):
    value = machine.pop()
    machine.top("list").extend([value])


def _appends(machine, _):
    values = machine.pop_to_mark()
    machine.top("list").extend(values)


def _set_item(machine, _):
    value, key = machine.pop(), machine.pop()
    machine.top("dict").set([key], [value])


def _set_items(machine, _):
    values = machine.pop_to_mark()
    machine.top("dict").set(values[::2], values[1::2])


def _global(machine, argument):
    module, _, name = argument.partition(" ")
    machine.stack.append(_find(module, name))


def _stack_global(machine, _):
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise Refused("it asks for a function whose name is no text")
    machine.stack.append(_find(module, name))


def _find(module, name):
    call = ADMITTED.get((module, name))
    if call is None:
        raise Refused(f"it asks for {module[:80]}.{name[:80]}")
    return Function(f"{module}.{name}", call)


def _reduce(machine, _):
    arguments, function = machine.pop(), machine.pop()
    if not isinstance(function, Function):
        raise Refused(f"it calls {describe(function)}")
    if not isinstance(arguments, Items) or arguments.kind != "tuple":
        raise Refused(f"it calls {function.name} with {describe(arguments)}")
    machine.stack.append(function.call(machine, *arguments.values))


def _build(machine, _):
    state, target = machine.pop(), machine.stack[-1]
    if not isinstance(target, Array | Dtype):
        name = target.name if isinstance(target, Function) else describe(target)
        raise Refused(f"it sets the state of {name}")
    if not isinstance(state, Items) or state.kind != "tuple":
        raise Refused(f"it sets a state that is {describe(state)}")
    target.state = state.values


def _put(machine, argument):
    machine.memo[int(argument)] = machine.stack[-1]


def _memoize(machine, _):
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _get(machine, argument):
    machine.stack.append(machine.memo[int(argument)])


def _pop(machine, _):
    machine.stack.pop()


def _pop_mark(machine, _):
    machine.pop_to_mark()


def _duplicate(machine, _):
    machine.stack.append(machine.stack[-1])


def _stop(machine, _):
    machine.done = True


def _outside(machine, _):
    raise Refused("it refers to the outside object that another program would know")


def _extension(machine, argument):
    raise Refused(f"it asks for the extension {argument}")


def _nothing(machine, _):
    pass


STEPS = {
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


# -- what may be called ------------------------------------------------------------------------


def _encode(machine, text=None, encoding="latin1"):
    """What protocol 2 calls to store bytes as text: latin-1 and nothing else."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("_codecs.encode of something but latin-1 text")
    machine.spend(len(text))
    return text.encode("latin1")


def _reconstruct(_, kind=None, shape=None, code=None):
    if not isinstance(kind, Function) or kind.call is not _bare_array:
        raise Refused("an array of another class")
    return Array()


def _bare_array(*_):
    return Array()


def _scalar(_, dtype=None, data=b""):
    return Array([Items("tuple"), dtype, False, data])


def _dtype(_, code=None, align=False, copy=False):
    return Dtype(code)


def _ordered(machine, items=None):
    """An OrderedDict: empty, or from pairs."""
    made = Items("dict")
    pairs = items.values if isinstance(items, Items) else []
    machine.spend(len(pairs))
    for pair in pairs:
        if not isinstance(pair, Items) or len(pair.values) != 2:
            raise Refused("an OrderedDict of something but pairs")
        made.set(pair.values[:1], pair.values[1:])
    return made


def _tuple(machine, items=None):
    values = items.values if isinstance(items, Items) else ()
    machine.spend(len(values))
    return Items("tuple", values)


def _no_bytes(_):
    """What protocol 2 calls for an empty byte string."""
    return b""


ADMITTED = {
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
