"""Pictures -> training, validation and test, so that what belongs together stays together."""

import os
import random
import re

from ppocr_jax.annotations.records import counted
from ppocr_jax.data.likeness import join
from ppocr_jax.errors import UserError

TRAIN, VAL, TEST = "train", "val", "test"


def group_keys(paths, rule):
    """What each picture belongs to.

    Args:
        paths: of the pictures.
        rule: "" for nothing; "folder"; or a regular expression that is looked for in the path, of
            which the groups in brackets, or the whole match, are the key.

    Returns:
        A text per path, "" for a picture that belongs to nothing.

    Raises:
        UserError: no regular expression, or one that is found in no path.
    """
    if not rule:
        return [""] * len(paths)
    if rule == "folder":
        return [os.path.dirname(os.path.abspath(path)) for path in paths]
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise UserError(f"--groups {rule}: no regular expression ({error})") from None
    found = [pattern.search(path.replace(os.sep, "/")) for path in paths]
    if paths and not any(found):
        raise UserError(f"--groups {rule}: is found in none of the paths, such as {paths[0]}")
    return [
        "" if match is None else "/".join(map(str, match.groups())) or match[0] for match in found
    ]


def join_groups(keys, alike=()):
    """Group of each picture, by number: the same key, or alike, directly or through others.

    Args:
        keys: see `group_keys`.
        alike: pairs of indices, see `likeness.find_alike`.
    """
    first = {}
    pairs = [(first.setdefault(key, index), index) for index, key in enumerate(keys) if key]
    return join(len(keys), [*pairs, *alike])


def divide(groups, fixed, val, test, seed):
    """A split per picture.

    Whole groups are drawn until a split has its number; one that would exceed it is passed over.

    Args:
        groups: group of each picture.
        fixed: split of each picture that has one already, else "".
        val, test: shares or numbers of the pictures whose group has no split yet.
        seed: of the drawing.

    Returns:
        `(splits, order)`: a split per picture, "" where its group is in several already; and the
        indices of the pictures in the order in which they were drawn.

    Raises:
        UserError: fewer pictures than the splits need.
    """
    members, known = {}, {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
        if fixed[index]:
            known.setdefault(group, set()).add(fixed[index])
    drawn = list(members)
    random.Random(seed).shuffle(drawn)
    free = [group for group in drawn if group not in known]
    total = sum(len(members[group]) for group in free)
    chosen = {group: (max(splits) if len(splits) == 1 else "") for group, splits in known.items()}
    for name, value in ((TEST, test), (VAL, val)):
        wanted = int(value) if value >= 1 else round(value * total)
        if value and not any(fixed):
            wanted = max(1, wanted)  # few pictures: one is better than none
        free = _draw(free, members, wanted, name, chosen)
    missing = [n for n, v in ((TEST, test), (VAL, val)) if v and n not in chosen.values()]
    if total and not any(fixed) and (missing or not free):
        raise UserError(
            f"{counted(total, 'picture')} in {counted(len(members), 'group')} leave none for "
            f"{missing[0] if missing else TRAIN} with --val {val:g} --test {test:g}: take less, or "
            "0; what has one key of --groups is not divided"
        )
    splits = [fixed[i] or chosen.get(group, TRAIN) for i, group in enumerate(groups)]
    return splits, [index for group in drawn for index in members[group]]


def _draw(free, members, wanted, name, chosen):
    """Gives groups to a split; returns those that are left."""
    left, count = [], 0
    for group in free:
        if count + len(members[group]) <= wanted:
            chosen[group] = name
            count += len(members[group])
        else:
            left.append(group)
    if wanted and not count and len(left) > 1:  # every group is too large: the smallest one then
        smallest = min(left, key=lambda group: len(members[group]))
        chosen[smallest] = name
        left.remove(smallest)
    return left
