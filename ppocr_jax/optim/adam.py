"""The optimiser of the published recipe."""

import optax


def make_adam(config, schedule):
    """Adam with coupled L2: the decay joins the gradient before the moments.

    It applies to every parameter, biases and batch norms too. `config` is `config.optimizer`.
    All tensors go through it as one vector, in the order of the tree's leaves: a few large
    operations to compile and to run in the place of several for each of hundreds of tensors.
    """
    adam = optax.chain(
        optax.add_decayed_weights(config.l2),
        optax.scale_by_adam(config.b1, config.b2, config.eps),
        optax.scale_by_learning_rate(schedule),
    )
    return optax.flatten(adam)
