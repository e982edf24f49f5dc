"""One process of a small training run: prints one JSON line of what came out.

Run in processes of its own by `test_devices.py`, with other numbers of devices and processes.
"""

import argparse
import json
import os

# XLA sizes its pool by this. Threads of it wait inside collectives: with one per simulated device,
# which is what it takes by itself, all of them can come to wait for one that has none to run on.
os.environ["NPROC"] = "32"
import jax  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--devices", type=int, default=1, help="simulated ones of this process")
parser.add_argument("--dtype", default="float32")
parser.add_argument("--runs", help="JSON: {name: options of `run`}")
parser.add_argument("--port", help="of the first process; two processes in all")
parser.add_argument("--index", type=int, default=0)
args = parser.parse_args()
jax.config.update("jax_num_cpu_devices", args.devices)
if args.dtype == "float64":
    jax.config.update("jax_enable_x64", True)

import ml_collections  # noqa: E402
import numpy as np  # noqa: E402
from tiny import CHEAP, TINY, adam_moments  # noqa: E402

from configs import parts  # noqa: E402
from ppocr_jax import devices  # noqa: E402
from ppocr_jax.losses.recipes import make_loss  # noqa: E402
from ppocr_jax.models.detector import build_detector, init_variables  # noqa: E402
from ppocr_jax.optim import make_optimizer  # noqa: E402
from ppocr_jax.processes.joining import joined  # noqa: E402
from ppocr_jax.runtime import process  # noqa: E402
from ppocr_jax.training.state import init_roles, make_state  # noqa: E402
from ppocr_jax.training.step import make_train_step  # noqa: E402

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


def drawn_batch(seed, order):
    """This process's part of a global batch."""
    rng = np.random.default_rng(seed)
    batch = {"image": rng.integers(0, 256, (BATCH, 64, 64, 3), np.uint8)}
    batch["threshold_map"] = rng.uniform(0.3, 0.7, (BATCH, 64, 64)).astype(np.float32)
    for name in ("threshold_mask", "shrink_map", "shrink_mask"):
        batch[name] = (rng.random((BATCH, 64, 64)) < 0.5).astype(np.uint8)
    share = BATCH // jax.process_count()
    own = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
    return {name: value[::order][own] for name, value in batch.items()}


class Run:
    """Ten updates of a recipe over `devices` devices of all processes (0: all of them)."""

    def __init__(self, recipe, devices_=0, frozen=None, **options):
        self.networks, losses = RECIPES[recipe]
        self.trainable, self.frozen = tuple(losses["labels"]), frozen or {}
        models = {
            role: build_detector(network, args.dtype, stored=tuple(self.frozen.get(role, ())))
            for role, network in self.networks.items()
        }
        # No decay: the first moment after one update is then a tenth of the gradient.
        optimizer = ml_collections.ConfigDict({"b1": 0.9, "b2": 0.999, "eps": 1e-8, "l2": 0.0})
        self.tx = make_optimizer(optimizer, lambda step: 1e-4)
        variables = init_roles(models, init_variables, 0)
        self.variables = jax.tree.map(lambda leaf: np.asarray(leaf, args.dtype), variables)
        self.mesh = devices.make_mesh(ml_collections.ConfigDict({"mesh": {"devices": devices_}}))
        loss_fn = make_loss(ml_collections.ConfigDict(losses))
        step_fn = make_train_step(
            models,
            loss_fn,
            self.tx,
            self.trainable,
            frozen_parts=self.frozen,
            mesh=self.mesh,
            **options,
        )
        self.step_fn = step_fn.lower(self.state(), self.batch(0, 1)).compile(CHEAP)

    def state(self):
        state = make_state(self.variables, self.tx, self.trainable, self.frozen)
        return devices.replicate(state, self.mesh)

    def batch(self, seed, order):
        return devices.put_batch(drawn_batch(seed, order), self.mesh)

    def __call__(self, order=1):
        """What came out; `order` -1 turns the samples of every batch round."""
        state, metrics = self.step_fn(self.state(), self.batch(0, order))
        moments = adam_moments(jax.device_get(state), self.trainable, self.frozen)[0]
        moments = jax.tree.leaves(moments)
        first = {"losses": {k: float(v) for k, v in metrics.items()},
                 "norms": [float(np.linalg.norm(moment)) * 10 for moment in moments]}  # fmt: skip
        every = [metrics]
        for step in range(1, STEPS):
            state, metrics = self.step_fn(state, self.batch(step, order))
            every.append(metrics)
        moved, kept = [], []
        for kind in ("params", "batch_stats"):
            after = jax.device_get(getattr(state, kind))
            for role, before in self.variables.items():
                for part, old in before[kind].items():
                    pairs = list(zip(*map(jax.tree.leaves, (old, after[role][part])), strict=True))
                    if role not in self.trainable or part in self.frozen.get(role, ()):
                        kept += [bool((old == new).all()) for old, new in pairs]
                    elif kind == "params":
                        moved += [(np.asarray(new, "f8") - old).ravel() for old, new in pairs]
        return {
            **first,
            "every": {k: [float(values[k]) for values in every] for k in metrics},
            "moved": np.concatenate(moved).tolist(),
            "frozen_kept": all(kept),
            "devices": self.mesh.size,
        }


def main():
    process.keep_freed_memory()
    others = (f"127.0.0.1:{args.port}", 2, args.index) if args.port else ()
    with joined(*others):
        print(json.dumps(results()))


def results():
    """What the runs gave, by their names."""
    results = {}
    for name, options in json.loads(args.runs).items():
        turned = options.pop("turned", False)
        run = Run(options.pop("recipe"), options.pop("devices", 0), **options)
        results[name] = run()
        if turned:
            results[f"{name}, turned"] = run(-1)
    return results


if __name__ == "__main__":
    main()
