"""Float32 products of a GPU: in full by default, TF32 where that is asked for."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from experiments.benchmarks import program_target
from experiments.benchmarks.measure import random_batch
from ppocr_jax import defaults
from ppocr_jax.detection.network import make_predict
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.db_head import DBHead
from ppocr_jax.models.layers import Conv
from ppocr_jax.models.precision import describe_precision, in_precision
from ppocr_jax.optim import make_optimizer
from ppocr_jax.training.state import make_state
from ppocr_jax.training.step import make_train_step

HIGHEST, HIGH = jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGH
PRODUCTS = ("conv_general_dilated", "dot_general")


def find_precisions(jaxpr):
    """`{(primitive, precision)}` of all products in a program, inner ones as well."""
    found = set()
    for equation in jaxpr.eqns:
        if equation.primitive.name in PRODUCTS:
            precision = equation.params["precision"]
            both = precision if isinstance(precision, tuple) else (precision,)
            found |= {(equation.primitive.name, one) for one in both}
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                found |= find_precisions(inner) if hasattr(inner, "eqns") else set()
    return found


class Small(nn.Module):
    """A convolution and the head: one of each kind of product."""

    dtype: type = jnp.float32

    @nn.compact
    def __call__(self, image, train=False, all_maps=None, area=None):
        x = Conv(8, 3, 2, dtype=self.dtype)(image.astype(self.dtype))
        x = Conv(8, 3, 2, groups=8, dtype=self.dtype)(x)
        return DBHead(dtype=self.dtype)(x, train, all_maps)


def init(model):
    return model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), all_maps=True)


def prepare_update(precision, sharding=None):
    """An update, traced."""
    model, config = Small(), defaults.base(epochs=1)
    tx = make_optimizer(config.optimizer, lambda step: 1e-4)
    loss = make_loss(ConfigDict(defaults.losses(("student",))))
    batch = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, random_batch(1, 64)))

    def first():
        return make_state({"student": init(model)}, tx, ("student",))

    step = make_train_step({"student": model}, loss, tx, ("student",), precision=precision)
    state, batch = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        (jax.eval_shape(first), batch),
    )
    return step.trace(state, batch)


def test_every_product_of_an_update_on_a_gpu_is_rounded_as_asked(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = find_precisions(prepare_update("float32").jaxpr.jaxpr)
    assert found == {(product, HIGHEST) for product in PRODUCTS}


def test_a_gpu_draws_maps_with_full_products_by_default(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    model, image = Small(), jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.uint8)
    variables = jax.eval_shape(lambda: init(model))
    drawn = make_predict(model).trace(variables, image)
    text = drawn.lower(lowering_platforms=("cuda",)).as_text()
    assert "precision = [HIGHEST, HIGHEST]" in text and "precision = [DEFAULT" not in text
    rounded = make_predict(model, "tf32").trace(variables, image)
    assert find_precisions(rounded.jaxpr.jaxpr) == {(product, HIGH) for product in PRODUCTS}


def test_bfloat16_and_the_cpu_are_left_alone(monkeypatch):
    def found(model):
        product = in_precision(lambda x: x @ x, "tf32", [model])
        return find_precisions(jax.make_jaxpr(product)(jnp.ones((2, 2))).jaxpr)

    assert found(Small()) == {("dot_general", None)}
    assert describe_precision("float32", "float32") == ""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert found(Small(jnp.bfloat16)) == {("dot_general", None)}
    assert found(Small()) == {("dot_general", HIGH)}
    assert describe_precision("float32", "bfloat16") == ""
    said = describe_precision("float32", "float32")
    assert "in full" in said and "times" not in said  # how much faster a step is was not measured
    assert "TF32" in describe_precision("tf32", "float32")


@pytest.mark.long
@pytest.mark.parametrize(("name", "asked"), [("float32", "highest"), ("tf32", "high")])
def test_the_program_of_an_h100_asks_its_library_for_it(monkeypatch, name, asked):
    """XLA lets cuDNN round to TF32 unless a convolution asks for the highest precision."""
    if not program_target.is_there():
        pytest.skip("needs JAX's CUDA plugin, but no GPU")
    h100 = program_target.describe_h100().devices[0]
    sharding = jax.sharding.SingleDeviceSharding(h100)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    program = prepare_update(name, sharding).lower(lowering_platforms=("cuda",)).compile().as_text()
    calls = [line for line in program.splitlines() if "cudnn$conv" in line]
    assert len(calls) >= 6  # three products of two convolutions at least
    assert all(f"operand_precision={{{asked},{asked}}}" in line for line in calls)
