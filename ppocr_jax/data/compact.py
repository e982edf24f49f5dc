"""Target maps in few bytes, without loss: how an example travels from its maker to the device.

The three maps of zeros and ones go as bits. The threshold map is one value far from text, which is
nearly everywhere: it goes as the tiles of 8x8 pixels that hold another one, and where they lie.
Image and maps take some 3.5 bytes a pixel that way, and 10 as they are.
"""

import numpy as np

BITS = ("threshold_mask", "shrink_map", "shrink_mask")
MAPS = ("threshold_map", *BITS)
SIDE = 8  # of a tile, pixels
STEPS = 32  # sizes that the tiles of a batch may have: each is a program on the device


def pack(example, background):
    """An example with its maps packed; what else it holds stays.

    Args:
        example: a dict with the four maps, `[S, S]`, S a multiple of 8: `threshold_map` float32,
            the others uint8, 0 or 1.
        background: the value of the threshold map that most of it has.

    Returns:
        A dict with, for the maps, `bits` uint8 `[3, S, S / 8]`, the first pixel lowest; `tiles`
        float32 `[n, 64]`; `places` int32 `[S / 8, S / 8]`, the number of the tile there from 1, or
        0 for the background.
    """
    threshold_map = example["threshold_map"]
    side = len(threshold_map) // SIDE
    drawn = (threshold_map != np.float32(background)).view(np.uint64)  # eight pixels in one
    rows, columns = np.nonzero(drawn.reshape(side, SIDE, side).any(1))
    places = np.zeros((side, side), np.int32)
    places[rows, columns] = np.arange(1, len(rows) + 1)
    bits = np.stack([np.packbits(example[name], axis=1, bitorder="little") for name in BITS])
    others = {name: value for name, value in example.items() if name not in MAPS}
    tiles = threshold_map.reshape(side, SIDE, side, SIDE)[rows, :, columns].reshape(-1, SIDE**2)
    return {**others, "bits": bits, "tiles": tiles, "places": places}


def stack(examples, background, allocate=np.empty):
    """A batch of packed examples.

    Args:
        examples: what `pack` gave, with `image` uint8 `[S, S, 3]`, `record`, a number, and
            `failures`, a list.
        background: as for `pack`.
        allocate: `(shape, dtype) -> array` to write the batch's arrays into.

    Returns:
        A dict of `image`, `bits`, `places` and `record` with an axis for the batch in front;
        `tiles` float32 `[N, 64]` of all, the background first, and at the end what a size of
        `STEPS` leaves; `counts`, how many are whose; `failures`, joined; and `textless`, how many
        examples have no text to learn from.
    """

    def join(name, values):
        first = np.asarray(values[0])
        return np.stack(values, out=allocate((len(values), *first.shape), first.dtype))

    batch = {name: join(name, [e[name] for e in examples]) for name in ("image", "bits", "record")}
    counts = [len(example["tiles"]) for example in examples]
    batch["tiles"] = _table([example["tiles"] for example in examples], batch, background, allocate)
    batch["places"] = join("places", _numbered([example["places"] for example in examples], counts))
    batch["counts"] = counts
    batch["failures"] = [failure for example in examples for failure in example["failures"]]
    shrunk = batch["bits"][:, BITS.index("shrink_map")]
    batch["textless"] = int((~shrunk.any((1, 2))).sum())
    return batch


def _table(parts, batch, background, allocate=np.empty):
    """Tiles below one another, behind that of the background; of one of `STEPS` sizes."""
    drawn = sum(map(len, parts))
    rows = 1 + _round_up(drawn, batch["image"].shape)
    table = allocate((rows, SIDE**2), np.dtype(np.float32))
    table[0], table[1 + drawn :] = background, background
    np.concatenate(parts, out=table[1 : 1 + drawn])
    return table


def _round_up(drawn, shape):
    step = -(-_tiles(shape) // STEPS)
    return -(-drawn // step) * step


def _tiles(shape):
    """Tiles of all pixels of a batch of images."""
    return shape[0] * shape[1] * shape[2] // SIDE**2


def _numbered(places, counts):
    """Places in tables of their own -> those in the one of all tables below one another."""
    before = np.cumsum([0, *counts[:-1]], dtype=np.int32)
    return [np.where(own > 0, own + first, 0) for own, first in zip(places, before, strict=True)]


def split(batch, count):
    """`count` batches of equally many examples, in their order, each with its own tiles."""
    if count == 1:
        return [batch]
    share, parts = len(batch["image"]) // count, []
    ends = np.cumsum([0, *batch["counts"]])
    for first in range(0, share * count, share):
        own = slice(first, first + share)
        start, stop = ends[first], ends[first + share]
        part = {"image": batch["image"][own], "bits": batch["bits"][own]}
        part["places"] = np.maximum(batch["places"][own] - start, 0, dtype=np.int32)
        tiles, background = batch["tiles"][1 + start : 1 + stop], batch["tiles"][0]
        parts.append({**part, "tiles": _table([tiles], part, background)})
    return parts


def unpack(batch):
    """The four maps of a batch as they were drawn, `[B, S, S]` each; to the bit."""
    places, tiles = batch["places"], batch["tiles"]
    count, rows, columns = places.shape
    threshold_map = np.full((count, rows, SIDE, columns, SIDE), tiles[0, 0])
    image, row, column = np.nonzero(places)
    drawn = tiles[places[image, row, column]].reshape(-1, SIDE, SIDE)
    threshold_map[image, row, :, column] = drawn
    maps = {"threshold_map": threshold_map.reshape(count, rows * SIDE, columns * SIDE)}
    for index, name in enumerate(BITS):
        maps[name] = np.unpackbits(batch["bits"][:, index], axis=-1, bitorder="little")
    return maps


def most_bytes(size, side):
    """Bytes of a batch of `size` examples of `side` pixels whose threshold maps are drawn all over.

    Those of photographs have little text in them, and take half of that.
    """
    pixels = size * side**2
    tiles = 1 + _round_up(pixels // SIDE**2, (size, side, side))
    return 3 * pixels + 3 * pixels // 8 + 4 * pixels // SIDE**2 + 4 * tiles * SIDE**2 + 4 * size
