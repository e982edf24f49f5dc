"""Downloads PaddleOCR's published weights by name, into the user's cache.

    python -m ppocr_jax.download --list
    python -m ppocr_jax.download MobileNetV3_large_x0_5_pretrained

A name also works wherever weights are asked for, and is downloaded when it is not there yet:

    python -m ppocr_jax.train --config configs/ppocrv3_det_mobile.py --workdir runs/mobile \\
        --config.init_from.student=MobileNetV3_large_x0_5_pretrained

A local file of that name, with or without `.pdparams`, comes first, then the cache. A file is kept
only when it is the published one by its sha256. Where that is not known here, the first download
is printed and recorded in `NAME.json` in the cache, and a file that differs later is refused. A
broken download goes on where it stopped, also when the command is given again.

Environment variables:
    PPOCR_JAX_CACHE        folder of the downloaded weights; default: the user's cache folder
    PPOCR_JAX_WEIGHTS_URL  a mirror, instead of https://paddleocr.bj.bcebos.com
    PPOCR_JAX_TIMEOUT      seconds without a byte after which an attempt is given up; default: 30
"""

from ppocr_jax import cli
from ppocr_jax.errors import UserError
from ppocr_jax.weights.fetch import describe, fetch


def main(argv):
    arguments = cli.parser(__doc__)
    arguments.add_argument("name", nargs="*", metavar="NAME", help="what to download")
    arguments.add_argument("--list", action="store_true", help="say what there is")
    args = arguments.parse_args(argv)
    if args.list == bool(args.name):
        raise UserError("say either --list or what to download by NAME")
    if args.list:
        print("\n".join(describe()))
    for name in args.name:
        print(fetch(name.removesuffix(".pdparams")))
    return 0


if __name__ == "__main__":
    cli.run(main)
