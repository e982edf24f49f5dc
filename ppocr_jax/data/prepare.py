"""Data that a config draws for itself, made once before anything reads it."""

from ppocr_jax.data.scenes import write_scenes


def prepare_data(config):
    """Draws the scenes of `config.data.draw` into `config.data.root`, if it asks for any.

    A folder that already holds the same scenes is left as it is.
    """
    draw = config.data.draw
    if draw.train or draw.val:
        write_scenes(
            config.data.root,
            train_images=draw.train,
            val_images=draw.val,
            side=draw.side,
            seed=config.seed,
            train_labels=config.data.train,
            val_labels=config.data.val,
        )
