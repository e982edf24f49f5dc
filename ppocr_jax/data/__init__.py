"""Label files -> polygons -> augmentation -> target maps -> batches, on the host, without JAX."""

from ppocr_jax.choices import Choices

# config.eval.limit_type: (height, width, limit_side) -> factor of both sides.
RESIZE_RULES = Choices(
    __name__,
    min="resize.enlarge_shorter",
    max="resize.reduce_longer",
    resize_long="resize.fit_longer",
)

# config.data.augment.streams: (key, generator of the sample) -> (step -> generator).
STREAMS = Choices(
    __name__,
    shared="augment.shared_stream",
    separate="augment.separate_stream",
)
