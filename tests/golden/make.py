"""Makes the `.npz` files beside it: what the tests of this folder hold ppocr_jax to.

    python tests/golden/make.py [FOLDER]

All values come from the `plain_*.py` files, which are slow, written from the definitions in plain
Python and NumPy, and import nothing of ppocr_jax, JAX, OpenCV, Shapely or Clipper. A test makes
them again and compares.
"""

import functools
import pathlib
import sys

import numpy as np
import plain_boxes
import plain_losses
import plain_metric
import plain_network
import plain_tape as tape
import plain_targets
from plain_optimiser import Adam, rate

CONVOLUTIONS = {  # kernel, stride, inputs, outputs, groups, height, width
    "plain": (3, 1, 5, 4, 1, 6, 7),
    "pointwise": (1, 1, 6, 5, 1, 4, 5),
    "strided": (3, 2, 3, 8, 1, 8, 10),
    "strided, odd sides": (3, 2, 4, 3, 1, 7, 9),
    "depthwise": (3, 1, 6, 6, 6, 6, 5),
    "depthwise 5, strided": (5, 2, 6, 6, 6, 8, 10),
    "depthwise, odd sides": (3, 2, 4, 4, 4, 7, 5),
    "large kernel": (9, 1, 3, 2, 1, 10, 6),
}
ACTS = ("relu", "hard_swish", "hard_sigmoid", "sigmoid")
TRAJECTORY = dict(rate=1e-3, updates=3, decay=5e-5)
SIDE = 64


