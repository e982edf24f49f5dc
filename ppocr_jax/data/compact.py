"""Lossless compression of the target maps, for the way from the workers to the device.

The three binary maps are packed into bits. The threshold map has one background value nearly
everywhere; only the 8x8 tiles that hold anything else are stored, with their positions. Image and
maps then take about 3.5 bytes per pixel instead of 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32, Int32

BITS = ("threshold_mask", "shrink_map", "shrink_mask")  # in the order of the packed array
MAPS = ("threshold_map", *BITS)
SIDE = 8  # side of a tile, pixels: a row of a tile is one byte of bits, or one uint64 of booleans
STEPS = 32  # sizes that a batch's tile table may have; the device compiles a program for each


def pack(example: Mapping[str, Any], background: float) -> dict[str, Any]:
    """An example with packed maps; its other entries are kept.

    Args:
        example: holds the four maps, `[S, S]` with S a multiple of 8: `threshold_map` float32, the
            others uint8 in {0, 1}.
        background: the value of the threshold map far from text.

    Returns:
        A dict that holds, instead of the maps, `bits` uint8 `[3, S, S / 8]`, first pixel in the
        lowest bit; `tiles` float32 `[n, 64]`, the tiles that are not plain background; `places`
        int32 `[S / 8, S / 8]`, the number of the tile at each position, from 1, or 0 for
        background.
    """
    threshold_map = example["threshold_map"]
    side = len(threshold_map) // SIDE
    # Eight booleans in one uint64: a row of a tile is compared with 0 at once.
    drawn = (threshold_map != np.float32(background)).view(np.uint64)
    rows, columns = np.nonzero(drawn.reshape(side, SIDE, side).any(1))
    places = np.zeros((side, side), np.int32)
    places[rows, columns] = np.arange(1, len(rows) + 1)
    bits = np.stack([np.packbits(example[name], axis=1, bitorder="little") for name in BITS])
    others = {name: value for name, value in example.items() if name not in MAPS}
    tiles = threshold_map.reshape(side, SIDE, side, SIDE)[rows, :, columns].reshape(-1, SIDE**2)
    return {**others, "bits": bits, "tiles": tiles, "places": places}


def stack(
    examples: Sequence[Mapping[str, Any]],
    background: float,
    allocate: Callable[..., np.ndarray] = np.empty,
) -> dict[str, Any]:
    """A batch of packed examples.

    Args:
        examples: results of `pack` that also hold `image` uint8 `[S, S, 3]`, `record`, a number,
            and `failures`, a list.
        background: as for `pack`.
        allocate: `(shape, dtype) -> array`, gives the memory that the batch is written into.

    Returns:
        A dict of `image`, `bits`, `places` and `record` with a leading batch axis; `tiles` float32
        `[N, 64]`, one table of all tiles, which begins with a background tile and is padded to one
        of `STEPS` sizes; `counts`, the number of tiles of each example; `failures` of all; and
        `textless`, how many examples have no text to learn from.
    """

    def join(name: str, values: Sequence[Any]) -> np.ndarray:
        first = np.asarray(values[0])
        return np.stack(values, out=allocate((len(values), *first.shape), first.dtype))

    batch: dict[str, Any] = {
        name: join(name, [e[name] for e in examples]) for name in ("image", "bits", "record")
    }
    counts = [len(example["tiles"]) for example in examples]
    tiles = [example["tiles"] for example in examples]
    batch["tiles"] = _join_tiles(tiles, batch, background, allocate)
    places = [example["places"] for example in examples]
    batch["places"] = join("places", _renumber(places, counts))
    batch["counts"] = counts
    batch["failures"] = [failure for example in examples for failure in example["failures"]]
    shrunk = batch["bits"][:, BITS.index("shrink_map")]
    batch["textless"] = int((~shrunk.any((1, 2))).sum())
    return batch


def _join_tiles(
    parts: Sequence[np.ndarray],
    batch: Mapping[str, Any],
    background: float | Float32[np.ndarray, " 64"],
    allocate: Callable[..., np.ndarray] = np.empty,
) -> Float32[np.ndarray, "N 64"]:
    """One table of tiles: the background tile, the tiles of all parts, padding."""
    drawn = sum(map(len, parts))
    rows = 1 + _round_up(drawn, batch["image"].shape)
    table = allocate((rows, SIDE**2), np.dtype(np.float32))
    table[0], table[1 + drawn :] = background, background
    np.concatenate(parts, out=table[1 : 1 + drawn])
    return table


def _round_up(drawn: int, shape: Sequence[int]) -> int:
    """The next table size for `drawn` tiles: few sizes mean few compilations."""
    step = -(-_count_tiles(shape) // STEPS)
    return -(-drawn // step) * step


def _count_tiles(shape: Sequence[int]) -> int:
    """Number of tiles in a whole batch of images `[B, S, S, ...]`."""
    return shape[0] * shape[1] * shape[2] // SIDE**2


def _renumber(
    places: Sequence[Int32[np.ndarray, "s s"]], counts: Sequence[int]
) -> list[Int32[np.ndarray, "s s"]]:
    """Tile numbers of each example's own table -> numbers in the table of the batch."""
    before = np.cumsum([0, *counts[:-1]], dtype=np.int32)
    return [np.where(own > 0, own + first, 0) for own, first in zip(places, before, strict=True)]


def split(batch: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Splits a batch into `count` equal parts, in order, each with its own table of tiles.

    The parts hold only what goes to a device: `image`, `bits`, `places` and `tiles`.
    """
    if count == 1:
        return [batch]
    parts: list[dict[str, Any]] = []
    share = len(batch["image"]) // count
    ends = np.cumsum([0, *batch["counts"]])
    for first in range(0, share * count, share):
        own = slice(first, first + share)
        start, stop = ends[first], ends[first + share]
        part = {"image": batch["image"][own], "bits": batch["bits"][own]}
        # The background's 0 would become negative, hence the maximum.
        part["places"] = np.maximum(batch["places"][own] - start, 0, dtype=np.int32)
        tiles, background = batch["tiles"][1 + start : 1 + stop], batch["tiles"][0]
        parts.append({**part, "tiles": _join_tiles([tiles], part, background)})
    return parts


def unpack(batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The four maps of a batch, `[B, S, S]` each, bit-equal to what was packed.

    This is the plain NumPy form; the training step unpacks on the device.
    """
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


def most_bytes(size: int, side: int) -> int:
    """Upper limit on the bytes of a batch of `size` examples with a crop of `side` pixels.

    Reached if no tile of the threshold maps is background. Photos have little text and take about
    half of it.
    """
    pixels = size * side**2
    tiles = 1 + _round_up(pixels // SIDE**2, (size, side, side))
    # Image, three bit maps, places, tiles, records.
    return 3 * pixels + 3 * pixels // 8 + 4 * pixels // SIDE**2 + 4 * tiles * SIDE**2 + 4 * size
