"""Paths of other machines lead to the right file, or to an error."""

import pytest
from annotations.making import photo

from ppocr_jax.annotations.image_finder import ImageFinder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("a.jpg", "sub/b.png", "one/c.jpg", "two/c.jpg", "é.jpg", ".hidden/d.jpg",
                 "out/e.jpg", "f.v2.JPG"):  # fmt: skip
        photo(folder / name)
    return folder


def find(folder, name, near=None, leave_out=()):
    return ImageFinder([folder], leave_out).find(name, near or folder)


@pytest.mark.parametrize("name, path", [
    ("a.jpg", "a.jpg"), (" a.jpg ", "a.jpg"), ("./sub/../a.jpg", "a.jpg"), ("A.JPG", "a.jpg"),
    ("b.png", "sub/b.png"), ("C:\\photos\\b.png", "sub/b.png"), ("/gone/b.png", "sub/b.png"),
    ("x/one/c.jpg", "one/c.jpg"), ("two\\c.jpg", "two/c.jpg"), ("two/c", "two/c.jpg"),
    ("e\u0301.jpg", "é.jpg"), ("f.v2", "f.v2.JPG"), ("out/e.jpg", "out/e.jpg"),
])  # fmt: skip
def test_names(folder, name, path):
    assert find(folder, name) == str(folder / path)


def test_the_folder_above_counts_first(folder):
    assert find(folder, "two/c.jpg", near=folder / "two") == str(folder / "two" / "c.jpg")
    assert find(folder, "c.jpg", near=folder / "one") == str(folder / "one" / "c.jpg")


@pytest.mark.parametrize("name, reason", [
    ("gone.jpg", "was not found; --images"), ("c.jpg", "could be .*one/c.jpg or .*two/c.jpg"),
    ("d.jpg", "was not found"), ("", "was not found"), ("a\0.jpg", "NUL"), ("x" * 5000, "not fou"),
    ("sub", "not found"),
])  # fmt: skip
def test_what_is_not_there(folder, name, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        find(folder, name)
    assert len(str(caught.value)) < 500


def test_a_folder_is_left_out(folder):
    with pytest.raises(ValueError, match="not found"):
        find(folder, "e.jpg", leave_out=[str(folder / "out")])
    all_paths = ImageFinder([folder, folder / "one"], [folder / "out"]).all()
    beside = ImageFinder([], beside=[folder])
    assert beside.all() == [] and beside.find("b.png", folder) == str(folder / "sub" / "b.png")
    assert len(all_paths) == 6 and not any("hidden" in path for path in all_paths)


def test_what_is_found_by_name_alone_is_counted(folder):
    finder = ImageFinder([folder])
    finder.find("gone/b.png", folder)
    finder.find("one/c.jpg", folder)
    assert finder.by_name == 1
