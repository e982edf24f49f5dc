"""Packs the images and labels of a dataset into a few large files, for network disks.

    python -m ppocr_jax.pack --config configs/ppocrv3_det_mobile.py --config.data.root=icdar2015 \\
        --output packed

`packed/` gets ArrayRecord shards, with an unchanged image file and its labels in each record, and
`train.txt` and `val.txt`, which list them. A run with `--config.data.root=packed` has bit-identical
batches to one from the original files. Damaged records are reported with their shard and treated
like damaged images. Evaluation, check_data and show_data read shards as well.
"""

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.data.packing import pack
from ppocr_jax.errors import UserError, shown, shows_progress


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--output", required=True, metavar="DIR", help="folder to create")
    add("--shard-mb", type=float, default=256, metavar="MB",
        help="size of a shard, 1 to 100000 MB; default: 256")  # fmt: skip
    args, config = cli.parse(arguments, argv)
    configs.check(config)
    if not 1 <= args.shard_mb <= 100_000:
        raise UserError(f"--shard-mb {args.shard_mb:g}: should be 1 to 100000")
    for line in pack(config, args.output, int(args.shard_mb * 1e6), shows_progress()):
        print(shown(line))
    return 0


if __name__ == "__main__":
    cli.run(main)