def layers():
    """Results of the layers, and gradients of `sum(result * weight)`."""
    rng, saved = np.random.default_rng(1), {}

    def keep(name, function, **inputs):
        values = {key: tape.Value(array) for key, array in inputs.items()}
        out = function(**values)
        weight = rng.normal(size=out.array.shape).astype(np.float32)
        tape.backward((out * weight).sum())
        saved.update({f"{name}/{key}": array for key, array in inputs.items()})
        saved.update({f"{name}/weight": weight, f"{name}/out": out.array.astype(np.float32)})
        for key, value in values.items():
            saved[f"{name}/grad_{key}"] = value.grad.astype(np.float32)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    for name, (k, stride, inputs, outputs, groups, height, width) in CONVOLUTIONS.items():
        keep(
            f"conv {name}",
            lambda x, kernel, s=stride, g=groups: tape.convolve(x, kernel, s, g),
            x=draw(2, height, width, inputs),
            kernel=draw(k, k, inputs // groups, outputs),
        )
    keep("transposed", tape.transposed_convolve, x=draw(2, 3, 4, 5), kernel=draw(2, 2, 5, 3),
         bias=draw(3))  # fmt: skip
    norm = dict(x=draw(2, 4, 5, 3) * 2 + 1, scale=draw(3), bias=draw(3))
    keep("norm of the batch", lambda **v: tape.batch_norm(**v)[0], **norm)
    found = tape.batch_norm(*map(tape.Value, norm.values()))[1:]
    stored = draw(3), draw(3) ** 2 + 0.5
    keep("norm as stored", lambda **v: tape.batch_norm_stored(**v, mean=stored[0],
         variance=stored[1]), **norm)  # fmt: skip
    for name, before, batch in zip(("mean", "variance"), stored, found, strict=True):
        saved[f"norm/{name}"], saved[f"norm/{name}_after"] = before, tape.moved(before, batch)
    for name in ACTS:
        keep(name, getattr(tape, name), x=draw(1, 6, 6, 2) * 3)
    keep("squeeze_excite", tape.squeeze_excite, x=draw(2, 3, 4, 8), kernel1=draw(1, 1, 8, 2),
         bias1=draw(2), kernel2=draw(1, 1, 2, 8), bias2=draw(8))  # fmt: skip
    keep("upsample", lambda x: tape.upsample(x, 4), x=draw(2, 2, 3, 2))
    return saved


def loss_cases():
    """`{name: (maps of two networks, batch)}`, float64 `[2, 6, 7]`."""
    rng, cases = np.random.default_rng(2), {}
    for name, text, counted in (
        ("usual", 0.2, 0.8), ("much text", 0.6, 1.0), ("no text", 0.0, 0.9), ("no mask", 0.3, 0.0),
    ):  # fmt: skip
        maps = [
            {key: rng.uniform(0.03, 0.97, (2, 6, 7)) for key in ("shrink", "threshold", "binary")}
            for _ in range(2)
        ]
        batch = {
            "shrink_map": (rng.random((2, 6, 7)) < text) * 1.0,
            "shrink_mask": (rng.random((2, 6, 7)) < counted) * 1.0,
            "threshold_map": rng.uniform(0.3, 0.7, (2, 6, 7)),
            "threshold_mask": (rng.random((2, 6, 7)) < counted) * 1.0,
        }
        cases[name] = maps, batch
    return cases


def losses_of_case(maps, batch):
    """`{name: (function of a map, that map)}`."""
    plain, (one, other) = plain_losses, maps
    target, mask = batch["shrink_map"], batch["shrink_mask"]
    border = batch["threshold_map"], batch["threshold_mask"]
    found = {
        "dice": (lambda a: plain.dice(a, target, mask), one["shrink"]),
        "masked l1": (lambda a: plain.masked_l1(a, *border), one["threshold"]),
    }
    mains = dict(dice=plain.dice, bce=plain.cross_entropy, mask_l1=plain.masked_l1)
    for key, main in mains.items():
        function = functools.partial(plain.balanced, target=target, mask=mask, main=main)
        found[f"balanced {key}"] = function, one["shrink"]
    for part in one:
        found[f"db {part}"] = lambda a, p=part: plain.db({**one, p: a}, batch)[p], one[part]
    for act in ("none", "softmax", "sigmoid"):
        function = functools.partial(plain.mutual, other=other["shrink"], act=act)
        found[f"mutual {act}"] = function, one["shrink"]
    for part in ("shrink", "binary"):
        found[f"taught {part}"] = (
            lambda a, p=part: plain.taught({**one, p: a}, other["shrink"], mask),
            one[part],
        )
    return found


def losses():
    """Values of the losses on every case, and gradients by central differences."""
    saved = {}
    for name, (maps, batch) in loss_cases().items():
        for owner, each in zip(("one", "other"), maps, strict=True):
            saved.update({f"{name}/{owner}/{key}": value for key, value in each.items()})
        saved.update({f"{name}/{key}": value for key, value in batch.items()})
        for key, (function, array) in losses_of_case(maps, batch).items():
            saved[f"{name}/value/{key}"] = function(array)
            saved[f"{name}/grad/{key}"] = plain_losses.slopes(function, array)
        saved[f"{name}/dilated"] = plain_losses.dilated((maps[1]["shrink"] > 0.3) * 1.0)
    return saved


def targets():
    saved = {}
    for name, polygons in plain_targets.CASES.items():
        ignore, size = plain_targets.ignored(name), plain_targets.SIZE
        for part in ("shrink", "threshold"):
            maps = getattr(plain_targets, part)(polygons, ignore, *size)
            saved.update({f"{name}/{part}/{key}": value for key, value in maps.items()})
    return saved


def boxes():
    saved = {}
    for name, case in plain_boxes.CASES.items():
        case = dict(case)
        shrink_map = plain_boxes.draw(case.pop("boxes"), softness=case.pop("softness", 0.0))
        found = plain_boxes.find(shrink_map, **case)
        saved[f"{name}/map"] = shrink_map
        saved[f"{name}/boxes"] = np.array([box for box, _ in found], np.int32)
        saved[f"{name}/scores"] = np.array([score for _, score in found])
    return saved


def metric():
    saved, counts = {}, []
    for index, (truth, ignore, found) in enumerate(plain_metric.images()):
        counts.append(plain_metric.match(truth, ignore, found))
        saved[f"{index}/truth"] = np.array(truth).reshape(-1, 4, 2)
        saved[f"{index}/found"] = np.array(found).reshape(-1, 4, 2)
        saved[f"{index}/ignore"] = np.array(ignore, bool)
    return {**saved, "counts": np.array(counts), "summary": np.array(plain_metric.summary(counts))}


def optimiser():
    """Twelve updates of eight numbers by given gradients."""
    rng, (base, total, warmup, decay) = np.random.default_rng(3), (0.02, 12, 3, 0.1)
    start, grads = rng.normal(size=8), rng.normal(size=(total, 8))
    adam, params, path = Adam(decay), {"w": start}, []
    rates = [rate(step, base, total, warmup) for step in range(total)]
    for grad, now in zip(grads, rates, strict=True):
        params = adam.update(params, {"w": grad}, now)
        path.append(params["w"])
    plan = np.array([base, total, warmup, decay])
    return dict(start=start, grads=grads, rates=np.array(rates), path=np.array(path), plan=plan)


def drawn_batch():
    """Four pictures, uint8 BGR, with bars as words, and their maps: of a formula each."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    image = np.stack(
        [[np.sin((i + 1) * x / 7 + c) * np.cos((c + 1) * y / 9 + i) for c in range(3)]
         for i in range(4)]
    ).transpose(0, 2, 3, 1)  # fmt: skip
    text = np.stack([
        (y > 20) & (y < 36) & (x > 8) & (x < 50), (x > 22) & (x < 40) & (y > 6) & (y < 58),
        (y > 30) & (y < 44) & (x > 20), abs(x - y) < 9,
    ])  # fmt: skip
    near = 0.3 + 0.4 * np.abs(np.cos((x + y) / 11))
    return {
        "image": np.round(128 + 60 * image - 60 * text[..., None]).astype(np.uint8),
        "shrink_map": text.astype(np.uint8),
        "shrink_mask": np.stack([x < 60, y > 2, x > 1, y < 61]).astype(np.uint8),
        "threshold_map": np.stack([near, near.T, near[::-1], 1 - near]).astype(np.float32),
        "threshold_mask": np.stack([x > 4, y < 62, x + y > 9, y > 0]).astype(np.uint8),
    }


def normalised(image):
    """Blue, green and red by the mean and deviation of red, green and blue, as published."""
    return (image / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]


def losses_of(maps, batch):
    """`{"shrink", "threshold", "binary"}` of DB over maps of the tape."""
    b = {name: array.astype(np.float64) for name, array in batch.items()}
    target, mask = b["shrink_map"], b["shrink_mask"]

    def dice(pred):
        common = (pred * (target * mask)).sum() * 2.0
        return common / ((pred * mask).sum() + ((target * mask).sum() + 1e-6)) * -1.0 + 1.0

    positive = (target * mask).sum()
    negative = min(((1 - target) * mask).sum(), 3 * positive)
    factor = (positive + negative) / (positive + negative + 1e-6)  # of hard negatives by dice
    away = (abs(maps["threshold"] - b["threshold_map"]) * b["threshold_mask"]).sum()
    return {
        "shrink": dice(maps["shrink"]) * (5.0 * factor),
        "threshold": away * (10.0 / (b["threshold_mask"].sum() + 1e-6)),
        "binary": dice(maps["binary"]),
    }


def trajectory():
    """A few updates of the small network; `packed` gradients, changes and statistics."""
    batch = drawn_batch()
    image = normalised(batch["image"])
    start = {name: array.astype(np.float64) for name, array in plain_network.fill().items()}
    params, first, stats, steps, adam = start, None, {}, [], Adam(TRAJECTORY["decay"])
    for _ in range(TRAJECTORY["updates"]):
        values = {name: tape.Value(array) for name, array in params.items()}
        network = plain_network.Network(values)
        terms = losses_of(network(image), batch)
        tape.backward(terms["shrink"] + terms["threshold"] + terms["binary"])
        grads = {name: value.grad for name, value in values.items()}
        first = first or grads
        for name, found in network.statistics.items():
            stats[name] = tape.moved(stats.get(name, float(name.endswith("/var"))), found)
        params = adam.update(params, grads, TRAJECTORY["rate"])
        steps.append([float(term.array) for term in terms.values()])
    return {
        "losses": np.array(steps),
        "gradients": packed(first),
        "changes": packed({name: params[name] - start[name] for name in params}),
        "statistics": packed(stats),
    }


def packed(arrays):
    """What is kept of `{name: array}`: summaries one behind the other, by name."""
    return np.concatenate([summary_of(arrays[name]) for name in sorted(arrays)])


def summary_of(array):
    """All of a small tensor; of a larger one its norm and its products with some waves."""
    flat = np.asarray(array, np.float64).ravel()
    if flat.size <= 64:
        return flat
    waves = [np.cos(turn * np.arange(flat.size)) for turn in (0.0, 0.7, 1.9, 3.1)]
    return np.array([np.linalg.norm(flat), *(wave @ flat for wave in waves)])


FILES = (layers, losses, targets, boxes, metric, optimiser, trajectory)


def main(folder=pathlib.Path(__file__).parent):
    for make in FILES:
        np.savez_compressed(pathlib.Path(folder) / f"{make.__name__}.npz", **make())


if __name__ == "__main__":
    main(*sys.argv[1:])
