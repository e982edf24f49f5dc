"""Weights without a config: which of several configs has the networks that they are."""

from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, shapes_of
from ppocr_jax.weights.paddle import from_state, require_parts
from ppocr_jax.weights.sources import open_source, read_variables


def find_fitting(path, candidates, partial=False):
    """The first of several configs whose networks have the shapes of the weights at a path.

    Args:
        path: see `sources`.
        candidates: `{name: roles of a config}`.
        partial: whether a backbone alone will do, as one that begins to learn has it.

    Returns:
        A name; the first for an ONNX file, which brings its network itself.

    Raises:
        UserError: none fits, with what the likeliest of them lacks.
    """
    source = open_source(path)
    if source.kind == "onnx":
        return next(iter(candidates))
    held = {role: read_variables(source, role) for role in source.roles()}
    reasons = []
    for name, roles in candidates.items():
        try:
            _require_fit(source, held, roles, partial)
        except UserError as error:
            reasons.append(str(error))
        else:
            return name
    raise UserError(f"{_likeliest(reasons)}; if they have a config, name it with --config FILE")


def _require_fit(source, held, roles, partial):
    """Raises UserError where the networks that are held are not those of `roles`."""
    alone = len(held) == len(roles) == 1
    if not alone and set(held) != set(roles):
        raise UserError(f"{source}: holds {', '.join(held)}, not {', '.join(roles)}")
    for (name, variables), role in zip(held.items(), roles if alone else held, strict=True):
        template = shapes_of(build_detector(roles[role]))
        named = f"{source}: {name}" if name else str(source)
        require_parts(from_state(variables, template, named)[1], trainable=partial)


def _likeliest(reasons):
    """A reason that speaks of lacking parts but not of the backbone, which did fit then."""
    near = [r for r in reasons if "nothing for" in r and "nothing for backbone" not in r]
    return (near or reasons)[0]
