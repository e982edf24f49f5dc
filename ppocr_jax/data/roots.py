"""Guesses which `config.data.root` would find images that are not where the labels say.

Other tools write paths that begin with the name of the folder, with a folder of another machine, or
that are only the file's name. A guess makes a bounded number of accesses to the disk.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ppocr_jax.data import packed
from ppocr_jax.data.labels import IMAGE_SUFFIXES, find_source, split_sources
from ppocr_jax.data.picture_paths import near_folders
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

MOST_LOOKED_UP = 300  # images tried in each folder
MOST_FILES = 50_000  # files listed in search of a name


def guess_root(config: ConfigDict, split: str, paths: Sequence[str]) -> str:
    """A line of advice on how to find missing images; "" if there is none.

    Args:
        config: a whole config; `data.root` and `data.<split>` are read.
        split: "train" or "val".
        paths: all labelled images, missing or not, as in `Sample.image_path`. A path without a
            suffix stands for an image of any format.
    """
    root = pathlib.Path(config.data.root)
    chosen = paths[:: -(-len(paths) // MOST_LOOKED_UP) or 1]
    names = [_below(path, root) for path in chosen]
    now, of = sum(map(_exists, chosen)), f"{len(names)} images"
    if len(chosen) < len(paths):
        of = f"{len(chosen)} of {len(paths)} images looked up"
    # --- a folder nearby, in which the labels' paths lead to more images
    counts = [(_count(folder, names), folder) for folder in near_folders(root)]
    found, folder = max(counts, key=lambda pair: pair[0], default=(0, ""))
    if found > now:
        option = f"--config.data.root={folder}{_sources(config, split, folder)}"
        return f"{option} would find {found} of {of}; {now} are found now"
    # --- a folder below the root with the same file names
    missing = [name for name, path in zip(names, chosen, strict=True) if not _exists(path)]
    folder, here = _search(root, missing)
    if not here:
        return ""
    first = next(name for name in missing if os.path.basename(name) in here)
    return (
        f"{len(here)} of {len(missing)} missing images are in {folder} by name, but the labels "
        f"say {os.path.dirname(first) or 'no folder'}: write their paths relative to data.root"
    )


def _below(path: str, root: pathlib.Path) -> str:
    """A path as the label has it: relative to the root, or absolute if the label's is."""
    try:
        return str(pathlib.Path(path).relative_to(root))
    except ValueError:
        return str(path)


def _count(folder: str, names: Iterable[str]) -> int:
    """How many of these paths exist below a folder."""
    return sum(_exists(os.path.join(folder, name)) for name in names)


def _exists(path: str) -> bool:
    """Whether an image exists; a path without a suffix may have any of `IMAGE_SUFFIXES`."""
    place = packed.find_place(path)
    if place:
        return packed.holds(place)
    if os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES:
        return os.path.isfile(path)
    return any(os.path.isfile(path + form(s)) for s in IMAGE_SUFFIXES for form in (str, str.upper))


def _sources(config: ConfigDict, split: str, folder: str) -> str:
    """The option that names the label files, if another root would not find them; else ""."""
    sources = split_sources(config.data[split])
    moved: list[str] = []
    for source in sources:
        old = find_source(source, config.data.root)
        try:
            same = os.path.samefile(old, find_source(source, folder))
        except UserError:
            same = False
        moved.append(source if same else str(old))
    return f" --config.data.{split}={','.join(moved)}" if moved != sources else ""


def _search(root: pathlib.Path, names: Iterable[str]) -> tuple[str, set[str]]:
    """`(folder, file names found in it)`: the folder that has most of the images by file name."""
    wanted, seen = {os.path.basename(name) for name in names}, 0
    best: tuple[str, set[str]] = "", set()
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        here = wanted.intersection(files)
        if len(here) > len(best[1]):
            best = folder, here
        seen += len(files)
        if seen > MOST_FILES:
            break
    return best
