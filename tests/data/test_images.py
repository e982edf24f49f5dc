"""Finding images by file, folder or glob, and labels by the end of their path."""

import os

import pytest

from ppocr_jax.data.image_files import read_size
from ppocr_jax.data.images import Labels, find_images
from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError


def test_images_that_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.png", "b/c/1.JPG", "b/.cache/x.png", "b/._1.png", "a.png", "a,b.png",
                 "b/notes.txt", "odd.dat", "out/pictures/a.jpg"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert find_images(["b"]) == ["b/2.png", "b/c/1.JPG"]
    assert find_images(["a.png,b", "odd.dat"]) == ["a.png", "b/2.png", "b/c/1.JPG", "odd.dat"]
    assert find_images(["a,b.png", "*.png"]) == ["a,b.png", "a.png"]
    assert find_images(["b/**/*.*", "b"]) == ["b/2.png", "b/c/1.JPG"]
    assert find_images(["out", "b/2.png"]) == ["out/pictures/a.jpg", "b/2.png"]
    assert find_images(["."], leave_out=["out/pictures"]) == [
        "./a,b.png", "./a.png", "./b/2.png", "./b/c/1.JPG"
    ]  # fmt: skip
    (tmp_path / "tab\t.png").write_bytes(b"x")
    for given, message in (
        ("nothing.png", "nothing.png: there is no such file"),
        ("b/*.txt", "holds no image"),
        (",", "names nothing"),
        ("tab*", "a tab"),
    ):
        with pytest.raises(UserError, match=message):
            find_images([given])


def test_what_is_no_image_is_counted_and_named_files_are_taken(tmp_path):
    names = ["a.jfif", "b.AVIF", "c.jp2", "d.heic", "e.HEIC", "f.txt", "g", "out/h.heic"]
    (tmp_path / "out").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    lines = []
    found = find_images([str(tmp_path)], leave_out=[tmp_path / "out"], tell=lines.append)
    assert [path[-6:] for path in found] == ["a.jfif", "b.AVIF", "/c.jp2"]
    assert lines == [f"warning: --images {tmp_path}: left out 2 .heic, 1 .txt, 1 without suffix: "
                     "not images by their suffix"]  # fmt: skip
    with pytest.raises(UserError, match="holds no image .*, but 1 .heic"):
        find_images([str(tmp_path / "out")])
    os.mkfifo(tmp_path / "pipe")
    for named in (str(tmp_path / "pipe"), "/dev/zero", str(tmp_path / "d.heic")):
        assert find_images([named]) == [named]  # whoever reads it says what it is


def test_labels_belong_to_the_image_whose_path_ends_alike(tmp_path):
    entry = '[{"transcription": "a", "points": [[0,0],[9,0],[9,9]]}]'
    lines = [f"{name}\t{entry}" for name in ("x.png", "more/x.png", "more/y.png")]
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    labels = Labels(str(tmp_path / "labels.txt"))
    assert labels.find("/data/x.png").line == 1
    assert labels.find("/data/more/x.png").line == 2
    assert labels.find("/data/more/y.png").line == 3
    assert labels.find("/data/y.png") is None and labels.find("/data/ax.png") is None


def test_sizes_in_headers_are_those_of_the_pixels(tmp_path):
    from PIL import Image

    for orientation in (1, 6):
        image = Image.new("RGB", (40, 20))
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(tmp_path / f"{orientation}.jpg", exif=exif)
        path = tmp_path / f"{orientation}.jpg"
        assert read_size(path) == read_image(path).shape[:2]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
    assert read_size(tmp_path / "broken.png") is None
