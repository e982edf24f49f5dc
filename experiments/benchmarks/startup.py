"""Time from the start of the process to the first step, with an empty and with a filled cache."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from ml_collections import ConfigDict

from experiments.benchmarks.host import make_config
from experiments.benchmarks.measure import Row


def run(args: argparse.Namespace, folder: str) -> Iterator[Row]:
    """Seconds to the first step and of compilation, twice with the same cache folder."""
    config = make_config(args, folder)
    crop, size = (128, 2) if args.quick else (640, 2)
    with tempfile.TemporaryDirectory() as cache:
        for label in ("cold", "with a filled cache"):
            seconds, compiling = _first_step(config, cache, crop, size)
            yield f"{size} x {crop}x{crop}", f"first step, {label}", seconds, "s"
            yield f"{size} x {crop}x{crop}", f"compilation, {label}", compiling, "s"


def _first_step(config: ConfigDict, cache: str, crop: int, size: int) -> tuple[float, float]:
    """Seconds until the command logs its first step, and seconds of its compilation."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache}
    compiling = 0.0
    with tempfile.TemporaryDirectory() as workdir:
        command = [
            sys.executable, "-m", "ppocr_jax.train", "--config", "configs/ppocrv3_det_mobile.py",
            "--workdir", workdir, f"--config.data.root={config.data.root}",
            f"--config.crop={crop}", f"--config.batch_size={size}", "--config.steps=1",
            "--config.log.every_steps=1",
        ]  # fmt: skip
        started = time.perf_counter()
        with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:  # fmt: skip
            for line in process.stdout or ():
                if found := re.search(r"step ready in ([\d.]+) s", line):
                    compiling = float(found[1])
                if line.startswith("step 1/"):
                    seconds = time.perf_counter() - started
                    process.kill()
                    return seconds, compiling
    raise RuntimeError(f"{' '.join(command)}: ended before its first step")
