"""Data on the host, without JAX: label files -> polygons -> augmentation -> targets -> batches."""

from ppocr_jax.choices import Choices

# config.eval.limit_type: (height, width, limit_side) -> the factor for both sides.
RESIZE_RULES = Choices(
    __name__,
    min="resize.enlarge_shorter",
    max="resize.reduce_longer",
    resize_long="resize.fit_longer",
)

# config.data.augment.streams: (key, the sample's random generator) -> (step -> its generator).
STREAMS = Choices(
    __name__,
    shared="augment.shared_stream",
    separate="augment.separate_stream",
)
