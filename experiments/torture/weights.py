"""Trials with weights files: damaged, hostile, not finite, of other types, or something else."""

import json
import pathlib
import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from experiments.torture import damage, pickled
from experiments.torture.commands import Outcome
from experiments.torture.judge import require, require_message, require_refused
from experiments.torture.trial import Trial
from experiments.torture.valid import scores

USES = ("evaluate", "evaluate", "predict", "extract", "export", "train")


def _use(trial: Trial, weights: pathlib.Path, command: str | None = None) -> Outcome:
    """Runs a command with these weights; at random, if none is named."""
    command = command or trial.rng.choice(USES)
    output = trial.folder / "out"
    config = ("--config", trial.valid.config)
    if command == "train":
        argv = trial.valid.short(output, f"--config.init_from.student={weights}")
        return trial.run("train", *argv, writes=(output,))
    if command == "evaluate":
        return trial.run("evaluate", *config, "--weights", weights)
    output.mkdir(exist_ok=True)
    if command == "predict":
        picture = trial.valid.path("data/val_0.png")
        return trial.run(
            "predict", *trial.valid.predicting(weights, picture, output), writes=(output,)
        )
    if command == "extract":
        argv = ("--weights", weights, "--role", "student", "--output", output / "x.pdparams")
        return trial.run("extract", *argv, writes=(output,))
    argv = ("--weights", weights, "--output", output / "x.onnx")
    return trial.run("export", *config, *argv, writes=(output,))


def hostile_pickles(trial: Trial) -> None:
    """A `.pdparams` file that is damaged, or made to hang or to exhaust memory, is refused."""
    data = trial.valid.path("net.pdparams").read_bytes()
    way = trial.rng.choice(["flip", "cut", "operations", "operations", "laughs", "laughs", "sizes"])
    if way == "laughs":
        trial.note, data = pickled.laughs(trial.rng)
    elif way == "operations":
        trial.note, data = pickled.change_operations(trial.rng, data)
    elif way == "sizes":
        trial.note, data = pickled.claim(trial.rng, data)
    path = trial.write("bad.pdparams", data)
    if way in ("flip", "cut"):
        trial.note = damage.damage(
            trial.rng, path, (damage.flip_bit if way == "flip" else damage.shorten,)
        )
    command = trial.rng.choice(["extract", "evaluate"])
    outcome = _use(trial, path, command)
    if outcome.status:
        require_refused(outcome, "bad.pdparams")
    else:
        require(way != "laughs", "accepts a file without weights")


def not_finite(trial: Trial) -> None:
    """Every command refuses weights with a NaN or infinity, with the tensor's name."""
    value = trial.rng.choice([np.nan, np.inf, -np.inf])
    if trial.rng.random() < 0.6:
        arrays = pickle.loads(trial.valid.path("net.pdparams").read_bytes())
        name = trial.rng.choice(
            [k for k, v in arrays.items() if getattr(v, "dtype", None) == "float32"]
        )
        arrays[name] = _with(arrays[name], value, trial.rng)
        path = trial.write("bad.pdparams", pickle.dumps(arrays, protocol=2))
        outcome = _use(trial, path)
    else:
        model = onnx.load(trial.valid.path("net.onnx"))
        floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
        tensor = trial.rng.choice(floats)
        name = tensor.name
        changed = _with(numpy_helper.to_array(tensor), value, trial.rng)
        tensor.CopyFrom(numpy_helper.from_array(changed, name))
        outcome = _use(trial, trial.write("bad.onnx", model.SerializeToString()), "evaluate")
    trial.note = f"{value} in {name}"
    require_refused(outcome, name.split(".")[-1], "finite")


def _with(array: np.ndarray, value: float, rng: random.Random) -> np.ndarray:
    """A copy of an array with one element replaced."""
    array = np.array(array)
    array.reshape(-1)[rng.randrange(array.size)] = value
    return array


def flipped_onnx(trial: Trial) -> None:
    """Flips one bit of an ONNX file that `export` wrote, with a checksum."""
    path = trial.copy("net.onnx")
    trial.note = damage.flip_bit(trial.rng, path)
    outcome = _use(trial, path, "evaluate")
    require_message(outcome, trial.valid.good["evaluate net.onnx"], scores)


def foreign_onnx(trial: Trial) -> None:
    """An ONNX file with changed nodes, other types or odd metadata works, or is refused."""
    model = onnx.load(trial.valid.path("net.onnx"))
    for _ in range(trial.rng.choice([1, 1, 2, 4])):
        trial.note = _change_graph(trial.rng, model)
    path = trial.write("bad.onnx", model.SerializeToString())
    if trial.rng.random() < 0.2:
        trial.note = damage.damage(trial.rng, path)
    command = trial.rng.choice(["evaluate", "evaluate", "predict", "extract"])
    outcome = _use(trial, path, command)
    if (outcome.status or 0) > 1:
        require_refused(outcome, "bad.onnx")


