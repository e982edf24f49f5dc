"""Puts a batch on four devices both ways; run with four simulated ones."""

import sys

import jax
import numpy as np
from tiny import load_config

from ppocr_jax import devices
from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.pipeline import make_batches
from ppocr_jax.training import feed

if __name__ == "__main__":
    config = load_config(sys.argv[1])
    mesh = devices.mesh_of(jax.devices()[::-1])  # places in the batch are those of the mesh
    with make_batches(read_sources(config.data.train, config.data.root), config, 0, 1) as batches:
        batch = next(batches)
    here, there = feed.put(batch, mesh), feed.put_packed(batch, mesh)
    for name in here:
        assert len(there[name].sharding.device_set) == 4
        assert here[name].sharding == there[name].sharding
        np.testing.assert_array_equal(here[name], there[name], name)
    print(len(here), "arrays are the same")
