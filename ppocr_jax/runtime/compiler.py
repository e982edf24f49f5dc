"""Options of XLA that programs are compiled with."""

import functools

import jax

from ppocr_jax.runtime.platform import platform

# XLA's CPU backend hands convolutions and products to YNNPACK as well. On small maps and narrow
# gradients its own are faster, and on large maps no slower; reductions are faster in YNNPACK.
OWN_PRODUCTS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
# XLA's CPU backend drops optimization barriers, and merges what is made again with what it is made
# from; it also orders a program for speed. These keep the barriers and order it for memory.
LITTLE_MEMORY = {
    "xla_disable_hlo_passes": "cse_barrier_expander",
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
}
# XLA's GPU backend tries every algorithm of the libraries for a product or a convolution.
ON_GPU = {
    # It compares the results of all of them as well, unless it is told to measure time alone.
    "xla_gpu_autotune_level": 3,
    # It would compile dozens of kernels of its own for each product too, to measure them.
    "xla_gpu_enable_triton_gemm": False,
    # It would join products that share a factor, and copy their gradients together for that.
    "xla_gpu_dot_merger_threshold_mb": 0,
    # It would keep a sum of bfloat16 in float32 where that saves a rounding: twice the bytes.
    "xla_allow_excess_precision": False,
}


def compiler_options(little_memory=False):
    """What a step is compiled with: options of XLA by name."""
    if platform() != "cpu":
        return gpu_options()
    return {**known_options(OWN_PRODUCTS), **(LITTLE_MEMORY if little_memory else {})}


def gpu_options():
    """What every program of a network is compiled with on a GPU; none elsewhere."""
    return known_options(ON_GPU) if platform() == "gpu" else {}


def known_options(options):
    """Those of the options that this release of XLA has; what is experimental goes unannounced."""
    return {name: value for name, value in options.items() if _is_known(name, value)}


@functools.cache
def _is_known(name, value):
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
