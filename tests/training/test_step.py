"""The train step: recorded gradients and trajectories, frozen roles, several devices."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from rule_weights import jit_in_form, make_arrays, needs_published, relative_l2
from tiny import CHEAP, TEACHER, TINY, adam_moments

from configs import parts
from ppocr_jax.detection.network import make_predict
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.optim import make_optimizer
from ppocr_jax.optim.schedule import Segment, rate_at
from ppocr_jax.runtime import compiler
from ppocr_jax.runtime.platform import assume
from ppocr_jax.training.state import extract_role, make_state
from ppocr_jax.training.step import make_train_step
from ppocr_jax.weights.paddle import from_paddle, to_paddle

ROLE = "student"
TERMS = {  # ours: the original's
    "total": "loss",
    "db/student/shrink": "loss_shrink_maps",
    "db/student/threshold": "loss_threshold_maps",
    "db/student/binary": "loss_binary_maps",
}


def single_loss():
    return make_loss(ml_collections.ConfigDict(parts.losses(labels=(ROLE,))))


@pytest.fixture(scope="module")
def model():
    return build_detector(parts.small())


@pytest.fixture(scope="module")
def template(model):
    return jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))


@pytest.fixture(scope="module")
def load(recorded, shared, template):
    def read(names_file, drop=""):
        names = recorded(names_file)
        published = None
        if needs_published(names):
            published = shared("weights/ch_PP-OCRv3_det_student.pdparams")
        arrays = make_arrays(names, published, drop)
        return from_paddle(arrays, template, names_file)[0], arrays

    return read


def batch_of(batches, samples):
    batch = {"image": jnp.asarray(batches["image"][samples].transpose(0, 2, 3, 1))}
    for name in ("threshold_map", "threshold_mask", "shrink_map", "shrink_mask"):
        batch[name] = jnp.asarray(batches[name][samples])
    return batch


def test_gradients_match_reference(recorded, cases, load, model, platform):
    records, raw = recorded("gradients_student.json"), recorded("gradients_student.npz")
    batches, loss_fn = recorded("batches.npz"), single_loss()

    @jit_in_form
    def gradients(params, batch_stats, batch):
        def objective(params):
            variables = {"params": params, "batch_stats": batch_stats}
            maps, _ = model.apply(variables, batch["image"], train=True, mutable=["batch_stats"])
            targets = {n: v.astype(jnp.float32) for n, v in batch.items() if n != "image"}
            return loss_fn({ROLE: maps}, targets)

        return jax.grad(objective, has_aux=True)(params)

    for condition in cases(list(records)):
        record = records[condition]
        ruled = condition.startswith("rule")
        variables, _ = load(
            "names_student_rule.json" if ruled else "names_student.json", "rule." if ruled else ""
        )
        batch = batch_of(batches, record["batch_samples"])
        grads, losses = gradients(variables["params"], variables["batch_stats"], batch)
        for ours, theirs in TERMS.items():
            np.testing.assert_allclose(losses[ours], record["losses"][theirs], rtol=1e-4)
        arrays = to_paddle({"params": grads, "batch_stats": {}})
        noise = set(record["exactly_zero_in_theory"])
        for name, norm in record["l2_norm"].items():
            if name not in noise:  # gradients that a batch norm behind them cancels
                limit = max(1e-3, 5 * record["rounding_rel_l2"].get(name, 0.0))
                np.testing.assert_allclose(
                    np.linalg.norm(arrays[name]), norm, rtol=limit, err_msg=f"{condition} {name}"
                )
        for key in cases([key for key in raw if key.startswith(condition + "/")]):
            name = key.split("/", 1)[1]
            if name not in noise:
                limit = max(1e-3, 5 * record["rounding_rel_l2"].get(name, 0.0))
                assert relative_l2(arrays[name], raw[key]) < limit, key


@pytest.mark.parametrize(
    ("run", "names_file", "drop"),
    [
        ("train_student", "names_student.json", ""),
        ("train_student_rule", "names_student_rule.json", "rule."),
    ],
)
def test_trajectory_matches_reference(recorded, cases, load, model, run, names_file, drop):
    record, after = recorded(f"{run}.json"), recorded(f"{run}.npz")
    floors = recorded("train_rounding.json")[run.removeprefix("train_")]
    variables, before = load(names_file, drop)
    numbers, lengths = record["optimizer"], record["lr_arguments"]
    steps = lengths["epochs"] * lengths["step_each_epoch"]
    schedule = Segment(0, steps, numbers["lr"]["learning_rate"], lengths["warmup_steps"])
    optimizer = {"b1": numbers["beta1"], "b2": numbers["beta2"], "eps": 1e-8}
    optimizer["l2"] = numbers["regularizer"]["factor"]
    tx = make_optimizer(ml_collections.ConfigDict(optimizer), rate_at)
    step_fn = make_train_step({ROLE: model}, single_loss(), tx, (ROLE,))
    state = make_state({ROLE: jax.tree.map(jnp.asarray, variables)}, tx, (ROLE,))
    batches = recorded("batches.npz")
    for index, step in enumerate(cases(record["steps"])):
        np.testing.assert_allclose(schedule(index), step["lr"], rtol=1e-9)
        batch = {**batch_of(batches, step["batch_samples"]), "plan": schedule.numbers()}
        state, metrics = step_fn(state, batch)
        floor = max(floors["loss_relative"][index].values())
        for ours, theirs in TERMS.items():
            np.testing.assert_allclose(
                metrics[ours], step["losses"][theirs], rtol=max(1e-4, 10 * floor)
            )
        if index == 0:
            first = to_paddle(extract_role(state, ROLE))
            check_first_step(first, before, after)
    check_last_step(to_paddle(extract_role(state, ROLE)), before, after, floors, state)


def check_first_step(arrays, before, after):
    """The first rate is 0: statistics move, weights do not."""
    for name, value in before.items():
        if name.endswith(("._mean", "._variance")):
            if f"after_first_step/{name}" in after:
                assert relative_l2(arrays[name], after[f"after_first_step/{name}"]) < 1e-3, name
        else:
            # XLA's CPU code flushes the few subnormal weights of the published file to zero.
            np.testing.assert_allclose(arrays[name], value, rtol=0, atol=1e-37)


def check_last_step(arrays, before, after, floors, state):
    for name in before:
        expected = after.get(f"after/{name}")
        floor = floors["parameters"].get(name)
        if expected is None or floor is None:
            continue
        if name.endswith(("._mean", "._variance")):
            assert relative_l2(arrays[name], expected) < max(1e-3, 5 * floor["rel_l2"]), name
        else:  # how far it moved is what was learned; the rest it had before
            moved = relative_l2(arrays[name] - before[name], expected - before[name])
            assert moved < max(0.02, 5 * floor["rel_l2_of_movement"]), name
    fields = ("adam_moment1", "adam_moment2")
    for field, moments in zip(fields, adam_moments(state, (ROLE,)), strict=True):
        ours = to_paddle({"params": moments[ROLE], "batch_stats": {}})
        for key in [key for key in after if key.startswith(field + "/")]:
            name = key.split("/", 1)[1]
            # The moments carry the rounding that the movement made of them, undivided.
            floor = floors["parameters"].get(name, {}).get("rel_l2_of_movement", 0.0)
            assert relative_l2(ours[name], after[key]) < max(0.05, 10 * floor), key


def drawn_batch(size=4, side=64, seed=0):
    rng = np.random.default_rng(seed)
    batch = {"image": rng.integers(0, 256, (size, side, side, 3), np.uint8)}
    batch["threshold_map"] = rng.uniform(0.3, 0.7, (size, side, side)).astype(np.float32)
    for name in ("threshold_mask", "shrink_map", "shrink_mask"):
        batch[name] = (rng.random((size, side, side)) < 0.5).astype(np.uint8)
    return batch


def tiny_step(
    roles=(ROLE,),
    trainable=(ROLE,),
    rate=1e-3,
    dtype="float32",
    network=TINY,
    remat=False,
    options=None,
    **loss,
):
    model = build_detector(network, dtype, remat)
    tx = make_optimizer(
        ml_collections.ConfigDict({"b1": 0.9, "b2": 0.999, "eps": 1e-8, "l2": 5e-5}),
        lambda step: rate,
    )
    variables = {role: init_variables(model, jax.random.key(i)) for i, role in enumerate(roles)}
    loss = loss or {"labels": trainable}
    loss_fn = make_loss(ml_collections.ConfigDict(parts.losses(**loss)))
    models = {role: model for role in roles}
    step_fn = make_train_step(models, loss_fn, tx, trainable, **(options or {}))
    return model, step_fn, lambda: make_state(jax.tree.map(jnp.array, variables), tx, trainable)


def test_loss_falls_and_metrics_are_named():
    _, step_fn, fresh = tiny_step()
    state, batch = fresh(), drawn_batch()
    totals = []
    for _ in range(16):
        state, metrics = step_fn(state, batch)
        totals.append(float(metrics["total"]))
    assert totals[-1] < 0.9 * totals[0]
    assert set(metrics) == {*TERMS, "grad_norm"}
    assert int(state.step) == 16 and all(np.isfinite(v) for v in metrics.values())
    parts_sum = sum(float(metrics[name]) for name in TERMS if name != "total")
    np.testing.assert_allclose(parts_sum, float(metrics["total"]), rtol=1e-6)


@pytest.mark.parametrize("frozen_norm", ["batch", "stored"])
def test_frozen_role_stays_bit_identical(frozen_norm):
    model, step_fn, fresh = tiny_step(
        roles=("student", "teacher"),
        trainable=("student",),
        options=dict(frozen_norm=frozen_norm),
        labels=("student",),
        teacher=(("student", "teacher"),),
    )
    state = fresh()
    before = jax.device_get(extract_role(state, "teacher"))
    student = jax.device_get(extract_role(state, "student"))
    for seed in range(2):
        state, metrics = step_fn(state, drawn_batch(seed=seed))
    jax.tree.map(np.testing.assert_array_equal, before, extract_role(state, "teacher"))
    moved = jax.tree.map(
        lambda a, b: bool((a != b).any()), student, jax.device_get(extract_role(state, "student"))
    )
    assert all(jax.tree.leaves(moved["batch_stats"]))
    assert "teacher/student-teacher" in metrics
    slots = state.opt_state[1].mu.size
    assert slots == sum(leaf.size for leaf in jax.tree.leaves(student["params"]))


def test_frozen_norm_chooses_the_teachers_statistics():
    losses = {}
    for frozen_norm in ("batch", "stored"):
        _, step_fn, fresh = tiny_step(
            ("student", "teacher"), ("student",), options=dict(frozen_norm=frozen_norm),
            labels=("student",), teacher=(("student", "teacher"),),
        )  # fmt: skip
        _, metrics = step_fn(fresh(), drawn_batch())
        losses[frozen_norm] = float(metrics["teacher/student-teacher"])
    assert losses["batch"] != losses["stored"]


def test_predict_draws_the_eval_map():
    model = build_detector(TINY)
    variables = init_variables(model, jax.random.key(0))
    image = drawn_batch(2)["image"]
    shrink = make_predict(model)(variables, image)
    direct = model.apply(variables, jnp.asarray(image))["shrink"]
    np.testing.assert_allclose(shrink, direct, atol=1e-5)


def test_images_in_a_larger_shape_get_the_maps_they_get_alone():
    model = build_detector(TINY)
    predict = make_predict(model)
    variables = init_variables(model, jax.random.key(0))
    rng = np.random.default_rng(0)
    sizes = [(h, w) for h in (32, 64, 96, 128) for w in (32, 64, 128)]
    images = np.zeros((len(sizes), 128, 128, 3), np.uint8)
    alone = []
    for index, (height, width) in enumerate(sizes):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        images[index, :height, :width] = image
        alone.append(np.asarray(predict(variables, image[None]))[0])
    before = predict._cache_size()
    together = predict(variables, images, np.asarray(sizes, np.int32))
    assert predict._cache_size() == before + 1  # twelve sizes, one more program
    for (height, width), shrink, expected in zip(sizes, together, alone, strict=True):
        np.testing.assert_allclose(shrink[:height, :width], expected, atol=1e-5)


def gradients_of(state):
    """The gradients of a state's first update: Adam's first moments are a tenth of them."""
    first, _ = adam_moments(state, state.params)
    return jax.tree.map(lambda moment: 10 * np.asarray(moment), first)


def part_of(batch, rows):
    return {name: value[rows] for name, value in batch.items()}


@pytest.mark.parametrize("total", ["mean", "sum"])
def test_accumulated_gradient_is_the_mean_of_those_of_the_parts(total):
    loss = dict(labels=("student", "student2"), mutual=(("student", "student2"),))
    roles = dict(roles=("student", "student2"), trainable=("student", "student2"))
    batch = drawn_batch(4)
    tx = make_optimizer(
        ml_collections.ConfigDict({"b1": 0.9, "b2": 0.999, "eps": 1e-8, "l2": 0.0}), lambda _: 0.0
    )
    model = build_detector(TINY)
    config = ml_collections.ConfigDict({**parts.losses(**loss), "total": total})
    variables = {r: init_variables(model, jax.random.key(i)) for i, r in enumerate(roles["roles"])}

    compiled = {}

    def first_update(batch, batch_stats=None, accumulate=1):
        state = make_state(jax.tree.map(jnp.array, variables), tx, roles["trainable"])
        state = state.replace(batch_stats=batch_stats or state.batch_stats)
        form = accumulate, len(batch["image"])
        if form not in compiled:
            models = dict.fromkeys(roles["roles"], model)
            step_fn = make_train_step(
                models, make_loss(config), tx, roles["trainable"], accumulate=accumulate
            )
            compiled[form] = step_fn.lower(state, batch).compile(CHEAP)
        return compiled[form](state, batch)

    whole, metrics = first_update(batch, accumulate=2)
    one, first = first_update(part_of(batch, slice(0, 2)))
    stats = jax.tree.map(jnp.array, one.batch_stats)
    two, second = first_update(part_of(batch, slice(2, 4)), batch_stats=stats)
    larger = 2 if total == "sum" else 1  # of N: the whole accumulated batch
    mean = jax.tree.map(lambda a, b: larger * (a + b) / 2, gradients_of(one), gradients_of(two))
    largest = max(abs(leaf).max() for leaf in jax.tree.leaves(mean))
    for ours, theirs in zip(
        jax.tree.leaves(gradients_of(whole)), jax.tree.leaves(mean), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * largest)
    for ours, theirs in zip(
        jax.tree.leaves(whole.batch_stats), jax.tree.leaves(two.batch_stats), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for name in set(metrics) - {"grad_norm"}:
        mean_loss = (float(first[name]) + float(second[name])) / 2
        np.testing.assert_allclose(float(metrics[name]), mean_loss, rtol=1e-5)
    together, _ = first_update(batch)  # shares its statistics and ratios: another gradient
    assert any(
        not np.allclose(a, b, rtol=1e-2, atol=1e-3 * largest)
        for a, b in zip(
            jax.tree.leaves(gradients_of(whole)),
            jax.tree.leaves(gradients_of(together)),
            strict=True,
        )
    )


@pytest.mark.parametrize("network", [TINY, TEACHER], ids=["student", "teacher"])
def test_rematerialisation_keeps_less_and_changes_no_gradient(network):
    image = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 96, 96, 3)), jnp.float32)
    found, kept = {}, {}
    for remat in (False, True):
        model = build_detector(network, remat=remat)
        variables = init_variables(model, jax.random.key(0))

        def objective(params, model=model, variables=variables):
            maps, _ = model.apply(
                {**variables, "params": params}, image, train=True, mutable=["batch_stats"]
            )
            return jnp.square(maps["shrink"] - 0.3).mean()

        residuals = jax.eval_shape(lambda p, f=objective: jax.vjp(f, p)[1], variables["params"])
        kept[remat] = sum(leaf.size for leaf in jax.tree.leaves(residuals))
        grad_fn = jax.jit(jax.grad(objective)).lower(variables["params"]).compile(CHEAP)
        found[remat] = grad_fn(variables["params"])
    largest = max(float(abs(leaf).max()) for leaf in jax.tree.leaves(found[False]))
    for a, b in zip(jax.tree.leaves(found[True]), jax.tree.leaves(found[False]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * largest)
    assert kept[True] < 0.9 * kept[False], kept  # between the forward and the backward pass


def test_rematerialisation_lowers_the_memory_of_the_compiled_step():
    """By the compiler's figure; the update stays the same."""
    batch, figures, states = drawn_batch(2, 128), {}, {}
    for remat in (False, True):
        options = {"little_memory": remat}
        _, step_fn, fresh = tiny_step(network=TEACHER, remat=remat, options=options)
        step_fn = step_fn.lower(fresh(), batch).compile(CHEAP)
        figures[remat] = step_fn.memory_analysis().temp_size_in_bytes
        states[remat], _ = step_fn(fresh(), batch)
    assert figures[True] < 0.6 * figures[False], figures
    ours, theirs = (adam_moments(states[remat], (ROLE,))[0] for remat in (True, False))
    largest = max(abs(leaf).max() for leaf in jax.tree.leaves(theirs))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * largest)


