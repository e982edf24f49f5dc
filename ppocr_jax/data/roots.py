"""Pictures that are not where labels say: which `config.data.root` would find them.

Other tools write paths that begin with the name of the folder, with the folder of another machine,
or with nothing but the picture's name. A guess costs a bounded number of looks at the disk.
"""

import collections
import os
import pathlib

from ppocr_jax.data.labels import IMAGE_SUFFIXES, find_source, split_sources
from ppocr_jax.data.picture_paths import near_folders
from ppocr_jax.errors import UserError

MOST_LOOKED_UP = 300  # missing pictures that each folder is tried with
MOST_FILES = 50_000  # that are listed in search of a name


def guess_root(config, split, missing):
    """What would find missing pictures, as a line of advice; "" where nothing does.

    Args:
        config: a whole config, of which `data.root` and `data.<split>` are read.
        split: "train" or "val".
        missing: paths of pictures that are not there, as `Sample.image_path` has them. One without
            an ending stands for a picture of any format.
    """
    root = pathlib.Path(config.data.root)
    names = [_below(path, root) for path in missing[:: -(-len(missing) // MOST_LOOKED_UP)]]
    counts = [(_count(folder, names), folder) for folder in near_folders(root)]
    found, folder = max(counts, key=lambda pair: pair[0], default=(0, None))
    if found:
        option = f"--config.data.root={folder}{_sources(config, split, folder)}"
        return f"{option} would find {_share(found, names, missing)}"
    folder, found = _search(root, names)
    if found:
        first = next(name for name in names if os.path.basename(name) in _names_in(folder))
        return (
            f"{_share(found, names, missing)} lie in {folder}, but the labels say "
            f"{os.path.dirname(first) or 'no folder'}: name them as they are below data.root"
        )
    return ""


def _share(found, names, missing):
    """Such as `120 of 120`, or `300 of 300 (of 900, those that were looked up)`."""
    looked_up = f" (looked up of {len(missing)})" if len(names) < len(missing) else ""
    return f"{found} of {len(names)}{looked_up} missing pictures"


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
    """`(folder, count)`: where most of the pictures lie by their names alone."""
    wanted = {os.path.basename(name) for name in names}
    folders, seen = collections.Counter(), 0
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        folders[folder] = len(wanted.intersection(files))
        seen += len(files)
        if seen > MOST_FILES:
            break
    return max(folders.items(), key=lambda pair: pair[1], default=("", 0))


def _names_in(folder):
    return set(os.listdir(folder))
