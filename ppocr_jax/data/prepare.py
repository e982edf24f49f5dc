"""Data that a config draws for itself, made once before anything reads it."""


def prepare_data(config):
    """Draws the scenes of `config.data.draw` into `config.data.root`, if it asks for any.

    A folder that already holds the same scenes is left as it is.
    """
    draw = config.data.draw
    if draw.train or draw.val:
        from ppocr_jax.data.scenes import write_scenes

        write_scenes(
            config.data.root,
            train_images=draw.train,
            val_images=draw.val,
            size=(draw.side, draw.side),
            seed=config.seed,
            train_labels=config.data.train,
            val_labels=config.data.val,
        )
