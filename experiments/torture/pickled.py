"""Hostile pickles. Each function returns `(what it is, bytes)`."""

import pickletools
import random


def laughs(rng: random.Random) -> tuple[str, bytes]:
    """Makes a "billion laughs" pickle: a few dozen bytes that describe 2^n nested empty tuples."""
    # `)` pushes an empty tuple; `2` duplicates it and 0x86 pairs the two: twice the size each time.
    doubled = b")" + b"2\x86" * rng.choice([30, 60, 1500])
    place = rng.choice(list(PLACES))
    return f"doubled tuples as {place}", b"\x80\x02" + PLACES[place].replace(
        b"LAUGHS", doubled
    ) + b"."


PLACES = {  # where in a pickle LAUGHS are replaced by those tuples
    "a key": b"}LAUGHSK\x01s",
    "a value": b"}X\x01\0\0\0aLAUGHSs",
    "all": b"LAUGHS",
    "a persistent id": b"}X\x01\0\0\0aLAUGHSQs",
    "a list's entry": b"}X\x01\0\0\0a]LAUGHSas",
    "a set's entry": b"\x80\x04}X\x01\0\0\0a(LAUGHS\x91s",
    "a call's argument": b"}X\x01\0\0\0acnumpy\ndtype\nLAUGHS\x85Rs",
    "all of a call's arguments": b"}X\x01\0\0\0acnumpy.core.multiarray\n_reconstruct\nLAUGHSRs",
    "a state": b"}X\x01\0\0\0acnumpy\ndtype\nX\x02\0\0\0f4\x85RLAUGHSbs",
    "an ordered mapping": b"ccollections\nOrderedDict\nLAUGHS\x85R",
}


OPERATIONS = (
    b"N", b"}", b"(", b"]", b"0", b"2", b"R", b"b", b"s", b"u", b"Q", b"h\x09", b"t", b"\x81",
    b"\x8a\xff" + b"\x7f" * 255,
)  # fmt: skip


def change_operations(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Removes, doubles, swaps or inserts operations of a valid pickle."""
    places = [place for _, _, place in pickletools.genops(data)]
    parts = [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]
    for _ in range(rng.choice([1, 1, 3])):
        at, other = rng.randrange(1, len(parts)), rng.randrange(1, min(len(parts), 60))
        way = rng.choice(["gone", "doubled", "exchanged", "inserted"])
        if way == "gone":
            parts[at] = b""
        elif way == "doubled":
            parts[at] *= 2
        elif way == "exchanged":
            parts[at], parts[other] = parts[other], parts[at]
        else:
            parts[at] += rng.choice(OPERATIONS)
    return f"operation {at} of {len(parts)} {way}", b"".join(parts)


def claim(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Changes the first array's shape in a valid pickle to one that the data cannot fill."""
    # The shape (8, 3, 3, 3) of the first convolution, as pickle writes it.
    shape = b"(K\x08K\x03K\x03K\x03t"
    if shape not in data:
        return change_operations(rng, data)
    claims = {
        "2^31 rows": b"(J\xff\xff\xff\x7fK\x03K\x03K\x03t",
        "2^70 rows": b"(\x8a\x09" + b"\0" * 8 + b"\x40K\x03K\x03K\x03t",
        "65 sides": b"(" + b"K\x01" * 65 + b"t",
        "true rows": b"(\x88K\x03K\x03K\x03t",
        "minus one row": b"(J\xff\xff\xff\xffK\x03K\x03K\x03t",
    }
    name = rng.choice(list(claims))
    return f"a shape of {name}", data.replace(shape, claims[name], 1)
