"""Pictures that are not where labels say: which `config.data.root` would find them.

Other tools write paths that begin with the name of the folder, with the folder of another machine,
or with nothing but the picture's name. A guess costs a bounded number of looks at the disk.
"""

import os
import pathlib

from ppocr_jax.data import packed
from ppocr_jax.data.labels import IMAGE_SUFFIXES, find_source, split_sources
from ppocr_jax.data.picture_paths import near_folders
from ppocr_jax.errors import UserError

MOST_LOOKED_UP = 300  # pictures that each folder is tried with
MOST_FILES = 50_000  # that are listed in search of a name


def guess_root(config, split, paths):
    """What would find missing pictures, as a line of advice; "" where nothing does.

    Args:
        config: a whole config, of which `data.root` and `data.<split>` are read.
        split: "train" or "val".
        paths: of all labelled pictures, there or not, as `Sample.image_path` has them. One without
            an ending stands for a picture of any format.
    """
    root = pathlib.Path(config.data.root)
    chosen = paths[:: -(-len(paths) // MOST_LOOKED_UP) or 1]
    names = [_below(path, root) for path in chosen]
    now, of = sum(map(_is_there, chosen)), f"{len(names)} pictures"
    if len(chosen) < len(paths):
        of = f"{len(chosen)} pictures looked up of {len(paths)}"
    counts = [(_count(folder, names), folder) for folder in near_folders(root)]
    found, folder = max(counts, key=lambda pair: pair[0], default=(0, None))
    if found > now:
        option = f"--config.data.root={folder}{_sources(config, split, folder)}"
        return f"{option} would find {found} of {of}, where {now} are found now"
    missing = [name for name, path in zip(names, chosen, strict=True) if not _is_there(path)]
    folder, here = _search(root, missing)
    if not here:
        return ""
    first = next(name for name in missing if os.path.basename(name) in here)
    return (
        f"{len(here)} of {len(missing)} missing pictures lie in {folder} by their names, but the "
        f"labels say {os.path.dirname(first) or 'no folder'}: name them as they are below data.root"
    )


def _below(path, root):
    """A path as the label has it: relative to the root, absolute where the label's own is."""
    try:
        return str(pathlib.Path(path).relative_to(root))
    except ValueError:
        return str(path)


def _count(folder, names):
    """How many of these paths are files below a folder."""
    return sum(_is_there(os.path.join(folder, name)) for name in names)


def _is_there(path):
    place = packed.find_place(path)
    if place:
        return packed.holds(place)
    if os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES:
        return os.path.isfile(path)
    return any(os.path.isfile(path + form(s)) for s in IMAGE_SUFFIXES for form in (str, str.upper))


def _sources(config, split, folder):
    """The label files named anew, where they would not be found from another root."""
    sources, moved = split_sources(config.data[split]), []
    for source in sources:
        old = find_source(source, config.data.root)
        try:
            same = os.path.samefile(old, find_source(source, folder))
        except UserError:
            same = False
        moved.append(source if same else str(old))
    return f" --config.data.{split}={','.join(moved)}" if moved != sources else ""


def _search(root, names):
    """`(folder, the names in it)`: where most of the pictures lie by their names alone."""
    wanted, best, seen = {os.path.basename(name) for name in names}, ("", set()), 0
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        here = wanted.intersection(files)
        if len(here) > len(best[1]):
            best = folder, here
        seen += len(files)
        if seen > MOST_FILES:
            break
    return best
