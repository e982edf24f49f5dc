"""What is refused as training data."""

import json

import pytest

from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.training_split import require_text
from ppocr_jax.errors import UserError


def test_training_needs_a_word(tmp_path):
    labels = [{"transcription": "###", "points": [[0, 0], [9, 0], [9, 9]]}]
    (tmp_path / "labels.txt").write_text(f"a.png\t{json.dumps(labels)}\nb.png\t[]\n")
    samples = read_sources("labels.txt", tmp_path)[0]
    with pytest.raises(UserError, match="1 words and all are ignored"):
        require_text(samples)
