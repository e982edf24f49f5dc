"""Divides images into training, validation and test so that related images stay together."""

import os
import random
import re
from collections.abc import Iterable, Sequence

from ppocr_jax.data.likeness import join
from ppocr_jax.errors import UserError, counted

TRAIN, VAL, TEST = "train", "val", "test"


def group_keys(paths: Sequence[str], rule: str) -> list[str]:
    """The key of each image's group.

    Args:
        paths: of the images.
        rule: "" for no groups; "folder"; or a regular expression that is searched for in the path.
            Its groups in brackets, or else the whole match, are the key.

    Returns:
        A key per path, "" for an image without a group.

    Raises:
        UserError: the rule is not a regular expression, or matches no path.
    """
    if not rule:
        return [""] * len(paths)
    if rule == "folder":
        return [os.path.dirname(os.path.abspath(path)) for path in paths]
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise UserError(f"--groups {rule}: not a regular expression ({error})") from None
    found = [pattern.search(path.replace(os.sep, "/")) for path in paths]
    if paths and not any(found):
        raise UserError(f"--groups {rule}: matches none of the paths, such as {paths[0]}")
    return [
        "" if match is None else "/".join(map(str, match.groups())) or match[0] for match in found
    ]


def join_groups(keys: Sequence[str], alike: Iterable[Sequence[int]] = ()) -> list[int]:
    """Group number of each image; images with one key or alike share it, also through others.

    Args:
        keys: see `group_keys`.
        alike: pairs of indices, see `likeness.find_alike`.
    """
    first: dict[str, int] = {}
    pairs = [(first.setdefault(key, index), index) for index, key in enumerate(keys) if key]
    connected: list[Sequence[int]] = [*pairs, *alike]
    return join(len(keys), connected)


def divide(
    groups: Sequence[int], fixed: Sequence[str], val: float, test: float, seed: int
) -> tuple[list[str], list[int]]:
    """Assigns every image to a split.

    Whole groups are drawn at random until a split has its number of images; a group that would
    exceed the number is passed over.

    Args:
        groups: group of each image.
        fixed: split of each image that has one already, else "".
        val: fraction (below 1) or number of the images whose group has no split yet.
        test: the same for the test split.
        seed: of the random order.

    Returns:
        `(splits, order)`: a split per image, "" if its group is in several already; and the indices
        of the images in the order in which they were drawn.

    Raises:
        UserError: there are fewer images than the splits need.
    """
    # --- groups in random order; those with images in a split already stay in it
    members: dict[int, list[int]] = {}
    known: dict[int, set[str]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
        if fixed[index]:
            known.setdefault(group, set()).add(fixed[index])
    drawn = list(members)
    random.Random(seed).shuffle(drawn)
    free = [group for group in drawn if group not in known]
    total = sum(len(members[group]) for group in free)
    chosen = {group: (max(splits) if len(splits) == 1 else "") for group, splits in known.items()}

    # --- test first, then validation; training gets the rest
    # The test split is drawn first so that it stays the same when --val changes.
    for name, value in ((TEST, test), (VAL, val)):
        wanted = int(value) if value >= 1 else round(value * total)
        if value and not any(fixed):
            wanted = max(1, wanted)  # of few images, one is better than none
        free = _draw(free, members, wanted, name, chosen)
    missing = [n for n, v in ((TEST, test), (VAL, val)) if v and n not in chosen.values()]
    if total and not any(fixed) and (missing or not free):
        raise UserError(
            f"{counted(total, 'image')} in {counted(len(members), 'group')} leave none for "
            f"{missing[0] if missing else TRAIN} with --val {val:g} --test {test:g}: lower them, "
            "or set them to 0; images with one key of --groups are never divided"
        )
    splits = [fixed[i] or chosen.get(group, TRAIN) for i, group in enumerate(groups)]
    return splits, [index for group in drawn for index in members[group]]


def _draw(
    free: Iterable[int],
    members: dict[int, list[int]],
    wanted: int,
    name: str,
    chosen: dict[int, str],
) -> list[int]:
    """Assigns groups to a split in `chosen`; returns those that remain."""
    left, count = [], 0
    for group in free:
        if count + len(members[group]) <= wanted:
            chosen[group] = name
            count += len(members[group])
        else:
            left.append(group)
    if wanted and not count and len(left) > 1:  # every group is too large, so take the smallest
        smallest = min(left, key=lambda group: len(members[group]))
        chosen[smallest] = name
        left.remove(smallest)
    return left
