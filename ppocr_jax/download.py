"""Downloads PaddleOCR's published weights by name into the cache folder.

    python -m ppocr_jax.download --list
    python -m ppocr_jax.download MobileNetV3_large_x0_5_pretrained

A name also works wherever a command takes weights, which then downloads it if necessary:

    python -m ppocr_jax.train --config configs/ppocrv3_det_mobile.py --workdir runs/mobile \\
        --config.init_from.student=MobileNetV3_large_x0_5_pretrained

A local file of that name, with or without `.pdparams`, takes precedence, then the cache. A download
is kept only if its SHA-256 is that of the published file. For files whose hash is not known here,
the hash of the first download is printed and stored in `NAME.json` in the cache, and a later file
that differs is refused. An interrupted download resumes when the command is run again.

Environment variables:
    PPOCR_JAX_CACHE        folder of the downloaded weights; default: the user's cache folder
    PPOCR_JAX_WEIGHTS_URL  a mirror, instead of https://paddleocr.bj.bcebos.com
    PPOCR_JAX_TIMEOUT      give up an attempt after this many seconds without data; default: 30
"""

from ppocr_jax import cli
from ppocr_jax.errors import UserError
from ppocr_jax.weights.fetch import describe, fetch


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    arguments = cli.parser(__doc__)
    arguments.add_argument("name", nargs="*", metavar="NAME", help="published weights to download")
    arguments.add_argument("--list", action="store_true", help="list the published weights")
    args = arguments.parse_args(argv)
    if args.list == bool(args.name):
        raise UserError("give either --list or one or more NAMEs to download")
    if args.list:
        print("\n".join(describe()))
    for name in args.name:
        print(fetch(name.removesuffix(".pdparams")))
    return 0


if __name__ == "__main__":
    cli.run(main)
