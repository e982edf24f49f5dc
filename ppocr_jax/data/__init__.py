"""Label files -> polygons -> augmented crops and target maps -> batches."""

from ppocr_jax.choices import Choices

STREAMS = ("shared", "separate")
RESIZE_RULES = Choices(
    __name__, min="resize.min", max="resize.max", resize_long="resize.resize_long"
)
