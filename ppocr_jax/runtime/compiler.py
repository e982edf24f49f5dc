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


def compiler_options(little_memory=False):
    """What a step is compiled with: options of XLA by name; none but on CPU."""
    if platform() != "cpu":
        return {}
    speed = OWN_PRODUCTS if _are_known(*OWN_PRODUCTS.items()) else {}
    return {**speed, **(LITTLE_MEMORY if little_memory else {})}


@functools.cache
def _are_known(*options):
    """Whether this release of XLA has these options; what is experimental goes without notice."""
    try:
        jax.jit(lambda: 0, compiler_options=dict(options)).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
