"""Weights at a path -> the variables of one network, whole, with a report of what was found."""

import jax

from ppocr_jax.weights.paddle import from_paddle, require_parts
from ppocr_jax.weights.sources import open_source, read_arrays


def fill_initial(variables, fresh):
    """`variables` with every leaf that is only a shape taken from `fresh`."""
    if fresh is None:
        return variables
    return jax.tree.map(
        lambda given, new: new if isinstance(given, jax.ShapeDtypeStruct) else given,
        variables,
        fresh,
    )


def load_role(path, role, template, trainable):
    """Variables of a network for one role, and the report of what was found.

    Args:
        path: see above.
        role: name of the role.
        template: variables of that network; a part that the source lacks keeps these values.
        trainable: whether it will learn; then neck and head may be missing, else only the
            threshold branch may.

    Returns:
        `(variables, LoadReport)`.

    Raises:
        UserError: a part is incomplete, or one that is needed is missing.
    """
    source = open_source(path)
    variables, report = from_paddle(read_arrays(source, role), template, str(source))
    require_parts(report, trainable)
    return variables, report
