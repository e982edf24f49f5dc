"""CML and DML: recorded trajectories of the original, and recipes of other sizes."""

import json

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from rule_weights import make_arrays, needs_published, relative_l2
from tiny import TEACHER, draw_data, load_config, write_config

from configs import parts
from ppocr_jax import evaluate
from ppocr_jax.errors import UserError
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.optim import make_optimizer
from ppocr_jax.optim.schedule import Segment, rate_at
from ppocr_jax.shipping import extraction
from ppocr_jax.training.loop import train
from ppocr_jax.training.state import extract_role, make_state
from ppocr_jax.training.step import make_train_step
from ppocr_jax.weights import sources
from ppocr_jax.weights.paddle import from_paddle, paddle_prefix, select_role, to_paddle
from ppocr_jax.weights.pdparams import read_pdparams, write_pdparams


def batch_of(batches, samples):
    batch = {"image": jnp.asarray(batches["image"][samples].transpose(0, 2, 3, 1))}
    for name in ("threshold_map", "threshold_mask", "shrink_map", "shrink_mask"):
        batch[name] = jnp.asarray(batches[name][samples])
    return batch


def our_name(recorded_name, roles):
    """Our name of a logged loss: `dila_dbloss_Student_Teacher` is `teacher/student-teacher`."""
    words = recorded_name.split("_")
    if recorded_name == "loss":
        return "total"
    if words[0] == "dila":
        return f"teacher/{words[2].lower()}-{words[3].lower()}"
    if words[0] == "dml":
        return f"mutual/{roles[0]}-{roles[1]}"
    return f"db/{words[1].lower()}/{words[3]}"


class Trajectory:
    """A recorded run, set up: its networks, weights, objective and optimiser."""

    def __init__(self, recorded, shared, run, networks, trainable):
        self.record, self.after = recorded(f"{run}.json"), recorded(f"{run}.npz")
        self.floors = recorded("train_rounding.json")[run.removeprefix("train_")]
        self.batches = recorded("batches.npz")
        names = recorded(f"names_{run.removeprefix('train_')}.json")
        published = None
        if needs_published(names):
            published = shared("weights/ch_PP-OCRv3_det_student.pdparams")
        self.arrays = make_arrays(names, published)
        self.trainable, self.networks = trainable, networks
        self.models = self.build("float32")
        self.variables = {}
        for role, model in self.models.items():
            template = jax.eval_shape(lambda m=model: init_variables(m, jax.random.key(0)))
            arrays = select_role(self.arrays, role, run)
            self.variables[role] = jax.tree.map(jnp.asarray, from_paddle(arrays, template, run)[0])
        numbers, lengths = self.record["optimizer"], self.record["lr_arguments"]
        steps = lengths["epochs"] * lengths["step_each_epoch"]
        self.schedule = Segment(0, steps, numbers["lr"]["learning_rate"], lengths["warmup_steps"])
        optimizer = {"b1": numbers["beta1"], "b2": numbers["beta2"], "eps": 1e-8}
        optimizer["l2"] = numbers["regularizer"]["factor"]
        self.tx = make_optimizer(ml_collections.ConfigDict(optimizer), rate_at)

    def loss_fn(self):
        """The objective that the recorded run's own arguments ask for."""
        parts_there = {}
        for entry in self.record["loss"]["loss_config_list"]:
            parts_there.update(entry)
        mutual = parts_there["DistillationDMLLoss"]
        taught = parts_there.get("DistillationDilaDBLoss", {}).get("model_name_pairs", [])
        config = parts.losses(
            labels=self.trainable,
            mutual=(tuple(name.lower() for name in mutual["model_name_pairs"]),),
            teacher=tuple(tuple(name.lower() for name in pair) for pair in taught),
        )
        config["mutual_act"] = mutual.get("act") or "none"
        return make_loss(ml_collections.ConfigDict(config))

    def build(self, dtype):
        """`{role: detector}`; equal networks are one."""
        built = {str(network): build_detector(network, dtype) for network in self.networks.values()}
        return {role: built[str(network)] for role, network in self.networks.items()}

    def run(self, cases, steps, frozen_norm="batch", dtype="float32"):
        """Makes all updates, comparing losses; gives the last state."""
        step_fn = make_train_step(
            self.build(dtype), self.loss_fn(), self.tx, self.trainable, frozen_norm=frozen_norm
        )
        variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), self.variables)
        state = make_state(variables, self.tx, self.trainable)
        state = jax.tree.map(jnp.array, state)  # the step donates what it is given
        for index, step in enumerate(cases(steps)):
            batch = batch_of(self.batches, step["batch_samples"])
            batch["image"] = batch["image"].astype(dtype)
            batch["plan"] = self.schedule.numbers()
            state, metrics = step_fn(state, batch)
            floor = max(self.floors["loss_relative"][index].values())
            for name, value in step["losses"].items():
                np.testing.assert_allclose(
                    metrics[our_name(name, self.trainable)],
                    np.mean(value),
                    rtol=max(1e-4, 10 * floor),
                    err_msg=f"step {index} {name}",
                )
        return state

    def recorded_of(self, state):
        """`(name, our array, recorded array, its rounding floor)` of the trainable roles."""
        for role in self.trainable:
            for name, value in to_paddle(extract_role(state, role), paddle_prefix(role)).items():
                expected = self.after.get(f"after/{name}")
                floor = self.floors["parameters"].get(name)
                if expected is not None and floor is not None:
                    yield name, value, expected, floor

    def check_statistics(self, state):
        for name, value, expected, floor in self.recorded_of(state):
            if name.endswith(STATISTICS):
                assert relative_l2(value, expected) < max(1e-3, 5 * floor["rel_l2"]), name

    def check_movement(self, cases, steps):
        """How far every parameter went, in float64.

        Adam's first steps have the size of the rate whatever the gradient: in float32 a ReLU that
        flips moves one of the 64 elements of a head's batch norm by a fifth, and which one depends
        on the processor. In float64 nothing but the recorded run's own rounding is left.
        """
        with jax.enable_x64(True):
            state = self.run(cases, steps, dtype="float64")
            compared = 0
            for name, value, expected, floor in self.recorded_of(state):
                if not name.endswith(STATISTICS):
                    before = self.arrays[name]
                    moved = relative_l2(value - before, expected - before)
                    assert moved < max(0.02, 5 * floor["rel_l2_of_movement"]), (name, moved)
                    compared += 1
        assert compared > 0


