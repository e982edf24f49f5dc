"""One process of a small training run: prints one JSON line of what came out.

Run in processes of its own by `test_devices.py`, with other numbers of devices and processes.
"""

import argparse
import json

import jax

parser = argparse.ArgumentParser()
parser.add_argument("--devices", type=int, default=1, help="simulated ones of this process")
parser.add_argument("--recipe", default="single", help="single or cml")
parser.add_argument("--dtype", default="float32")
parser.add_argument("--order", default="straight", help="of the samples in a batch, or reversed")
parser.add_argument("--norm_scope", default="global")
parser.add_argument("--accumulate", type=int, default=1)
parser.add_argument("--port", help="of the first process; two processes in all")
parser.add_argument("--index", type=int, default=0)
args = parser.parse_args()
jax.config.update("jax_num_cpu_devices", args.devices)
if args.dtype == "float64":
    jax.config.update("jax_enable_x64", True)

import ml_collections  # noqa: E402
import numpy as np  # noqa: E402
from tiny import TINY  # noqa: E402

from configs import parts  # noqa: E402
from ppocr_jax import devices  # noqa: E402
from ppocr_jax.losses.recipes import make_loss  # noqa: E402
from ppocr_jax.models.detector import build_detector, init_variables  # noqa: E402
from ppocr_jax.optim import make_optimizer  # noqa: E402
from ppocr_jax.roles import init_roles, make_state  # noqa: E402
from ppocr_jax.train_step import make_train_step  # noqa: E402

STEPS, BATCH = 10, 8
RECIPES = {
    "single": ({"student": TINY}, parts.losses(labels=("student",))),
    "cml": (
        {"student": TINY, "student2": TINY, "teacher": TINY},
        parts.losses(
            labels=("student", "student2"),
            mutual=(("student", "student2"),),
            teacher=(("student", "teacher"), ("student2", "teacher")),
        ),
    ),
}


def drawn_batch(seed):
    """This process's part of a global batch."""
    rng = np.random.default_rng(seed)
    batch = {"image": rng.integers(0, 256, (BATCH, 64, 64, 3), np.uint8)}
    batch["threshold_map"] = rng.uniform(0.3, 0.7, (BATCH, 64, 64)).astype(np.float32)
    for name in ("threshold_mask", "shrink_map", "shrink_mask"):
        batch[name] = (rng.random((BATCH, 64, 64)) < 0.5).astype(np.uint8)
    share = BATCH // jax.process_count()
    own = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
    order = -1 if args.order == "reversed" else 1
    return {name: value[::order][own] for name, value in batch.items()}


def main():
    if args.port:
        devices.join_processes(f"127.0.0.1:{args.port}", 2, args.index)
    mesh = devices.make_mesh(ml_collections.ConfigDict({"mesh": {"devices": 0}}))
    networks, losses = RECIPES[args.recipe]
    models = {role: build_detector(network, args.dtype) for role, network in networks.items()}
    trainable = tuple(losses["labels"])
    # No decay: the first moment after one update is then a tenth of the gradient.
    optimizer = ml_collections.ConfigDict({"b1": 0.9, "b2": 0.999, "eps": 1e-8, "l2": 0.0})
    tx = make_optimizer(optimizer, lambda step: 1e-4)
    variables = init_roles(models, init_variables, 0)
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, args.dtype), variables)
    loss_fn = make_loss(ml_collections.ConfigDict(losses))
    options = dict(norm_scope=args.norm_scope, accumulate=args.accumulate, mesh=mesh)
    step_fn = make_train_step(models, loss_fn, tx, trainable, **options)
    state = devices.replicate(make_state(variables, tx, trainable), mesh)
    first = None
    for step in range(STEPS):
        state, metrics = step_fn(state, devices.put_batch(drawn_batch(step), mesh))
        if first is None:
            moments = jax.tree.leaves(jax.device_get(state.opt_state[1].mu))
            norms = [float(np.linalg.norm(moment)) * 10 for moment in moments]
            first = {"losses": {k: float(v) for k, v in metrics.items()}, "norms": norms}
    moved = []
    for role in trainable:
        before, after = variables[role]["params"], jax.device_get(state.params[role])
        moved += jax.tree.leaves(jax.tree.map(lambda a, b: np.asarray(b, "f8") - a, before, after))
    kept = jax.tree.map(
        lambda a, b: bool((a == b).all()),
        {role: variables[role]["params"] for role in networks if role not in trainable},
        {role: jax.device_get(state.params[role]) for role in networks if role not in trainable},
    )
    flat = np.concatenate([part.ravel() for part in moved])
    last = {k: float(v) for k, v in metrics.items()}
    result = {"last": last, "moved": flat.tolist(), "frozen_kept": all(jax.tree.leaves(kept))}
    print(json.dumps({**first, **result, "devices": mesh.size}))


if __name__ == "__main__":
    main()
