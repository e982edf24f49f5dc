"""Annotations are true: what functions and modules take and give has the shapes that they name."""

import ast
import functools
import inspect
import types
import typing
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import AbstractArray, Array, Float, jaxtyped
from tiny import ROOT, TEACHER, TINY

from ppocr_jax.detection import postprocess, tiles
from ppocr_jax.kernels import batch_norm, convolution, norm_sums
from ppocr_jax.losses import db, distill
from ppocr_jax.models import operations
from ppocr_jax.models.detector import build_detector, shapes_of
from ppocr_jax.runtime.platform import assume

# All public functions of these have types. A room only ever joins them.
ROOMS = ("annotations", "detection", "kernels", "losses", "models", "optim", "pages")


def untyped(body):
    """The public functions and methods that leave an argument or the result without a type."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from untyped(node.body)
        if isinstance(node, ast.FunctionDef) and (node.name[0] != "_" or node.name[:2] == "__"):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            given = [one for one in given if one.arg not in ("self", "cls")]
            if node.returns is None or not all(one.annotation for one in given):
                yield f"line {node.lineno}: {node.name}"


@pytest.mark.parametrize("room", ROOMS)
def test_public_functions_have_types(room):
    paths = sorted((ROOT / "ppocr_jax" / room).rglob("*.py"))
    assert paths
    for path in paths:
        assert list(untyped(ast.parse(path.read_text()).body)) == [], path


def test_every_module_says_what_it_is_for():
    for path in sorted((ROOT / "ppocr_jax").rglob("*.py")):
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path}: no docstring"


def fits(value, kind):
    """Whether a value is of an annotated type, as far as arrays in containers go."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if kind is None or kind is types.NoneType:
        return value is None
    if origin is tuple and inner[-1] is not ...:
        return len(value) == len(inner) and all(map(fits, value, inner))
    if origin in (list, tuple, Sequence):
        return all(fits(one, inner[0]) for one in value)
    if origin in (dict, Mapping):
        return all(fits(one, inner[1]) for one in value.values())
    arrays = isinstance(kind, type) and issubclass(kind, AbstractArray)
    return isinstance(value, kind) if arrays else True


def traced(test):
    """A test of traced arrays: nothing is compiled."""

    @functools.wraps(test)
    def run():
        jax.eval_shape(test)

    return run


def checked(function, *args, **kwargs):
    """Calls a function, and compares its arguments and result with its annotations."""
    signature = inspect.signature(function)
    bound = signature.bind(*args, **kwargs).arguments
    with jaxtyped("context"):  # one meaning of each axis name
        for name, value in bound.items():
            kind = signature.parameters[name].annotation
            assert fits(value, kind), f"{function}: {name} {value.shape} is no {kind}"
        result = function(*args, **kwargs)
        assert fits(result, signature.return_annotation), f"{function}: {result}"
    return result


def test_what_does_not_fit_is_noticed():
    def half(x: Float[Array, "H W"]) -> list[Float[Array, "H W"]]:
        return [x[::2]]

    with pytest.raises(AssertionError, match="half"):
        checked(half, jnp.zeros((4, 3)))
    with pytest.raises(AssertionError, match="x .* is no"):
        checked(half, jnp.zeros(4))
    with pytest.raises(AssertionError, match="x .* is no"):
        checked(half, jnp.zeros((4, 3), jnp.int32))


def intercept(run, args, kwargs, context):
    """A checked call of a module's method."""
    method = getattr(type(context.module), context.method_name)
    if context.method_name not in ("__call__", "features"):
        return run(*args, **kwargs)

    def call(*args, **kwargs):
        return run(*args, **kwargs)

    call.__signature__ = inspect.signature(method).replace(
        parameters=list(inspect.signature(method).parameters.values())[1:]
    )
    return checked(call, *args, **kwargs)


@pytest.mark.parametrize(("network", "platform"), [(TINY, "gpu"), (TEACHER, "cpu")])
def test_modules(network, platform):
    detector = build_detector(network)
    image, area = jnp.zeros((2, 64, 96, 3), jnp.uint8), jnp.full((2, 2), 32)

    def run(variables):
        for train in (False, True):
            detector.apply(variables, image, train, area, True, mutable=["batch_stats"])

    with assume(platform), nn.intercept_methods(intercept):
        jax.eval_shape(run, shapes_of(detector))


@traced
def test_losses():
    pred = other = target = jnp.ones((2, 4, 6))
    maps = dict.fromkeys(("shrink", "threshold", "binary"), pred)
    targets = ("shrink_map", "shrink_mask", "threshold_map", "threshold_mask")
    batch = dict.fromkeys(targets, target)
    for loss in (db.dice_loss, db.masked_l1_loss, db.binary_cross_entropy):
        checked(loss, pred, target, target)
        checked(db.balanced_loss, pred, target, target, loss)
        checked(db.unbalanced_loss, pred, target, target, loss)
    checked(db.db_loss, maps, batch)
    checked(distill.dilate, target)
    checked(distill.mutual_loss, pred, other, distill.sigmoid)
    checked(distill.teacher_loss, maps, other, target)


@traced
def test_kernels():
    x, kernel = jnp.ones((2, 5, 7, 4)), jnp.ones((3, 3, 4, 6))
    row, narrow = jnp.ones(4), jnp.ones((4, 3))
    checked(convolution.convolve, x, kernel, 2)
    checked(convolution.convolve, x, jnp.ones((3, 3, 1, 4)), 1, 4)
    checked(convolution.transposed_convolve, x, jnp.ones((2, 2, 4, 6)), jnp.ones(6))
    quarters = checked(convolution.quarters, x, jnp.ones((2, 2, 4, 4)))
    checked(convolution.in_place, quarters)
    checked(batch_norm.normalise_batch, x, row, row, operations.relu, jnp.float32, row)
    checked(batch_norm.statistics, x, row)
    args = (x, row, row, narrow, None, operations.relu, jnp.float32)
    checked(norm_sums.normalise_and_sum, *args)


def test_boxes_and_windows():
    shrink_map = np.zeros((64, 96), np.float32)
    shrink_map[20:30, 20:70] = 1
    polygons, _ = checked(postprocess.find_polygons, shrink_map, (128, 192))
    assert len(polygons) == 1
    checked(postprocess.find_polygons, shrink_map, (128, 192), box_type="poly")
    checked(postprocess.unclip, polygons[0], 1.5)
    checked(postprocess.to_source, polygons[0], (64, 96), (128, 192))
    checked(tiles.blend_weights, 192, [0, 64], 128)
