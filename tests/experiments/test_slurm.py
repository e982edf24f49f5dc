"""The job script for Slurm, with two processes on this machine instead of two nodes."""

import json
import os
import random
import subprocess
import sys

import pytest
from tiny import ROOT, draw_data, write_config

SCRIPT = ROOT / "experiments" / "slurm" / "train.sbatch"
# Replaces srun: starts the command once per task, with Slurm's variables. With a time limit it
# stops the tasks after their first checkpoint.
SRUN = """
import os, pathlib, subprocess, sys, time

command = sys.argv[1:]
while command[0].startswith("--"):
    command.pop(0)
tasks = [
    subprocess.Popen(command, env={**os.environ, "SLURM_STEP_NODELIST": "127.0.0.1",
                     "SLURM_PROCID": str(index), "SLURM_LOCALID": "0"})
    for index in range(int(os.environ["SLURM_NTASKS"]))
]
if os.environ["LIMITED"]:
    while not pathlib.Path(os.environ["WORKDIR"], "checkpoints", "2").is_dir():
        time.sleep(0.05)
    for task in tasks:
        task.terminate()
sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = "import os, sys; open(os.environ['QUEUED'], 'a').write(' '.join(sys.argv[1:]))"


@pytest.fixture
def job(tmp_path):
    """Runs the script as Slurm does, with options of `train`; returns the finished process."""
    (tmp_path / "bin").mkdir()
    for name, program in (("srun", SRUN), ("scontrol", SCONTROL)):
        path = tmp_path / "bin" / name
        path.write_text(f"#!{sys.executable}\n{program}")
        path.chmod(0o755)

    def run(*options, limited=False):
        env = {
            **os.environ,
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "PYTHON": sys.executable,
            "CONFIG": str(write_config(tmp_path, draw_data(tmp_path / "data"))),
            "WORKDIR": str(tmp_path / "run"),
            "QUEUED": str(tmp_path / "queued"),
            "LIMITED": "yes" * limited,
            "SLURM_JOB_ID": str(random.randrange(10**6)),
            "SLURM_NTASKS": "2",
            "JAX_PLATFORMS": "cpu",
        }
        command = ["bash", str(SCRIPT), *options]
        return subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
        )

    return run


@pytest.mark.long
def test_a_job_that_reaches_its_time_limit_is_requeued_and_resumes(job, tmp_path):
    steps = ("--config.steps=40", "--config.save.every_steps=2", "--config.log.every_steps=1")
    first = job(*steps, limited=True)
    assert first.returncode == 143, first.stderr
    assert (tmp_path / "queued").read_text().startswith("requeue ")

    second = job(*steps)
    assert second.returncode == 0, second.stderr
    assert "done: 40 steps" in second.stderr
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["step"] for r in records if r["kind"] == "train"] == list(range(1, 41))
    assert {r["processes"] for r in records if r["kind"] == "start"} == {2}
