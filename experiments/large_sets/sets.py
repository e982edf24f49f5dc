"""A large data set: the labels of ICDAR 2015, repeated."""

import os
import pathlib

from ppocr_jax.errors import UserError

SMALL, LARGE, VALIDATION = "small.txt", "large.txt", "val.txt"
LABELS, TEST = "train_icdar2015_label.txt", "test_icdar2015_label.txt"


def make_set(folder: str | os.PathLike[str], data: str | os.PathLike[str], images: int) -> None:
    """Writes `small.txt`, `large.txt` and `val.txt` into a folder, with links to the pictures.

    Args:
        folder: created if missing; files of an earlier call are overwritten.
        data: folder of ICDAR 2015.
        images: number of lines in `large.txt`.

    Raises:
        UserError: `data` has no label files.
    """
    folder, data = pathlib.Path(folder), pathlib.Path(data).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in (LABELS, TEST):
        if not (data / name).is_file():
            raise UserError(f"{data / name} is missing: --data should be the folder of ICDAR 2015")
    for place in data.iterdir():
        if place.is_dir() and not (folder / place.name).exists():
            (folder / place.name).symlink_to(place)
    lines = (data / LABELS).read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1].rstrip(b"\n") + b"\n"  # the file may lack its last newline
    (folder / SMALL).write_bytes(b"".join(lines))
    # One image: evaluations are not what is measured.
    (folder / VALIDATION).write_bytes((data / TEST).read_bytes().splitlines(keepends=True)[0])
    with open(folder / LARGE, "wb") as file:
        while images > 0:
            file.write(b"".join(lines[:images]))
            images -= len(lines)
