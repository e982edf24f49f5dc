"""Converts a PaddleOCR config of the text detector into a config file.

    python -m ppocr_jax.convert_config PP-OCRv3_det_cml.yml --output configs/mine.py
    python -m ppocr_jax.convert_config PP-OCRv3_mobile_det.yml --output configs/mine.py --cards 4 \\
        -o Global.pretrained_model=student Train.dataset.data_dir=icdar2015

`-o` overrides values as in PaddleOCR. `--cards` is the number of GPUs that the file was meant for:
its batch size is per GPU, ours is for the whole update. Every value of the file is printed in one
of three lists, with its new key or the reason: carried, without meaning here, not carried.
A loss term that is lost as a whole is one line under "to be known". What is not carried is also
listed at the top of the written file.
"""

import importlib
import pathlib

import ml_collections

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.errors import UserError, shown
from ppocr_jax.files import write_text
from ppocr_jax.paddle_config.conversion import MARK, convert, report, write


def save(text: str, output: str, config: ml_collections.ConfigDict) -> None:
    """Writes the file and loads it again as a run would.

    Raises:
        UserError: another file that this command did not write exists there, or the loaded config
            differs from `config`.
    """
    path = pathlib.Path(output)
    if path.suffix != ".py":
        raise UserError(f"--output {path}: a config is Python: use a name such as configs/mine.py")
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace")[:200]:
        raise UserError(
            f"--output {path}: exists and was not written by this command: use another name"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    importlib.invalidate_caches()
    _, written = cli.parse(cli.parser(""), ["--config", str(path)])
    if configs.plain(written) != configs.plain(config):
        raise UserError(f"--output {path}: the written file loads as a different config")


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    arguments = cli.parser(__doc__)
    arguments.add_argument("yaml", help="PaddleOCR config, .yml")
    arguments.add_argument("--output", required=True, help="config file to write, .py")
    arguments.add_argument("--cards", type=int, default=1, help="GPUs that the file was meant for")
    arguments.add_argument(
        "-o", "--opt", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="override values of the file, as in PaddleOCR",
    )  # fmt: skip
    args = arguments.parse_args(argv)
    if args.cards < 1:
        raise UserError(f"--cards {args.cards}: should be at least 1")
    conversion, workdir = convert(args.yaml, args.opt, args.cards)
    text = write(conversion, workdir, args.output)
    save(text, args.output, conversion.config)
    print("\n".join(map(shown, report(conversion, args.cards))))
    print(f"{args.yaml} -> {args.output}")
    return 0


if __name__ == "__main__":
    cli.run(main)
