"""Training data that is refused."""

import json

import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.training_split import Training, require_text
from ppocr_jax.errors import UserError


def test_training_needs_a_word(tmp_path):
    labels = [{"transcription": "###", "points": [[0, 0], [9, 0], [9, 9]]}]
    (tmp_path / "labels.txt").write_text(f"a.png\t{json.dumps(labels)}\nb.png\t[]\n")
    samples = read_sources("labels.txt", tmp_path)[0]
    with pytest.raises(UserError, match="1 word and all are ignored"):
        require_text(samples)


@pytest.mark.parametrize(("factor", "said"), [(1.0, ""), (3.0, "leave them"), (0.3, "corner")])
def test_labels_of_pictures_of_another_size(tmp_path, factor, said):
    data = draw_data(tmp_path / "data")
    lines = [line.split("\t") for line in (data / "train.txt").read_text().splitlines()]
    for line in lines:
        words = json.loads(line[1])
        for word in words:
            word["points"] = [[x * factor, y * factor] for x, y in word["points"]]
        line[1] = json.dumps(words)
    (data / "train.txt").write_text("".join("\t".join(line) + "\n" for line in lines))
    training = Training(load_config(write_config(tmp_path, data)))
    told = [note for note in training.notes if note.startswith("warning: config.data.train=")]
    assert (training.misfit != "", len(told)) == (bool(said), bool(said))
    if said == "leave them":
        assert "of 10 images leave them" in told[0] and "another size" in told[0]
    elif said:
        assert "upper left" in told[0] and "smaller images" in told[0]
