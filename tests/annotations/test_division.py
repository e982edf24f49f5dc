"""Related images share a split, and the same seed gives the same splits."""

import random

import pytest

from ppocr_jax.annotations.division import divide, group_keys, join_groups
from ppocr_jax.errors import UserError


def test_shares_and_numbers():
    groups, none = list(range(50)), [""] * 50
    splits, order = divide(groups, none, 0.2, 0.1, seed=3)
    assert [splits.count(s) for s in ("train", "val", "test")] == [35, 10, 5]
    assert sorted(order) == groups and divide(groups, none, 0.2, 0.1, seed=3) == (splits, order)
    assert divide(groups, none, 0.2, 0.1, seed=4)[0] != splits
    assert divide(groups, none, 7, 0, seed=3)[0].count("val") == 7
    assert set(divide(groups, none, 0, 0, seed=3)[0]) == {"train"}


def test_the_order_is_that_of_a_shuffled_list():
    order = list(range(20))
    random.Random(0).shuffle(order)
    splits, drawn = divide(list(range(20)), [""] * 20, 6, 0, seed=0)
    assert drawn == order and [i for i in drawn if splits[i] == "val"] == order[:6]


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together(seed):
    groups = [0, 0, 0, 3, 3, 5, 6, 7, 8, 9] * 4
    groups = [100 * (i // 10) + group for i, group in enumerate(groups)]
    splits, _ = divide(groups, [""] * 40, 0.25, 0.1, seed)
    for group in set(groups):
        assert len({s for s, g in zip(splits, groups, strict=True) if g == group}) == 1
    assert splits.count("val") == 10 and splits.count("test") == 4


def test_few_pictures_and_large_groups():
    assert sorted(divide([0, 1], ["", ""], 0.2, 0, 0)[0]) == ["train", "val"]
    splits, _ = divide([0, 0, 0, 3, 3], [""] * 5, 0.2, 0, 0)
    assert splits == ["train"] * 3 + ["val"] * 2
    for groups in ([0], [0, 0, 0]):
        with pytest.raises(UserError, match="leave none for"):
            divide(groups, [""] * len(groups), 0.9, 0, 0)


def test_what_has_a_split_keeps_it_and_draws_its_group_along():
    groups = [0, 1, 2, 0, 1, 2, 6, 7, 8, 9, 10]
    fixed = ["train", "val", "val"] + [""] * 8
    fixed[5] = "train"  # a group that is on both sides already
    groups.append(2)
    fixed.append("")
    splits, _ = divide(groups, fixed, 0.4, 0, 0)
    assert splits[:5] == ["train", "val", "val", "train", "val"]
    assert splits[11] == "" and splits[6:11].count("val") == 2


def test_keys():
    paths = ["/x/book1_page2.png", "/x/book1_page3.png", "/y/book2_page2.png", "/y/cover.png"]
    assert group_keys(paths, "") == [""] * 4
    assert group_keys(paths, "folder") == ["/x", "/x", "/y", "/y"]
    assert group_keys(paths, r"book(\d+)_") == ["1", "1", "2", ""]
    assert group_keys(paths, r"page\d") == ["page2", "page3", "page2", ""]
    for rule, reason in (("(", "not a regular expression"), ("chapter", "matches none")):
        with pytest.raises(UserError, match=reason):
            group_keys(paths, rule)


def test_keys_and_likeness_join():
    assert join_groups(["", "a", "", "a", ""], [(2, 4, 7)]) == [0, 1, 2, 1, 2]
    assert join_groups(["", "", ""]) == [0, 1, 2]
