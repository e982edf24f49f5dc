"""Layers and their gradients against plain NumPy; `make.py` says how the values are made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import read
from make import ACTS, CONVOLUTIONS
from tiny import CHEAP

from ppocr_jax.kernels import convolution
from ppocr_jax.models import layers, operations


def plain(kernel):
    """The function that `make.py` calls by the same name, over dicts of arrays."""
    _, stride, _, _, groups, _, _ = CONVOLUTIONS[kernel]
    return lambda x, kernel: convolution.convolve(x, kernel, stride, groups)


def norm(train, mean=0.0, variance=1.0):
    def run(x, scale, bias):
        stats = {"mean": jnp.broadcast_to(mean, (3,)), "var": jnp.broadcast_to(variance, (3,))}
        variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": stats}
        return layers.BatchNorm().apply(variables, x, train, mutable=["batch_stats"])[0]

    return run


def gate(x, kernel1, bias1, kernel2, bias2):
    params = {"conv1": {"kernel": kernel1, "bias": bias1},
              "conv2": {"kernel": kernel2, "bias": bias2}}  # fmt: skip
    return layers.SqueezeExcite().apply({"params": params}, x)


@pytest.fixture(scope="module")
def golden():
    return read("layers")


@pytest.fixture(scope="module")
def computed(golden):
    """`{name: (result, {input: gradient})}` of all cases, as one program."""
    functions = {f"conv {name}": plain(name) for name in CONVOLUTIONS}
    functions |= {
        "transposed": convolution.transposed_convolve,
        "norm of the batch": norm(True),
        "norm as stored": norm(False, golden["norm/mean"], golden["norm/variance"]),
        "squeeze_excite": gate,
        "upsample": lambda x: operations.upsample(x, factor=4),
        **{name: getattr(operations, name) for name in ACTS if name != "sigmoid"},
        "sigmoid": lambda x: jax.nn.sigmoid(x),
    }
    inputs = {}
    for name in functions:
        grads = [key for key in golden if key.startswith(f"{name}/grad_")]
        inputs[name] = {key.rsplit("grad_", 1)[1]: golden[key.replace("/grad_", "/")]
                        for key in grads}  # fmt: skip

    def run(inputs):
        found = {}
        for name, function in functions.items():
            out, pull = jax.vjp(lambda arrays, f=function: f(**arrays), inputs[name])
            found[name] = out, pull(jnp.asarray(golden[f"{name}/weight"]))[0]
        return found

    return jax.jit(run).lower(inputs).compile(CHEAP)(inputs)


def test_every_kind_is_there(golden, computed):
    assert {key.partition("/")[0] for key in golden} == {*computed, "norm"}


def test_results_and_gradients(golden, computed):
    for name, (out, grads) in computed.items():
        np.testing.assert_allclose(out, golden[f"{name}/out"], rtol=2e-5, atol=2e-5, err_msg=name)
        for key, grad in grads.items():
            expected = golden[f"{name}/grad_{key}"]
            size = max(1.0, abs(expected).max())  # float32 sums
            np.testing.assert_allclose(
                np.asarray(grad) / size, expected / size, atol=2e-6, err_msg=f"{name} {key}"
            )


def test_stored_statistics_move(golden):
    name, stats = "norm of the batch", {}
    for ours, theirs in (("mean", "mean"), ("var", "variance")):
        stats[ours] = jnp.asarray(golden[f"norm/{theirs}"])
    params = {key: jnp.asarray(golden[f"{name}/{key}"]) for key in ("scale", "bias")}
    variables = {"params": params, "batch_stats": stats}
    _, moved = layers.BatchNorm().apply(
        variables, jnp.asarray(golden[f"{name}/x"]), True, mutable=["batch_stats"]
    )
    for ours, theirs in (("mean", "mean"), ("var", "variance")):
        np.testing.assert_allclose(
            moved["batch_stats"][ours], golden[f"norm/{theirs}_after"], rtol=1e-5
        )