def test_an_option_that_xla_does_not_have_is_left_out(monkeypatch):
    monkeypatch.setattr(compiler, "OWN_PRODUCTS", {"xla_of_another_release": "1"})
    assert compiler.compiler_options() == {}
    with assume("gpu"):
        assert compiler.compiler_options() == compiler.ON_GPU
        monkeypatch.setitem(compiler.ON_GPU, "xla_of_another_release", "1")
        assert "xla_of_another_release" not in compiler.compiler_options()
    with assume("tpu"):
        assert compiler.compiler_options() == {}


def test_bfloat16_learns_as_float32_does():
    """Mean total loss over 50 updates within 2 %; nothing that is kept or drawn is bfloat16."""
    means = {}
    for dtype in ("float32", "bfloat16"):
        model, step_fn, fresh = tiny_step(dtype=dtype)
        state, totals = fresh(), []
        for index in range(50):
            state, metrics = step_fn(state, drawn_batch(seed=index % 5))
            totals.append(float(metrics["total"]))
        means[dtype] = np.mean(totals)
        assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in jax.tree.leaves(state))
        shrink = make_predict(model)(extract_role(state, ROLE), drawn_batch()["image"])
        assert shrink.dtype == jnp.float32 and metrics["total"].dtype == jnp.float32
    assert means["bfloat16"] == pytest.approx(means["float32"], rel=0.02)
    assert means["bfloat16"] != means["float32"]
