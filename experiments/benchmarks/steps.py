"""The training step of student, CML and DML, beside the same step in PyTorch."""

import importlib
import importlib.util
import time

import jax
import jax.numpy as jnp

from experiments.benchmarks.measure import draw_batch, take_turns
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.optim import make_optimizer
from ppocr_jax.roles import init_roles, make_state
from ppocr_jax.train_step import make_train_step

CONFIGS = {
    "student": "configs.ppocrv3_det_mobile",
    "CML": "configs.ppocrv3_det_cml",
    "DML": "configs.ppocrv3_det_dml",
}
WIDTHS = ("float32", "bfloat16")
CPU_CASES = (
    ("student", 640, 2, "float32"),
    ("student", 640, 1, "float32"),
    ("student", 640, 4, "float32"),
    ("student", 640, 2, "bfloat16"),
    ("student", 960, 1, "float32"),
    ("CML", 320, 1, "float32"),
    ("CML", 640, 1, "float32"),
    ("DML", 256, 1, "float32"),
)
QUICK_CASES = (("student", 128, 2, "float32"),)
ROUNDS, QUICK_ROUNDS = 9, 3
LOSS_RTOL, NORM_RTOL = 1e-4, 2e-2  # of both sides, before anything is timed


class OurStep:
    """One update; calling it gives the loss."""

    def __init__(self, config, dtype):
        self.models = {
            role: build_detector(network, dtype) for role, network in config.roles.items()
        }
        self.variables = init_roles(self.models, init_variables, config.seed)
        tx = make_optimizer(config.optimizer, lambda step: 1e-4)
        state = make_state(self.variables, tx, config.trainable)
        self.state = jax.tree.map(jnp.array, state)  # the step donates what it is given
        self.variables = jax.device_get(self.variables)
        step = make_train_step(self.models, make_loss(config.loss), tx, config.trainable)
        self._step = step
        self.compile_seconds = self.memory = None

    def compile(self, batch):
        started = time.perf_counter()
        self._step = self._step.lower(self.state, batch).compile()
        self.compile_seconds = time.perf_counter() - started
        self.memory = self._step.memory_analysis()
        return self

    def __call__(self, batch):
        self.state, metrics = self._step(self.state, batch)
        return {name: float(metrics[name]) for name in ("total", "grad_norm")}


def load(name):
    return importlib.import_module(CONFIGS[name]).get_config()


def gpu_cases():
    """The published crop, at growing batches, in both widths of numbers."""
    sizes = {"student": (8, 32, 64), "CML": (8, 16), "DML": (4, 8)}
    return [(name, 960, size, width) for name in sizes for size in sizes[name] for width in WIDTHS]


def run(args, _):
    on_gpu = jax.default_backend() == "gpu"
    for case in QUICK_CASES if args.quick else gpu_cases() if on_gpu else CPU_CASES:
        yield from _case(*case, QUICK_ROUNDS if args.quick else ROUNDS)


def _case(name, side, size, dtype, rounds):
    config, case = load(name), f"{name} {size} x {side}x{side} {dtype}"
    arrays = draw_batch(size, side)
    batch = jax.tree.map(jnp.asarray, arrays)
    ours = OurStep(config, dtype).compile(batch)
    yield case, "compile", ours.compile_seconds, "s"
    yield case, "temporaries, by the compiler", ours.memory.temp_size_in_bytes / 2**30, "GiB"
    sides = {"ppocr_jax": lambda: ours(batch)}
    first = ours(batch)
    if importlib.util.find_spec("torch"):
        for label, step, given in _torch_sides(config, ours, dtype, arrays):
            started = time.perf_counter()
            total = float(step.gradients(given))
            yield case, f"first step, {label}", time.perf_counter() - started, "s"
            if dtype == "float32":
                _compare(case, label, first, total, step.gradient_norm())
            sides[label] = lambda step=step, given=given: step(given)
    for _ in range(2):
        for function in sides.values():
            function()
    seconds = take_turns(sides, rounds)
    for label, value in seconds.items():
        yield case, f"step, {label}", value * 1e3, "ms"
        if label != "ppocr_jax":
            yield case, f"{label} / ppocr_jax", value / seconds["ppocr_jax"], "x"
    yield case, "ppocr_jax", size / seconds["ppocr_jax"], "images/s"


def _torch_sides(config, ours, dtype, arrays):
    """PyTorch's ways to make the same update: eager, channels last, compiled."""
    import torch

    from experiments.benchmarks.torch_side import TorchStep

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    forms = {
        "PyTorch eager": dict(channels_last=False),
        "PyTorch channels-last": dict(channels_last=True),
        "torch.compile": dict(channels_last=True, compiled=True),
    }
    for label, options in forms.items():
        step = TorchStep(config, ours.models, ours.variables, device, dtype=kind, **options)
        yield label, step, step.put(arrays)


def _compare(case, label, ours, total, norm):
    """Both sides start from the same numbers: loss and gradient have to be the same."""
    if abs(total - ours["total"]) > LOSS_RTOL * abs(ours["total"]):
        raise AssertionError(f"{case}, {label}: loss {total}, ours {ours['total']}")
    if abs(norm - ours["grad_norm"]) > NORM_RTOL * ours["grad_norm"]:
        raise AssertionError(f"{case}, {label}: gradient {norm}, ours {ours['grad_norm']}")
