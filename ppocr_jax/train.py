"""Trains the networks of a config; run again with the same workdir to continue.

    python -m ppocr_jax.train --config configs/quickstart.py --workdir runs/quickstart
    python -m ppocr_jax.train --config configs/ppocrv3_det_mobile.py --workdir runs/mobile \\
        --config.data.root=icdar2015 --config.init_from.student=student.pdparams

The same command continues a run that was stopped. With more --config.steps, another
--config.learning_rate or --config.warmup_epochs it continues with a new cosine schedule over the
remaining steps.

The workdir gets `checkpoints/` (`checkpoints.json` names the best and the latest), `config.json`,
`metrics.jsonl`, TensorBoard `events/` and, when the run ends or stops, `results.html` with curves,
what the best checkpoint finds and misses, and what to type next, and `predictions.png`.

Several processes: Slurm, Open MPI and TPU pods start one per host or GPU. Elsewhere start each with
`--coordinator_address=HOST:PORT --num_processes=N --process_id=I` and otherwise equal arguments.
"""

from ppocr_jax import cli
from ppocr_jax.processes.joining import joined
from ppocr_jax.runtime import process
from ppocr_jax.training.loop import train
from ppocr_jax.training.signals import Stopped


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    arguments = cli.parser(__doc__)
    arguments.add_argument("--workdir", required=True, help="folder of the run")
    arguments.add_argument("--coordinator_address", help="HOST:PORT of the first process")
    arguments.add_argument("--num_processes", type=int, help="number of processes")
    arguments.add_argument("--process_id", type=int, help="index of this process, from 0")
    args, config = cli.parse(arguments, argv)
    process.prepare()
    with joined(args.coordinator_address, args.num_processes, args.process_id):
        try:
            train(config, args.workdir, cli.given_keys(argv))
        except Stopped as stopped:
            return 128 + stopped.number
    return 0


if __name__ == "__main__":
    cli.run(main)
