"""Parts of synthetic scenes: words of a split, rendering, backgrounds, camera artefacts."""

import numpy as np

from ppocr_jax.data import scene_parts as parts


def test_ink_fills_its_box():
    for face in parts.FACES:
        ink = parts.render_word("Wry", face, 48)
        assert ink[0].max() > 64 and ink[-1].max() > 64
        assert ink[:, 0].max() > 64 and ink[:, -1].max() > 64


def test_words_belong_to_one_split_whatever_their_case():
    rng = np.random.default_rng(0)
    words = {split: {parts.draw_word(rng, split) for _ in range(300)} for split in ("train", "val")}
    assert min(map(len, words.values())) > 200
    for split, drawn in words.items():
        for word in drawn:
            assert parts.split_of_word(word.upper()) == parts.split_of_word(word) == split


def test_pictures_are_functions_of_their_generator():
    def draw(seed):
        rng = np.random.default_rng(seed)
        image = parts.draw_background(rng, 128).astype(np.float32)
        parts.add_clutter(rng, image, 3)
        return parts.wear(rng, image)

    drawn = [draw(seed) for seed in range(12)]
    for seed, image in enumerate(drawn):
        assert image.shape == (128, 128, 3) and image.dtype == np.uint8
        np.testing.assert_array_equal(image, draw(seed))
    assert len({image.tobytes() for image in drawn}) == 12
