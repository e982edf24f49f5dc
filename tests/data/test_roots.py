"""Images are not where the labels say: the message names the folder that would find them."""

import os

import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data import inspection
from ppocr_jax.data.splits import read_validation
from ppocr_jax.errors import UserError


@pytest.fixture
def data(tmp_path):
    return draw_data(tmp_path / "mine" / "photos", train=4)


def hints(data, root):
    config = load_config(write_config(data.parents[1], root), "batch_size=1")
    problems, summary = inspection.check(config)
    return problems, [line for line in summary if line.startswith("hint")]


def put_before(data, folder):
    for split in ("train", "val"):
        lines = (data / f"{split}.txt").read_text().splitlines()
        (data / f"{split}.txt").write_text("\n".join(folder + line for line in lines))


def test_root_one_folder_too_deep(data, monkeypatch):
    """Paths that begin with the folder's name, as in PPOCRLabel's files."""
    put_before(data, "photos/")
    monkeypatch.chdir(data.parent)
    problems, (train, val) = hints(data, "photos")
    assert len(problems) == 7
    options = "--config.data.root=. --config.data.train=photos/train.txt"
    assert train == f"hint: train: {options} would find 4 of 4 images; 0 are found now"
    assert "--config.data.val=photos/val.txt would find 3 of 3" in val
    with pytest.raises(UserError, match=r"and 2 more images; --config.data.root=\. --config.data"):
        read_validation(load_config(write_config(data.parents[1], "photos")))


def test_root_too_high(data):
    for split in ("train", "val"):
        os.rename(data / f"{split}.txt", data.parents[1] / f"{split}.txt")
    _, (train, val) = hints(data, data.parents[1])
    assert f"--config.data.root={data} --config.data.train={data.parents[1]}/train.txt" in train
    os.rename(data.parents[1] / "val.txt", data / "val.txt")
    with pytest.raises(UserError, match=f"missing in .* --config.data.root={data} would find it"):
        hints(data, data.parents[1])


def test_label_files_of_prepare_data_are_named(data):
    config = load_config(write_config(data.parents[1], data))
    config.data.val = "test_icdar2015_label.txt"
    options = "--config.data.train=train.txt --config.data.val=val.txt"
    with pytest.raises(UserError, match=f"missing in {data} .*prepare_data writes them: {options}"):
        read_validation(config)
    os.remove(data / "val.txt")
    config.data.val = "val.txt"
    with pytest.raises(UserError, match="val.txt is missing in .*prepare_data with --val above 0"):
        read_validation(config)
    os.remove(data / "train.txt")
    with pytest.raises(UserError, match="val.txt is missing in .* and in the current folder$"):
        read_validation(config)


def test_paths_of_another_machine(data):
    put_before(data, "/home/me/pictures/")
    problems, (train, _) = hints(data, data)
    assert train.endswith(
        f"4 of 4 missing images are in {data} by name, but the labels say "
        "/home/me/pictures: write their paths relative to data.root"
    )


def test_pictures_of_a_folder_of_labels(data):
    (data.parent / "gt").mkdir()
    for name in ("train_0", "train_1"):
        (data.parent / "gt" / f"gt_{name}.txt").write_text("9,9,50,9,50,30,9,30,A\n")
    path = write_config(data.parents[1], data.parent)
    config = load_config(path, "data.train=gt", "data.val=photos/val.txt")
    _, summary = inspection.check(config)
    root = f"--config.data.root={data} --config.data.train={data.parent}/gt"
    assert f"hint: train: {root} would find 2 of 2 images; 0 are found now" in summary


def test_a_root_that_would_lose_others_is_not_named(data):
    (data / "more").mkdir()
    (data / "train_0.png").rename(data / "more" / "train_0.png")
    assert [hint.partition(" by ")[0] for hint in hints(data, data)[1]] == [
        f"hint: train: 1 of 1 missing images are in {data}/more"
    ]


def test_nothing_is_found(data):
    for path in data.glob("*.png"):
        path.unlink()
    assert hints(data, data)[1] == []
