"""XLA options for compiled programs."""

import functools
from collections.abc import Mapping
from typing import Any

import jax

from ppocr_jax.runtime.platform import platform

# XLA's CPU backend also gives convolutions and products to YNNPACK. Its own are faster on small
# maps and narrow gradients and no slower on large ones; reductions are faster in YNNPACK.
OWN_PRODUCTS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
# XLA's CPU backend drops optimization barriers, merges rematerialised values with the originals,
# and schedules for speed. These options keep the barriers and schedule for memory.
LITTLE_MEMORY = {
    "xla_disable_hlo_passes": "cse_barrier_expander",
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
}
# XLA's GPU backend autotunes: it tries every library algorithm for a product or a convolution.
ON_GPU = {
    # Measure time only; the default also compares the results of all algorithms.
    "xla_gpu_autotune_level": 3,
    # Do not compile and measure dozens of Triton kernels for each product.
    "xla_gpu_enable_triton_gemm": False,
    # Do not merge products with a shared factor, which would copy their gradients together.
    "xla_gpu_dot_merger_threshold_mb": 0,
    # Keep bfloat16 sums in bfloat16: in float32 they save a rounding but take twice the bytes.
    "xla_allow_excess_precision": False,
}


def compiler_options(little_memory: bool = False) -> dict[str, Any]:
    """XLA options for the training step, by name."""
    if platform() != "cpu":
        return gpu_options()
    return {**known_options(OWN_PRODUCTS), **(LITTLE_MEMORY if little_memory else {})}


def gpu_options() -> dict[str, Any]:
    """XLA options for all programs on a GPU; {} on other platforms."""
    return known_options(ON_GPU) if platform() == "gpu" else {}


def known_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Drops options that this release of XLA does not have: experimental ones come and go."""
    return {name: value for name, value in options.items() if _is_known(name, value)}


@functools.cache
def _is_known(name, value):
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