def _change_graph(rng: random.Random, model: Any) -> str:
    """Changes something in an ONNX model and returns what."""
    graph = model.graph
    node: Any = rng.choice(list(graph.node)) if graph.node else None
    way = rng.randrange(10) if node is not None else 8
    if way == 0:
        graph.node.remove(node)
    elif way == 1:
        node.op_type = rng.choice(["Relu", "Softmax", "NoSuchThing", "Flatten", "ReduceMean", ""])
    elif way == 2 and node.attribute:
        del node.attribute[rng.randrange(len(node.attribute))]
    elif way == 3 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(
            ["", "nowhere", *(value.name for value in graph.input[:1])]
        )
    elif way == 4 and graph.initializer:
        tensor = rng.choice(list(graph.initializer))
        tensor.dims[:] = rng.choice([[], [1], [2**40], [*tensor.dims, 1], list(tensor.dims)[::-1]])
    elif way == 5 and graph.initializer:
        rng.choice(list(graph.initializer)).data_type = rng.randrange(25)
    elif way == 6 and model.metadata_props:
        entry = rng.choice(list(model.metadata_props))
        entry.value = rng.choice(
            ["", "[]", "{}", "null", "3", '"x"', "{", "[" * 3000, '{"config": 3}']
        )
    elif way == 7 and graph.output:
        graph.output[0].name = rng.choice(["", "nowhere", node.output[0] if node.output else ""])
    elif way == 8:
        del graph.input[:]
    else:
        del graph.output[:]
    return f"change {way} of {node.op_type if node is not None else 'an empty graph'}"


def no_detector(trial: Trial) -> None:
    """A file that is not a detector's weights is refused."""
    trial.note, name, data = trial.rng.choice(STRANGERS)(trial.rng)
    outcome = _use(trial, trial.write(name, data))
    require_refused(outcome, name)


def _classifier(rng: random.Random) -> tuple[str, str, bytes]:
    """An ONNX network with output `[N, 3]` instead of a map."""
    make, kinds = onnx.helper, onnx.TensorProto
    shape: list[str | int | None] = ["N", 3, 48, 192] if rng.random() < 0.5 else ["N", 3, "H", "W"]
    nodes = [
        make.make_node("GlobalAveragePool", ["x"], ["p"]),
        make.make_node("Flatten", ["p"], ["y"]),
    ]
    given = [make.make_tensor_value_info("x", kinds.FLOAT, shape)]
    gives = [make.make_tensor_value_info("y", kinds.FLOAT, ["N", 3])]
    graph = make.make_graph(nodes, "g", given, gives)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    return "a classifier", "other.onnx", model.SerializeToString()


# Files that are something else: `rng -> (what, name, content)`.
STRANGERS: tuple[Callable[[random.Random], tuple[str, str, str | bytes]], ...] = (
    _classifier,
    lambda rng: ("LFS", f"x{rng.choice(['.pdparams', '.onnx'])}", "version https://git-lfs.github.com/"
                 f"spec/v1\noid sha256:{'0' * 64}\nsize {rng.randrange(10**8)}\n"),
    lambda rng: ("a web page", f"x{rng.choice(['.pdparams', '.onnx'])}",
                 "<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"),
    lambda rng: ("a PyTorch file", "x.pth", b"PK\x03\x04\x14\0\0\x08\x08\0" + rng.randbytes(200)),
    lambda rng: ("a list", "x.pdparams", pickle.dumps([1, 2])),
    lambda rng: ("empty", f"x{rng.choice(['.pdparams', '.onnx'])}", b""),
    lambda rng: ("JSON", "x.pdparams", json.dumps({"a": [1]})),
    lambda rng: ("other names", "x.pdparams", pickle.dumps({"a": np.zeros(3, np.float32)})),
)  # fmt: skip


def other_types(trial: Trial) -> None:
    """Weights in float16, bfloat16 or float64 give the same maps, or are refused."""
    arrays = pickle.loads(trial.valid.path("net.pdparams").read_bytes())
    floats = [k for k, v in arrays.items() if getattr(v, "dtype", None) == "float32"]
    kind = trial.rng.choice(["float16", "float64", "uint16", "overflow"])
    for name in floats if trial.rng.random() < 0.5 else [trial.rng.choice(floats)]:
        array = arrays[name]
        if kind == "uint16":  # Paddle stores bfloat16 as the upper half of a float32
            array = (np.ascontiguousarray(array).view(np.uint32) >> 16).astype(np.uint16)
        else:
            array = array.astype("float64" if kind == "overflow" else kind)
        arrays[name] = array * 1e300 if kind == "overflow" else array
    trial.note = kind
    with np.errstate(all="ignore"):
        path = trial.write("other.pdparams", pickle.dumps(arrays, protocol=2))
    outcome = _use(trial, path, "evaluate")
    if outcome.status:
        require_refused(outcome, "other.pdparams")
        return
    good = scores(trial.valid.good["evaluate net.pdparams"])[0]["map_mean"]
    found = scores(outcome)[0]["map_mean"]
    near = abs(found - good) < 0.02
    require(near or outcome.new_messages(trial.valid.good["evaluate net.pdparams"]),
            f"SILENT: mean of the maps is {found:.4f}, not {good:.4f}")  # fmt: skip
