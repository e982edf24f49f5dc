"""Weights files from elsewhere: damaged, hostile, not finite, of other types, or none at all."""

import json
import pickle

import numpy as np
import onnx
from onnx import numpy_helper

from experiments.torture import damage, pickled
from experiments.torture.ground import scores
from experiments.torture.judge import require, require_refused, require_said

USES = ("evaluate", "evaluate", "predict", "extract", "export", "train")


def _use(trial, weights, command=None):
    """A command that takes weights: its Outcome."""
    command = command or trial.rng.choice(USES)
    output = trial.folder / "out"
    config = ("--config", trial.ground.config)
    if command == "train":
        argv = trial.ground.short(output, f"--config.init_from.student={weights}")
        return trial.run("train", *argv, writes=(output,))
    if command == "evaluate":
        return trial.run("evaluate", *config, "--weights", weights)
    output.mkdir(exist_ok=True)
    if command == "predict":
        picture = trial.ground.path("data/val_0.png")
        return trial.run(
            "predict", *trial.ground.predicting(weights, picture, output), writes=(output,)
        )
    if command == "extract":
        argv = ("--weights", weights, "--role", "student", "--output", output / "x.pdparams")
        return trial.run("extract", *argv, writes=(output,))
    argv = ("--weights", weights, "--output", output / "x.onnx")
    return trial.run("export", *config, *argv, writes=(output,))


def hostile_pickles(trial):
    """A `.pdparams` that is damaged, or made to hang, to grow or to crash, ends in one line."""
    data = trial.ground.path("net.pdparams").read_bytes()
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
        require(way != "laughs", "takes what holds no weights")


def not_finite(trial):
    """Weights with one NaN or infinity are refused by the tensor's name at every entrance."""
    value = trial.rng.choice([np.nan, np.inf, -np.inf])
    if trial.rng.random() < 0.6:
        arrays = pickle.loads(trial.ground.path("net.pdparams").read_bytes())
        name = trial.rng.choice(
            [k for k, v in arrays.items() if getattr(v, "dtype", None) == "float32"]
        )
        arrays[name] = _with(arrays[name], value, trial.rng)
        path = trial.write("bad.pdparams", pickle.dumps(arrays, protocol=2))
        outcome = _use(trial, path)
    else:
        model = onnx.load(trial.ground.path("net.onnx"))
        floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
        tensor = trial.rng.choice(floats)
        name = tensor.name
        changed = _with(numpy_helper.to_array(tensor), value, trial.rng)
        tensor.CopyFrom(numpy_helper.from_array(changed, name))
        outcome = _use(trial, trial.write("bad.onnx", model.SerializeToString()), "evaluate")
    trial.note = f"{value} in {name}"
    require_refused(outcome, name.split(".")[-1], "finite")


def _with(array, value, rng):
    array = np.array(array)
    array.reshape(-1)[rng.randrange(array.size)] = value
    return array


def flipped_onnx(trial):
    """One bit of an ONNX file that `export` wrote: the file knows what it should hold."""
    path = trial.copy("net.onnx")
    trial.note = damage.flip_bit(trial.rng, path)
    outcome = _use(trial, path, "evaluate")
    require_said(outcome, trial.ground.good["evaluate net.onnx"], scores)


def foreign_onnx(trial):
    """An ONNX file from elsewhere: nodes gone or changed, other kinds of values, odd metadata."""
    model = onnx.load(trial.ground.path("net.onnx"))
    for _ in range(trial.rng.choice([1, 1, 2, 4])):
        trial.note = _change_graph(trial.rng, model)
    path = trial.write("bad.onnx", model.SerializeToString())
    if trial.rng.random() < 0.2:
        trial.note = damage.damage(trial.rng, path)
    command = trial.rng.choice(["evaluate", "evaluate", "predict", "extract"])
    outcome = _use(trial, path, command)
    if outcome.status > 1:
        require_refused(outcome, "bad.onnx")


def _change_graph(rng, model):
    graph = model.graph
    node = rng.choice(list(graph.node)) if graph.node else None
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


def no_detector(trial):
    """What is no detector's weights at all is refused, and said to be what it is."""
    trial.note, name, data = trial.rng.choice(STRANGERS)(trial.rng)
    outcome = _use(trial, trial.write(name, data))
    require_refused(outcome, name)


def _classifier(rng):
    """An ONNX network that gives `[N, 2]`, or a row of letters, instead of a map."""
    make, kinds = onnx.helper, onnx.TensorProto
    shape = ["N", 3, 48, 192] if rng.random() < 0.5 else ["N", 3, "H", "W"]
    nodes = [
        make.make_node("GlobalAveragePool", ["x"], ["p"]),
        make.make_node("Flatten", ["p"], ["y"]),
    ]
    given = [make.make_tensor_value_info("x", kinds.FLOAT, shape)]
    gives = [make.make_tensor_value_info("y", kinds.FLOAT, ["N", 3])]
    graph = make.make_graph(nodes, "g", given, gives)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    return "a classifier", "other.onnx", model.SerializeToString()


STRANGERS = (
    _classifier,
    lambda rng: ("LFS", f"x{rng.choice(['.pdparams', '.onnx'])}", "version https://git-lfs.github.com/"
                 f"spec/v1\noid sha256:{'0' * 64}\nsize {rng.randrange(10**8)}\n"),
    lambda rng: ("a web page", f"x{rng.choice(['.pdparams', '.onnx'])}",
                 "<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"),
    lambda rng: ("PyTorch's", "x.pth", b"PK\x03\x04\x14\0\0\x08\x08\0" + rng.randbytes(200)),
    lambda rng: ("a list", "x.pdparams", pickle.dumps([1, 2])),
    lambda rng: ("empty", f"x{rng.choice(['.pdparams', '.onnx'])}", b""),
    lambda rng: ("JSON", "x.pdparams", json.dumps({"a": [1]})),
    lambda rng: ("other names", "x.pdparams", pickle.dumps({"a": np.zeros(3, np.float32)})),
)  # fmt: skip


def other_types(trial):
    """Weights as float16, bfloat16's integers or doubles load as they are, or are refused."""
    arrays = pickle.loads(trial.ground.path("net.pdparams").read_bytes())
    floats = [k for k, v in arrays.items() if getattr(v, "dtype", None) == "float32"]
    kind = trial.rng.choice(["float16", "float64", "uint16", "overflow"])
    for name in floats if trial.rng.random() < 0.5 else [trial.rng.choice(floats)]:
        array = arrays[name]
        if kind == "uint16":  # Paddle keeps bfloat16 so: the upper half of a float32
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
    good = scores(trial.ground.good["evaluate net.pdparams"])[0]["map_mean"]
    found = scores(outcome)[0]["map_mean"]
    near = abs(found - good) < 0.02
    require(near or outcome.said(trial.ground.good["evaluate net.pdparams"]),
            f"SILENT: mean of the maps {found:.4f} instead of {good:.4f}")  # fmt: skip
