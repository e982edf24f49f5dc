"""Extracts one network from a run, as a small checkpoint or in PaddleOCR's format.

    python -m ppocr_jax.extract --weights runs/mobile --role student --output student_dir
    python -m ppocr_jax.extract --weights runs/mobile --role student --output student.pdparams
    python -m ppocr_jax.extract --weights runs/cml --role all --output tree.pdparams
    python -m ppocr_jax.extract --weights best_accuracy.pdparams --role teacher --output teacher
    python -m ppocr_jax.extract --weights ch_PP-OCRv3_det_infer.onnx --output student.pdparams
    python -m ppocr_jax.extract --weights runs/mobile --list

`--weights` is a workdir (its best checkpoint), `<workdir>/latest`, `<workdir>/<step>`, an extracted
folder, a `.pdparams` file or an ONNX file with unfolded batch norm, as PaddleOCR publishes them. An
output that ends in `.pdparams` has PaddlePaddle's names and layouts; with `--role all` it has the
form of PaddleOCR's distillation files. Any other output is a folder that every command accepts as
weights.
"""

from ppocr_jax import cli
from ppocr_jax.errors import UserError, shown
from ppocr_jax.runtime import process
from ppocr_jax.shipping.extraction import describe, extract


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    arguments = cli.parser(__doc__)
    arguments.add_argument("--weights", required=True, help="weights to extract from")
    arguments.add_argument("--role", help="network to extract, or all; needed if there are several")
    arguments.add_argument("--output", help="folder or .pdparams file to write")
    arguments.add_argument("--list", action="store_true", help="only list the networks in it")
    args, _ = cli.parse(arguments, argv, needs_config=False)
    process.prepare()
    if args.list:
        print("\n".join(map(shown, describe(args.weights))))
        return 0
    if not args.output:
        raise UserError("--output is missing: a folder or a .pdparams file")
    print(shown(extract(args.weights, args.role, args.output)))
    return 0


if __name__ == "__main__":
    cli.run(main)
