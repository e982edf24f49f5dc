"""Compiles the training step for an H100, on a machine with or without one."""

import importlib.util
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding
from ml_collections import ConfigDict

from experiments.benchmarks.measure import random_batch
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import Detector, init_variables
from ppocr_jax.optim import make_optimizer
from ppocr_jax.runtime.platform import assume
from ppocr_jax.training.packed import pack
from ppocr_jax.training.state import init_roles, make_state
from ppocr_jax.training.step import make_train_step

PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin")
# What XLA wants to know of a device: as an H100 reports it.
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84978434048 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def is_there() -> bool:
    """Whether programs for NVIDIA GPUs can be compiled here: JAX's CUDA plugin is installed."""
    return any(importlib.util.find_spec(name) for name in PLUGINS)


def describe_h100() -> topologies.TopologyDescription:
    """The H100 that programs are compiled for; its first device is where their inputs are placed.

    JAX's platform must be "cpu" where there is no GPU (`JAX_PLATFORMS`, `runtime.process`): left to
    itself, JAX asks the CUDA libraries for their versions, which they do not tell without a driver,
    and drops the plugin ("Unable to load cuPTI", "topology not implemented for cuda").
    """
    return topologies.get_topology_desc(
        "h100", platform="cuda", target_config=H100, topology="1x1x1"
    )


def compile_step(
    config: ConfigDict, models: Mapping[str, Detector], shape: tuple[int, int]
) -> jax.stages.Compiled:
    """Compiles the training step of a config for an H100, without autotuning.

    The libraries' algorithms are chosen by trials on the device, so those stay open.

    Args:
        config: a whole config.
        models: `{role: Detector}`.
        shape: `(images per batch, side in pixels)`.
    """
    sharding = SingleDeviceSharding(describe_h100().devices[0])
    tx = make_optimizer(config.optimizer, lambda step: 1e-4)

    def first_state():
        variables = init_roles(models, init_variables, config.seed)
        return pack(make_state(variables, tx, config.trainable), config.trainable)

    def first_batch():
        return jax.tree.map(jnp.asarray, random_batch(*shape))

    # Shapes alone are enough to compile: no parameter is computed.
    with assume("gpu"):
        arguments = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            (jax.eval_shape(first_state), jax.eval_shape(first_batch)),
        )
        step = make_train_step(models, make_loss(config.loss), tx, config.trainable)
        return step.trace(*arguments).lower(lowering_platforms=("cuda",)).compile()
