"""Turns a PaddleOCR config of the text detector into one of ours.

    python -m ppocr_jax.convert_config PP-OCRv3_det_cml.yml --output configs/mine.py
    python -m ppocr_jax.convert_config PP-OCRv3_mobile_det.yml --output configs/mine.py --cards 4 \\
        -o Global.pretrained_model=student Train.dataset.data_dir=icdar2015

`-o` overrides values as in PaddleOCR. `--cards` is how many cards the file was meant for: batch
sizes are per card there and of the whole update here. Every value of the file ends in one of three
lists, which are printed: carried, without meaning here, not carried, each with its place or its
reason; a term of the loss that is lost as a whole is one line under "to be known". What is not
carried also stands at the top of the written file.
"""

import importlib
import pathlib

from ppocr_jax import cli
from ppocr_jax import config as configs
from ppocr_jax.errors import UserError, shown
from ppocr_jax.files import write_text
from ppocr_jax.paddle_config.conversion import MARK, convert, report, write


def save(text, output, config):
    """Writes the file and loads it as a run would.

    Raises:
        UserError: a file that this command has not written stands there, or the loaded config
            is not `config`.
    """
    output = pathlib.Path(output)
    if output.suffix != ".py":
        raise UserError(f"--output {output}: a config is Python, name it such as configs/mine.py")
    if output.exists() and MARK not in output.read_text(encoding="utf-8", errors="replace")[:200]:
        raise UserError(f"--output {output}: a file that was not converted stands there")
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, text)
    importlib.invalidate_caches()
    _, written = cli.parse(cli.parser(""), ["--config", str(output)])
    if configs.plain(written) != configs.plain(config):
        raise UserError(f"--output {output}: loads as another config than was meant")


def main(argv):
    arguments = cli.parser(__doc__)
    arguments.add_argument("yaml", help="config of PaddleOCR, .yml")
    arguments.add_argument("--output", required=True, help="config to write, .py")
    arguments.add_argument("--cards", type=int, default=1, help="cards that the file is meant for")
    arguments.add_argument(
        "-o", "--opt", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="overrides values of the file, as in PaddleOCR",
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