STATISTICS = ("._mean", "._variance")
CML = {"student": parts.small(), "student2": parts.small(), "teacher": parts.large()}
STUDENTS = ("student", "student2")


@pytest.fixture(scope="module")
def cml(recorded, shared):
    return Trajectory(recorded, shared, "train_cml", CML, STUDENTS)


def test_cml_matches_reference(cml, cases):
    state = cml.run(cases, cml.record["steps"])
    cml.check_statistics(state)
    before = cml.variables["teacher"]
    jax.tree.map(np.testing.assert_array_equal, before, extract_role(state, "teacher"))


def test_cml_moves_its_parameters_as_recorded(cml, cases):
    cml.check_movement(cases, cml.record["steps"])


def test_cml_with_stored_statistics_matches_reference(cml, cases):
    variant = cml.record["teacher"]["variant_teacher_in_eval_mode"]
    cml.run(cases, variant["steps"], "stored")


def test_frozen_teacher_draws_the_recorded_map(cml):
    batch = batch_of(cml.batches, cml.record["steps"][0]["batch_samples"])
    model, variables = cml.models["teacher"], cml.variables["teacher"]

    def shrink(train):
        maps, _ = model.apply(
            variables, batch["image"], train=train, all_maps=False, mutable=["batch_stats"]
        )
        return maps["shrink"]

    trained = jax.jit(shrink, static_argnums=0)(True)
    np.testing.assert_allclose(trained, cml.after["step0_maps/Teacher"][:, 0], atol=1e-2)
    stored = jax.jit(shrink, static_argnums=0)(False)
    expected = cml.after["step0_teacher_eval_mode_shrink_map"]
    np.testing.assert_allclose(stored, expected.reshape(stored.shape), atol=1e-4)


def test_dml_matches_reference(recorded, shared, cases):
    networks = {role: parts.large() for role in STUDENTS}
    run = Trajectory(recorded, shared, "train_dml", networks, STUDENTS)
    run.check_statistics(run.run(cases, run.record["steps"]))
    run.check_movement(cases, run.record["steps"])


