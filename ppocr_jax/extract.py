"""Takes one network out of a run, as a small checkpoint of its own or as PaddleOCR's file.

    python -m ppocr_jax.extract --weights runs/mobile --role student --output student_dir
    python -m ppocr_jax.extract --weights runs/mobile --role student --output student.pdparams
    python -m ppocr_jax.extract --weights runs/cml --role all --output tree.pdparams
    python -m ppocr_jax.extract --weights best_accuracy.pdparams --role teacher --output teacher
    python -m ppocr_jax.extract --weights ch_PP-OCRv3_det_infer.onnx --output student.pdparams
    python -m ppocr_jax.extract --weights runs/mobile --list

`--weights` is a workdir (its best state), `<workdir>/latest`, `<workdir>/<step>`, an extracted
folder, a `.pdparams` file or an ONNX file whose batch norm is not folded, as PaddleOCR publishes
them. An output that ends in `.pdparams` is written with PaddlePaddle's names and layouts, with
`--role all` as PaddleOCR's distillation files; any other is a folder that every command takes as
weights.
"""

from ppocr_jax import cli
from ppocr_jax.errors import UserError, shown
from ppocr_jax.runtime import process
from ppocr_jax.shipping.extraction import describe, extract


def main(argv):
    arguments = cli.parser(__doc__)
    arguments.add_argument("--weights", required=True, help="where to take it from")
    arguments.add_argument("--role", help="which network, needed when there are several, or all")
    arguments.add_argument("--output", help="folder or .pdparams file to write")
    arguments.add_argument("--list", action="store_true", help="only say what is in it")
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
