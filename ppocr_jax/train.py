"""Trains the networks of a config; run again with the same workdir, it continues.

    python -m ppocr_jax.train --config configs/quickstart.py --workdir runs/quickstart
    python -m ppocr_jax.train --config configs/ppocrv3_det_mobile.py --workdir runs/mobile \\
        --config.data.root=icdar2015 --config.init_from.student=student.pdparams

Slurm, Open MPI and TPU pods start one process per host or card; elsewhere start each with
`--coordinator_address=HOST:PORT --num_processes=N --process_id=I` and the same other arguments.

Run again, it goes on where it stopped. With more --config.steps, another --config.learning_rate or
--config.warmup_epochs it goes on in a new cosine, over the steps that are added.

The workdir gets `checkpoints/` (best and latest, which `checkpoints.json` names), `config.json`,
`metrics.jsonl`, TensorBoard `events/` and, at the end or a stop, `results.html`: curves, what the
best state finds and misses, and what to type next; `predictions.png` shows the best state too.
"""

from ppocr_jax import cli
from ppocr_jax.processes.joining import joined
from ppocr_jax.runtime import process
from ppocr_jax.training.loop import train
from ppocr_jax.training.signals import Stopped


def main(argv):
    arguments = cli.parser(__doc__)
    arguments.add_argument("--workdir", required=True, help="folder of the run")
    arguments.add_argument("--coordinator_address", help="host:port of the first process")
    arguments.add_argument("--num_processes", type=int, help="how many processes there are")
    arguments.add_argument("--process_id", type=int, help="which one this is, from 0")
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
