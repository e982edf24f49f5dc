"""One device against several: run in a process of its own, prints one JSON line.

Usage: python devices_worker.py DEVICES STEPS DTYPE [permuted]
"""

import json
import sys

import jax

jax.config.update("jax_num_cpu_devices", 4)
if sys.argv[3] == "float64":
    jax.config.update("jax_enable_x64", True)

import ml_collections  # noqa: E402
import numpy as np  # noqa: E402
from tiny import TINY  # noqa: E402

from configs import parts  # noqa: E402
from ppocr_jax import devices  # noqa: E402
from ppocr_jax.losses.recipes import make_loss  # noqa: E402
from ppocr_jax.models.detector import build_detector, init_variables  # noqa: E402
from ppocr_jax.optim import make_optimizer  # noqa: E402
from ppocr_jax.roles import make_state  # noqa: E402
from ppocr_jax.train_step import make_train_step  # noqa: E402


def drawn_batch(seed, order):
    rng = np.random.default_rng(seed)
    batch = {"image": rng.integers(0, 256, (8, 64, 64, 3), np.uint8)}
    batch["threshold_map"] = rng.uniform(0.3, 0.7, (8, 64, 64)).astype(np.float32)
    for name in ("threshold_mask", "shrink_map", "shrink_mask"):
        batch[name] = (rng.random((8, 64, 64)) < 0.5).astype(np.uint8)
    return {name: value[order] for name, value in batch.items()}


def main(count, steps, dtype, order):
    config = ml_collections.ConfigDict({"batch_size": 8, "mesh": {"devices": count}})
    mesh = devices.make_mesh(config)
    model = build_detector(TINY, dtype)
    # No decay: the first moment after one update is then a tenth of the gradient.
    optimizer = ml_collections.ConfigDict({"b1": 0.9, "b2": 0.999, "eps": 1e-8, "l2": 0.0})
    tx = make_optimizer(optimizer, lambda step: 1e-4)
    variables = jax.tree.map(
        lambda a: np.asarray(a, dtype), init_variables(model, jax.random.key(0))
    )
    loss_fn = make_loss(ml_collections.ConfigDict(parts.losses(labels=("student",))))
    step_fn = make_train_step({"student": model}, loss_fn, tx, ("student",))
    state = devices.replicate(make_state({"student": variables}, tx, ("student",)), mesh)
    first = None
    for step in range(steps):
        state, metrics = step_fn(state, devices.put_batch(drawn_batch(step, order), mesh))
        if first is None:
            norms = [float(np.linalg.norm(m)) * 10 for m in jax.tree.leaves(state.opt_state[1].mu)]
            first = {"losses": {k: float(v) for k, v in metrics.items()}, "norms": norms}
    moved = [
        np.asarray(after, np.float64) - np.asarray(before, np.float64)
        for after, before in zip(
            jax.tree.leaves(state.params), jax.tree.leaves(variables["params"]), strict=True
        )
    ]
    flat = np.concatenate([part.ravel() for part in moved])
    total = {k: float(v) for k, v in metrics.items()}
    print(json.dumps({**first, "last": total, "moved": flat.tolist()}))


if __name__ == "__main__":
    permuted = len(sys.argv) > 4
    main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        sys.argv[3],
        np.arange(8)[::-1] if permuted else np.arange(8),
    )
