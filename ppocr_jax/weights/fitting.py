"""Finds a config for weights that come without one: the first whose networks have their shapes."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, shapes_of
from ppocr_jax.weights.paddle import from_state, require_parts
from ppocr_jax.weights.sources import Source, open_source, read_variables


def find_fitting(
    path: str | os.PathLike[str],
    candidates: Mapping[str, Mapping[str, Any]],
    partial: bool = False,
) -> str:
    """Chooses the config whose networks have the shapes of some weights.

    Args:
        path: of the weights, see `sources`.
        candidates: `{name: roles of a config}`.
        partial: whether a backbone alone is enough, as for a role that will be trained.

    Returns:
        The name of the first that fits; for an ONNX file, which holds its own network, the first
        of all.

    Raises:
        UserError: none fits; it says what the likeliest of them lacks.
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


def _require_fit(
    source: Source, held: Mapping[str, Any], roles: Mapping[str, Any], partial: bool
) -> None:
    """Raises UserError where the weights are not those of the networks in `roles`."""
    # A single network fits a single role whatever their names.
    alone = len(held) == len(roles) == 1
    if not alone and set(held) != set(roles):
        raise UserError(f"{source}: holds {', '.join(held)}, not {', '.join(roles)}")
    for (name, variables), role in zip(held.items(), roles if alone else held, strict=True):
        template = shapes_of(build_detector(roles[role]))
        named = f"{source}: {name}" if name else str(source)
        require_parts(from_state(variables, template, named)[1], trainable=partial)


def _likeliest(reasons: Sequence[str]) -> str:
    """The reason of the likeliest config: one whose backbone fits and other parts are missing."""
    near = [r for r in reasons if "nothing for" in r and "nothing for backbone" not in r]
    return (near or reasons)[0]
