"""Packs the pictures and labels of a config into a few large files, for network disks.

    python -m ppocr_jax.pack --config configs/ppocrv3_det_mobile.py --config.data.root=icdar2015 \\
        --output packed

`packed/` then holds shards of ArrayRecord, each record a picture's file as it is with its labels,
and `train.txt` and `val.txt`, which name them: a run with `--config.data.root=packed` has the same
batches, bit for bit, as one from the files. A record that is damaged is named with its shard and
treated as a damaged picture is. Evaluation, check_data and show_data read them as well.
"""

import sys

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.data.packing import pack
from ppocr_jax.errors import UserError, shown


def main(argv):
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--output", required=True, metavar="DIR", help="folder to make")
    add("--shard-mb", type=float, default=256, metavar="MB",
        help="pictures of a shard, 1 to 100000 MB; default: 256")  # fmt: skip
    args, config = cli.parse(arguments, argv)
    configs.check(config)
    if not 1 <= args.shard_mb <= 100_000:
        raise UserError(f"--shard-mb {args.shard_mb:g}: should be 1 to 100000")
    for line in pack(config, args.output, int(args.shard_mb * 1e6), sys.stderr.isatty()):
        print(shown(line))
    return 0


if __name__ == "__main__":
    cli.run(main)
