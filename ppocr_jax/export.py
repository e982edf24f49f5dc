"""Ships a network as one file, and proves that the file does what the checkpoint does.

    python -m ppocr_jax.export --weights runs/cml --role student --output student.onnx
    python -m ppocr_jax.export --weights runs/cml --role all     --output cml.pdparams
    python -m ppocr_jax.export --weights runs/cml --role student --output student.stablehlo
    python -m ppocr_jax.export --weights student.pdparams --output student.onnx --opset 17 \\
           --config.postprocess.box_thresh=0.5

The output's ending decides: `.onnx` for onnxruntime and RapidOCR, `.pdparams` for PaddleOCR's own
tools, `.stablehlo` for `jax.export.deserialize` (weights inside, no ppocr_jax needed). Beside it a
`.json` says how to use it. The written file is run on images at three sizes; where its maps or
boxes are not those of the checkpoint, it is renamed to `.failed` and the exit status is 2.
"""

from etils import epath

from ppocr_jax import cli, config_files
from ppocr_jax import config as configs
from ppocr_jax.data.splits import prepare_root
from ppocr_jax.errors import UserError, shown
from ppocr_jax.onnx_files.writer import OPSETS
from ppocr_jax.runtime import process
from ppocr_jax.shipping import deployment
from ppocr_jax.shipping.exporting import TOLERANCES, export


def make_form(args):
    """`deployment.Form` from the options.

    Raises:
        UserError: an ending that is not known, or an option that does not go with it.
    """
    suffix = epath.Path(args.output).suffix
    if suffix not in TOLERANCES:
        raise UserError(f"--output {args.output}: should end in {', '.join(TOLERANCES)}")
    only_onnx = {
        "--opset": args.opset is not None,
        "--include-normalisation": args.include_normalisation,
        "--keep-batch-norm": args.keep_batch_norm,
        "--quantize": args.quantize,
    }
    misplaced = [name for name, given in only_onnx.items() if given and suffix != ".onnx"]
    if args.fixed_shape and suffix == ".pdparams":
        misplaced.append("--fixed-shape")
    if misplaced:
        raise UserError(f"{misplaced[0]}: does not go with an output that ends in {suffix}")
    if args.role == "all" and suffix != ".pdparams":
        raise UserError(f"--role all: a {suffix} file holds one network; only .pdparams holds all")
    if args.quantize and args.keep_batch_norm:
        raise UserError("--keep-batch-norm: does not go with --quantize, which needs it folded")
    return deployment.Form(
        suffix,
        args.opset or OPSETS[0],
        parse_shape(args.fixed_shape),
        args.include_normalisation,
        args.keep_batch_norm,
        args.quantize,
    )


def parse_shape(text):
    """`736x1280` as (height, width); None for None."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) and int(side) % 32 == 0
                                  for side in sides):  # fmt: skip
        raise UserError(f"--fixed-shape {text}: give HEIGHTxWIDTH in multiples of 32: 736x1280")
    return tuple(map(int, sides))


def main(argv):
    arguments = cli.parser(__doc__)
    arguments.add_argument("--weights", required=True, help="what to ship")
    arguments.add_argument("--role", help="which network, or `all`; default: config.best.role")
    arguments.add_argument("--output", required=True, help="FILE.onnx, .pdparams or .stablehlo")
    arguments.add_argument(
        "--images",
        nargs="+",
        default=(),
        help="images or folders to compare on; default: validation images, or drawn scenes",
    )
    low, high = OPSETS
    arguments.add_argument("--opset", type=int, help=f"of ONNX, {low} (default) to {high}")
    arguments.add_argument("--fixed-shape", metavar="HxW", help="for one image of that size alone")
    arguments.add_argument(
        "--include-normalisation", action="store_true", help="the ONNX file takes raw BGR pixels"
    )
    arguments.add_argument(
        "--keep-batch-norm",
        action="store_true",
        help="not folded into the convolutions: `extract` can read such an ONNX file back",
    )
    arguments.add_argument(
        "--quantize", action="store_true", help="8 bits, calibrated on training images"
    )
    process.prepare()  # before weights without a config are looked at
    args, config = cli.parse(
        arguments, argv, saved=lambda args: config_files.find_for(args.weights)
    )
    configs.check(config)
    form = make_form(args)
    if form.quantize:
        prepare_root(config, draws=args.config is not None)
    role = args.role or config.best.role
    record, lines = export(config, args.weights, role, args.output, form, args.images)
    print("\n".join(map(shown, [*lines, *usage(record, args.output)])))
    return 0


def usage(record, output):
    """Lines on what was written and how other tools take it."""
    weights = record["weights"]
    lines = [
        f"{record['role']} of {weights['from']}, hash {weights['hash']} -> {output}, "
        f"{record['bytes']} bytes; all of this in {output}.json"
    ]
    if "rapidocr" in record:
        lines.append(f"RapidOCR(params={record['rapidocr']})")
        lines += [f"note: {note}" for note in record["notes"]]
    if "paddleocr" in record:
        lines.append(f"PaddleOCR: {record['paddleocr']['command']}")
    return lines


if __name__ == "__main__":
    cli.run(main)