@pytest.fixture(scope="module")
def four_networks(tmp_path_factory):
    """`(folder, config path, state, metrics, teacher)` of three students with a teacher."""
    folder = tmp_path_factory.mktemp("four")
    students = ("student", "student2", "student3")
    path = write_config(folder, draw_data(folder / "data"), students, ("teacher",))
    model = build_detector(TEACHER)
    teacher = jax.device_get(jax.jit(lambda: init_variables(model, jax.random.key(5)))())
    write_pdparams(folder / "teacher.pdparams", to_paddle(teacher))
    config = load_config(path, f"init_from.teacher={folder / 'teacher.pdparams'}", "steps=20",
                         "eval.every_steps=10", "save.every_steps=10")  # fmt: skip
    state, metrics = train(config, folder / "run")
    return folder, path, jax.device_get(state), metrics, teacher


def test_three_students_and_a_teacher(four_networks):
    folder, _, state, metrics, teacher = four_networks
    jax.tree.map(np.testing.assert_array_equal, teacher, extract_role(state, "teacher"))
    assert set(metrics) == {"student", "student2", "student3"}
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").open()]
    logged = next(line for line in lines if line["kind"] == "train")
    pairs = ["student-student2", "student-student3", "student2-student3"]
    for name in [f"mutual/{pair}" for pair in pairs] + [
        f"teacher/student{i}-teacher" for i in ("", 2, 3)
    ]:
        assert np.isfinite(logged[name]), name
    slots = state.opt_state[1].mu.size
    learned = sum(leaf.size for role in metrics for leaf in jax.tree.leaves(state.params[role]))
    assert slots == learned


def test_every_role_is_listed_extracted_and_scored(four_networks, capsys):
    folder, _, state, metrics, teacher = four_networks
    lines = [line for line in extraction.describe(str(folder / "run")) if line[0] != " "]
    assert [line.split(":")[0] for line in lines] == [
        "student", "student2", "student3", "teacher",
    ]  # fmt: skip
    assert "hmean" in lines[0] and "hmean" not in lines[3]
    extraction.extract(str(folder / "run" / "latest"), "student2", str(folder / "second"))
    meta = json.loads((folder / "second" / "extracted.json").read_text())
    assert list(meta["metrics"]) == ["student2"]
    variables = sources.read_variables(sources.open_source(str(folder / "second")), "student2")
    jax.tree.map(np.testing.assert_array_equal, variables, extract_role(state, "student2"))
    assert evaluate.main(["--weights", str(folder / "run" / "latest"), "--role", "all"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["role"] for line in printed] == ["student", "student2", "student3", "teacher"]
    for line in printed[:3]:
        assert line["hmean"] == metrics[line["role"]]["hmean"]


def test_a_distillation_file_fills_all_roles(four_networks, tmp_path):
    folder, path, state, _, _ = four_networks
    arrays = {}
    for role in state.params:
        arrays |= to_paddle(extract_role(state, role), paddle_prefix(role))
    tree = tmp_path / "tree.pdparams"
    extraction.extract(str(folder / "run" / "latest"), "all", str(tree))
    read = read_pdparams(tree)
    assert list(read) == list(arrays)
    assert all(read[name].tobytes() == value.tobytes() for name, value in arrays.items())
    with pytest.raises(UserError, match="should end in .pdparams to hold all roles together"):
        extraction.extract(str(tree), "all", str(tmp_path / "folder"))
    extraction.extract(str(tree), "teacher", str(tmp_path / "teacher"))
    teacher = sources.read_variables(sources.open_source(str(tmp_path / "teacher")), "teacher")
    jax.tree.map(np.testing.assert_array_equal, extract_role(state, "teacher"), teacher)
    config = load_config(path, f"init_from.all={tree}", "steps=1", "learning_rate=0.0")
    again, _ = train(config, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, state.params, jax.device_get(again).params)
    extraction.extract(str(tmp_path / "run"), "all", str(tmp_path / "back.pdparams"))
    back = read_pdparams(tmp_path / "back.pdparams")
    assert list(back) == list(arrays)
    for name, value in arrays.items():  # one step moved the students' statistics and nothing else
        moves = name.endswith(("._mean", "._variance")) and not name.startswith("Teacher.")
        assert moves or back[name].tobytes() == value.tobytes(), name


def test_a_frozen_role_needs_weights(four_networks, tmp_path):
    _, path, _, _, _ = four_networks
    with pytest.raises(UserError, match=r"init_from\.teacher is empty"):
        train(load_config(path), tmp_path / "run")
