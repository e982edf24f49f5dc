"""Every kind of mistake in labels and images is reported with its file and line."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny import draw_data, load_config, write_config

from ppocr_jax.data import augment, findings, frames, inspection, label_index
from ppocr_jax.data.augment import generator
from ppocr_jax.data.labels import Problem, Sample, place_of
from ppocr_jax.data.pipeline import MakeExample
from ppocr_jax.data.training_split import Training
from ppocr_jax.errors import UserError
from ppocr_jax.training.loop import read_splits


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    draw_data(folder / "data")
    return folder


def check(folder, *overrides):
    config = load_config(write_config(folder, folder / "data"), *overrides)
    problems, summary = inspection.check(config)
    return [str(problem) for problem in problems], summary


def line(name, *polygons):
    return f"{name}\t{json.dumps([{'transcription': 'x', 'points': p} for p in polygons])}\n"


def test_clean_data(clean):
    problems, summary = check(clean)
    assert problems == []
    assert summary[0] == "train: 10 images, 30 words, 0 ignored, 0 images without text"
    assert summary[1].startswith("at crop 64, ") and "words in 10 augmented" in summary[1]
    assert summary[2].startswith("val: 3 images")


def test_every_mistake_is_found(clean, tmp_path):
    shutil.copytree(clean / "data", tmp_path / "data")
    data = tmp_path / "data"
    square = [[10, 10], [40, 10], [40, 30], [10, 30]]
    text = "".join([
        line("train_0.png", square),
        "no tab\n",
        "train_1.png\t[{]\n",
        line("gone.png", square),
        line("train_2.png", [[0, 0], [5, 0], [9, 0]]),
        line("train_3.png", [[0, 0], [30, 20], [30, 0], [0, 40]]),
        line("train_4.png", [[80, 80], [150, 80], [150, 90], [80, 90]]),
        line("train_5.png", square),
        line("train_6.png"),
    ])  # fmt: skip
    (data / "train.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (data / "train_5.png").write_bytes(b"no image")
    shutil.copy(data / "train_0.png", data / "val_0.png")
    problems, summary = check(tmp_path)
    expected = [
        ("train.txt line 1", "byte order mark"),
        ("train.txt line 2", "no tab"),
        ("train.txt line 3", "not JSON"),
        ("train.txt line 4", "gone.png: No such file"),
        ("train.txt line 5", "polygon 1 has no area"),
        ("train.txt line 6", "polygon 1 crosses itself"),
        ("train.txt line 7", "extends 54 pixels beyond the edge of the image of 96x96"),
        ("train.txt line 8", "train_5.png: not an image"),
        ("val.txt line 1", "is also in training"),
    ]
    assert len(problems) == len(expected)
    for where, reason in expected:
        assert any(where in problem and reason in problem for problem in problems), reason
    assert "1 image without text" in summary[0]


def test_the_same_image_twice_in_a_split(clean, tmp_path):
    shutil.copytree(clean / "data", tmp_path / "data")
    shutil.copy(tmp_path / "data" / "train_0.png", tmp_path / "data" / "train_9.png")
    problems, _ = check(tmp_path)
    (problem,) = problems
    assert "train.txt line 10" in problem and "is a duplicate" in problem and "line 1" in problem


def test_words_that_are_too_small_lower_the_share(clean):
    _, summary = check(clean, "data.targets.min_text_size=500")
    assert ", 0% of " in summary[1]


def fade(view, rng, job):
    """A polygon step that only draws a random number."""
    rng.random()
    return view


def test_what_train_refuses_is_a_problem(clean, tmp_path):
    shutil.copytree(clean / "data", tmp_path / "data")
    train = tmp_path / "data" / "train.txt"
    train.write_text(re.sub(r'"w\d"', '"###"', train.read_text()))
    problems, summary = check(tmp_path)
    (problem,) = problems
    assert "30 words and all are ignored" in problem
    with pytest.raises(UserError, match="30 words and all are ignored"):
        Training(load_config(write_config(tmp_path, tmp_path / "data")))


def test_how_labels_are_read_is_said(clean, tmp_path):
    shutil.copytree(clean / "data", tmp_path / "data")
    data = tmp_path / "data"
    (data / "gt").mkdir()
    (data / "gt" / "gt_train_0.txt").write_text("9,9,50,9,50,30,9,30,Latin,####\n" * 2
                                                + "9,9,50,9,50,30,9,30,Latin,A\n")  # fmt: skip
    path = write_config(tmp_path, data)
    problems, summary = check(tmp_path, "data.train=gt", "batch_size=1")
    assert (
        problems == [] and summary[2] == "train: 1 image, 1 word, 2 ignored, 0 images without text"
    )
    assert summary[0] == "gt: gt_*.txt with 4 points, language, text on 3 of 3 lines"
    assert summary[1].startswith("gt: 2 words are ignored: their text is the mark in another form")
    training = Training(load_config(path, "data.train=gt", "batch_size=1"))
    assert training.notes == summary[:2]


def test_polygons_that_take_minutes_to_draw(clean, tmp_path):
    shutil.copytree(clean / "data", tmp_path / "data")
    train = tmp_path / "data" / "train.txt"
    square = [[2, 2], [93, 2], [93, 93], [2, 93]]
    lines = train.read_text().splitlines()
    lines[4] = line("train_4.png", *[square] * 300).strip()
    train.write_text("\n".join(lines))
    problems, _ = check(tmp_path)
    (problem,) = problems
    assert "train.txt line 5: " in problem and "would take minutes to draw" in problem
    config = load_config(write_config(tmp_path, tmp_path / "data"))
    training = Training(config)
    example = MakeExample(training.samples, config)
    with pytest.raises(UserError, match="train.txt line 5: .* minutes to draw"):
        example.example(training.samples[4], example.make_stream((0, 0, 4, 0), generator((0,))))


@pytest.mark.parametrize("place", [0, 3])
def test_a_new_augmentation_leaves_the_share_of_words(clean, monkeypatch, place):
    _, before = check(clean, "data.targets.min_text_size=14")
    entries = list(augment.AUGMENTATIONS)
    entries.insert(place, augment.Entry("fade", fade))
    monkeypatch.setattr(augment, "AUGMENTATIONS", tuple(entries))
    _, after = check(clean, "data.targets.min_text_size=14")
    assert before == after and "100%" not in before[1] and " 0%" not in before[1]


def rewrite(path, old, new):
    path.write_text(re.sub(old, new, path.read_text()))


REFUSED = {
    "all words ignored": (lambda d: rewrite(d / "train.txt", r'"w\d"', '"###"'), ()),
    "an image of val is missing": (lambda d: (d / "val_1.png").unlink(), ()),
    "a line without tab": (lambda d: rewrite(d / "val.txt", "\t", " "), ()),
    "val is empty": (lambda d: (d / "val.txt").write_text("\n"), ()),
    "no val": (lambda d: None, ("data.val=",)),
    "a batch larger than the epoch": (lambda d: None, ("batch_size=11",)),
    "a share that leaves too few": (lambda d: None, ("data.ratios=(0.2,)",)),
    "ratios of other sources": (lambda d: None, ("data.ratios=(1.0,1.0)",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_train_refuses_is_found(clean, tmp_path, name):
    spoil, overrides = REFUSED[name]
    shutil.copytree(clean / "data", tmp_path / "data")
    spoil(tmp_path / "data")
    config = load_config(write_config(tmp_path, tmp_path / "data"), *overrides)
    with pytest.raises(UserError) as refused:
        read_splits(config)
    try:
        problems, _ = inspection.check(config)
    except UserError as error:
        assert str(error) == str(refused.value)
    else:
        assert problems and not any(problem.harmless for problem in problems)
        text = str(refused.value)
        assert any(problem.reason in text or place_of(problem) in text for problem in problems)


def test_validation_without_a_word_to_find(clean, tmp_path):
    shutil.copytree(clean / "data", tmp_path / "data")
    rewrite(tmp_path / "data" / "val.txt", r'"w\d"', '"*"')
    (problem,), _ = check(tmp_path)
    assert problem.startswith("val.txt: none of 9 words counts")


def test_labels_in_folders_like_those_in_files(clean, tmp_path):
    """Byte order marks are treated alike; bow-ties and duplicates are named, without a line 0."""
    shutil.copytree(clean / "data", tmp_path / "data")
    data = tmp_path / "data"
    (data / "gt").mkdir()
    (data / "gt" / "gt_train_0.txt").write_bytes(b"\xef\xbb\xbf9,9,50,9,50,30,9,30,A\n")
    (data / "gt" / "gt_train_1.txt").write_text("9,9,50,30,50,9,9,30,A\n")
    shutil.copy(data / "train_1.png", data / "gt" / "twin.png")
    (data / "gt" / "gt_twin.txt").write_text("100,9,150,9,150,30,100,30,A\n")
    problems, _ = check(tmp_path, "data.train=gt", "batch_size=1")
    mark, bow, outside, twin = (problem.partition("gt_")[2] for problem in problems)
    assert mark.startswith("train_0.txt line 1: begins with a byte order mark")
    assert bow.startswith("train_1.txt: polygon 1 crosses itself: a bow-tie")
    assert outside.startswith("twin.txt: polygon 1 is outside the image")
    assert "is a duplicate: " in twin and twin.endswith("gt_train_1.txt") and "line 0" not in twin
    config = load_config(write_config(tmp_path, data), "data.train=gt", "batch_size=1")
    harmless = [problem for problem in inspection.check(config)[0] if problem.harmless]
    text = data / "train.txt"
    text.write_bytes(b"\xef\xbb\xbf" + text.read_bytes())
    plain, _ = inspection.check(load_config(write_config(tmp_path, data)))
    assert [p.reason for p in plain] == [p.reason for p in harmless] and plain[0].harmless


def test_notes(clean, tmp_path):
    shutil.copytree(clean / "data", tmp_path / "data")
    data, exif = tmp_path / "data", Image.Exif()
    exif[0x0112] = 6
    for index in range(2):
        picture = Image.open(data / f"train_{index}.png").resize((200, 96))
        picture.save(data / f"train_{index}.png", exif=exif)
    lines = (data / "train.txt").read_text().splitlines()
    lines[:2] = [line(f"train_{i}.png", [[20, 9], [190, 9], [190, 30], [20, 30]]).strip()
                 for i in range(2)]  # fmt: skip
    (data / "train.txt").write_text("\n".join(lines))
    problems, summary = check(tmp_path, "data.augment.scale=(0.1,0.2)", "eval.limit_type=max",
                              "eval.limit_side=32")  # fmt: skip
    assert all("extends 94 pixels beyond" in problem for problem in problems) and len(problems) == 2
    notes = [text for text in summary if text.startswith(("note", "hint"))]
    assert notes[0].startswith("note: train: EXIF rotates or flips 2 of 10 images")
    assert notes[1].startswith("note: train: 26 of 26 words are less than 8 pixels high")
    assert notes[2].startswith("note: val: 9 of 9 words") and "larger eval.limit_side" in notes[2]
    assert notes[3].startswith("note: val: 3 images with 9 words determine hmean to +-0.33")
    assert notes[4].startswith("hint: train: the labels of 2 images fit the stored pixels")


@pytest.mark.parametrize(
    ("factor", "hint"),
    [(3, "reach 2.81 times as far"), (0.3, "lie in their upper left 28% x 25%"), (1, "")],
)
def test_labels_of_another_picture_size(factor, hint):
    quad = np.array([[10, 10], [90, 10], [90, 80], [10, 80]], np.float32)

    def guess(count):
        samples = [Sample("a.png", (quad * factor,), (False,), "a.txt", 1)] * count
        sizes = np.full((count, 2), 96)
        table = label_index.table(samples, 0, count)
        return frames.guess_frame(frames.Extents.of([(table, sizes, np.zeros(count, bool))]))

    assert hint in guess(9) and guess(4) == ""


def test_equal_findings_are_counted():
    problems = [Problem("a.txt", n, f"polygon {n} has no area: [[{n}, 2]]") for n in range(1, 121)]
    problems.insert(7, Problem("a.txt", 5, "has no tab"))
    assert list(findings.condense(problems)) == [
        *map(str, problems[:3]),
        "... and 117 more like that, the last: a.txt line 120",
        "a.txt line 5: has no tab",
    ]


def test_near_duplicates_of_training_pictures(clean, tmp_path):
    shutil.copytree(clean / "data", tmp_path / "data")
    data = tmp_path / "data"
    Image.open(data / "train_4.png").resize((90, 90)).save(data / "val_1.png")
    problems, summary = check(tmp_path, "data.augment.scale=(1.0,1.0)")
    assert all("reaches" in problem for problem in problems)  # of the smaller picture
    (note,) = [text for text in summary if "near-duplicates" in text]
    assert note.startswith("note: val: 1 of 3 images are near-duplicates of training images")
    assert note.endswith(f"{data}/val_1.png and {data}/train_4.png")
