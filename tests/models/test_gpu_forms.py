"""The forms that the networks take on GPUs, run here, beside those of a CPU."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import CHEAP, TEACHER, TINY

from ppocr_jax.kernels import batch_norm
from ppocr_jax.kernels.max_pool import max_pool
from ppocr_jax.kernels.norm_sums import normalise_and_sum
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.models.operations import apart, hard_swish, mean_pool, relu, relu_kept
from ppocr_jax.runtime.platform import assume

CPU_FORM, GPU_FORM = "cpu", "gpu"


def train_pass(model, variables, image, weights):
    """`(maps, new statistics, gradients)` of a pass in train mode."""

    @functools.partial(jax.jit, compiler_options=CHEAP)
    def run(params, stats, image):
        def objective(params):
            given = {"params": params, "batch_stats": stats}
            maps, new = model.apply(given, image, train=True, mutable=["batch_stats"])
            return sum((maps[name] * weights[name]).sum() for name in weights), (maps, new)

        return jax.grad(objective, has_aux=True)(params)

    grads, (maps, new) = run(variables["params"], variables["batch_stats"], image)
    return maps, new["batch_stats"], grads


@pytest.mark.parametrize(
    "network", [TINY, pytest.param(TEACHER, marks=pytest.mark.long)], ids=["student", "teacher"]
)
def test_a_training_pass_is_the_same(network):
    model = build_detector(network)
    variables = init_variables(model, jax.random.key(1))
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.normal(size=(2, 64, 96, 3)).astype("f4"))
    names = ("shrink", "threshold", "binary")
    weights = {name: rng.normal(size=(2, 64, 96)).astype("f4") for name in names}
    found = {}
    for form in (CPU_FORM, GPU_FORM):
        with assume(form):
            found[form] = train_pass(model, variables, image, weights)
    both = (jax.tree.leaves(found[form][:2]) for form in (GPU_FORM, CPU_FORM))
    for ours, theirs in zip(*both, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    paths = jax.tree_util.tree_leaves_with_path(found["cpu"][2])
    noise = 1e-6 * max(np.linalg.norm(leaf) for _, leaf in paths)  # some are zero but for rounding
    for (path, theirs), ours in zip(paths, jax.tree.leaves(found["gpu"][2]), strict=True):
        name = jax.tree_util.keystr(path)
        if "conv2']['bias" in name and "head" in name:  # the norm behind it takes it away again
            assert not np.any(ours), name
            continue
        distance = np.linalg.norm(ours - theirs)
        assert distance <= 2e-3 * np.linalg.norm(theirs) + noise, name


def test_a_prediction_is_the_same_and_one_map_alone_too():
    model = build_detector(TINY)
    variables = init_variables(model, jax.random.key(1))
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 64, 96, 3)).astype("f4"))
    area = jnp.array([[64, 96], [32, 64]], jnp.int32)
    found = {}
    for form in (CPU_FORM, GPU_FORM):
        with assume(form):
            found[form] = jax.jit(model.apply)(variables, image, area=area)["shrink"]
    np.testing.assert_allclose(found["gpu"], found["cpu"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_statistics_of_one_pass_around_a_near_guess(offset):
    x = jnp.asarray(np.random.default_rng(0).normal(offset, 0.1, (2, 8, 8, 5)).astype("f4"))
    mean, var = batch_norm.statistics(x, jnp.full(5, offset - 0.05))
    np.testing.assert_allclose(mean, np.asarray(x, "f8").mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(var, np.asarray(x, "f8").var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("act", [relu, hard_swish])
def test_a_norm_that_sums_is_a_norm_and_a_product(act):
    rng = np.random.default_rng(0)
    x, scale, bias, kernel, given = (
        jnp.asarray(rng.normal(size=shape).astype("f4"))
        for shape in ((2, 4, 6, 5), 5, 5, (5, 3), (2, 4, 6, 3))
    )

    def one(x, scale, bias, kernel):
        return (normalise_and_sum(x, scale, bias, kernel, None, act, x.dtype)[0] * given).sum()

    def two(x, scale, bias, kernel):
        y = batch_norm.normalise_batch(x, scale, bias, act, x.dtype)[0]
        return (jnp.matmul(y, kernel) * given).sum()

    arguments, every = (x, scale, bias, kernel), (0, 1, 2, 3)
    found, expected = (jax.value_and_grad(f, every)(*arguments) for f in (one, two))
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sides", [(8, 10), (7, 9)])
def test_a_maximum_and_its_gradient_with_equal_values(sides):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(-3, 4, (2, *sides, 3)).astype("f4"))

    def librarys(x):
        return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))

    expected, pull = jax.vjp(librarys, x)
    grad = jnp.asarray(rng.normal(size=expected.shape).astype("f4"))
    found, ours = jax.vjp(max_pool, x)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(ours(grad)[0], pull(grad)[0], rtol=1e-6)


@pytest.mark.parametrize("sides", [(8, 10), (7, 9)])
def test_a_mean_and_its_gradient(sides):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *sides, 3)).astype("f4"))
    grad = jnp.asarray(rng.normal(size=(2, sides[0] // 2, sides[1] // 2, 3)).astype("f4"))
    found = {}
    for form in (CPU_FORM, GPU_FORM):
        with assume(form):
            y, pull = jax.vjp(mean_pool, x)
            found[form] = y, pull(grad)[0]
    for ours, theirs in zip(found["gpu"], found["cpu"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_a_gradient_kept_apart_is_the_same():
    x = jnp.array([-2.0, 3.0])
    with assume("gpu"):
        text = jax.jit(jax.grad(lambda x: (apart(x) ** 2 + x).sum())).lower(x).as_text()
        found = jax.grad(lambda x: (apart(x) ** 2 + x).sum())(x)
    assert "optimization_barrier" in text
    np.testing.assert_array_equal(found, [-3.0, 7.0])


def test_a_kept_relu_has_the_same_gradient():
    x = jnp.array([-2.0, -0.0, 0.0, 1e-30, 3.0])
    with assume("gpu"):
        found = jax.vmap(jax.value_and_grad(relu_kept))(x)
    np.testing.assert_array_equal(found, jax.vmap(jax.value_and_grad(nn.relu))(x))
