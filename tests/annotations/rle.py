"""Encoders of run lengths, written in the plainest way from the tools' descriptions."""

import itertools

import numpy as np


def counts_of(mask):
    """COCO's uncompressed counts: column by column, background first."""
    flat = np.asarray(mask, bool).T.ravel().tolist()
    runs = [(value, len(list(group))) for value, group in itertools.groupby(flat)]
    return ([0] if flat[0] else []) + [length for _, length in runs]


def compressed(counts):
    """COCO's compressed text: differences to the count two before, five bits at a time."""
    text = ""
    for index, count in enumerate(counts):
        value = count - (counts[index - 2] if index > 2 else 0)
        while True:
            bits, value = value & 31, value >> 5
            more = not (value == 0 and not bits & 16 or value == -1 and bits & 16)
            text += chr(48 + bits + 32 * more)
            if not more:
                break
    return text


def brushed(mask, sizes=(3, 4, 8, 16)):
    """Label Studio's bytes for an RGBA image of a mask: runs, and literal stretches of up to 8."""
    values = np.repeat(np.asarray(mask, np.uint8).ravel() * 255, 4).tolist()
    bits = f"{len(values):032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)

    def length(count):
        which = next(i for i, size in enumerate(sizes) if count <= 1 << size)
        return f"{which:02b}" + f"{count - 1:0{sizes[which]}b}"

    stretch = []

    def flush():
        nonlocal bits, stretch
        if stretch:
            bits += "0" + length(len(stretch)) + "".join(f"{v:08b}" for v in stretch)
        stretch = []

    for value, group in itertools.groupby(values):
        count = len(list(group))
        if count < 5 and len(stretch) + count <= 8:
            stretch += [value] * count
            continue
        flush()
        while count:
            part = min(count, 1 << sizes[-1])
            bits += "1" + length(part) + f"{value:08b}"
            count -= part
    flush()
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
