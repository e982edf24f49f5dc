"""Exports a network as one file and checks that the file gives the same results.

    python -m ppocr_jax.export --weights runs/cml --role student --output student.onnx
    python -m ppocr_jax.export --weights runs/cml --role all     --output cml.pdparams
    python -m ppocr_jax.export --weights runs/cml --role student --output student.stablehlo
    python -m ppocr_jax.export --weights student.pdparams --output student.onnx --opset 17 \\
           --config.postprocess.box_thresh=0.5

The suffix of the output selects the format: `.onnx` for onnxruntime and RapidOCR, `.pdparams` for
PaddleOCR's own tools, `.stablehlo` for `jax.export.deserialize` (weights included, no ppocr_jax
needed). A `.json` beside it says how to use the file. The file is then run on images of three sizes
and compared with the original network; if maps or boxes differ, it is renamed to `.failed` and the
exit status is 2.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from etils import epath

from ppocr_jax import cli, config_files
from ppocr_jax import config as configs
from ppocr_jax.data.splits import prepare_root
from ppocr_jax.errors import UserError, shown
from ppocr_jax.onnx_files.writer import OPSETS
from ppocr_jax.runtime import process
from ppocr_jax.shipping import deployment
from ppocr_jax.shipping.exporting import TOLERANCES, export


def make_form(args: argparse.Namespace) -> deployment.Form:
    """Makes the description of the file to write from the options.

    Raises:
        UserError: an unknown suffix, or an option that does not apply to it.
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
        raise UserError(f"{misplaced[0]}: does not apply to a {suffix} file")
    if args.role == "all" and suffix != ".pdparams":
        raise UserError(f"--role all: a {suffix} file holds one network; only .pdparams holds all")
    if args.quantize and args.keep_batch_norm:
        raise UserError("--keep-batch-norm: --quantize needs batch norm folded: use only one")
    return deployment.Form(
        suffix,
        args.opset or OPSETS[0],
        parse_shape(args.fixed_shape),
        args.include_normalisation,
        args.keep_batch_norm,
        args.quantize,
    )


def parse_shape(text: str | None) -> tuple[int, int] | None:
    """Parses `736x1280` to (height, width); None stays None.

    Raises:
        UserError: another form, or sides that are not multiples of 32.
    """
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) and int(side) % 32 == 0
                                  for side in sides):  # fmt: skip
        raise UserError(f"--fixed-shape {text}: give HEIGHTxWIDTH in multiples of 32: 736x1280")
    return int(sides[0]), int(sides[1])


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    arguments = cli.parser(__doc__)
    arguments.add_argument("--weights", required=True, help="weights to export")
    arguments.add_argument("--role", help="network to export, or `all`; default: config.best.role")
    arguments.add_argument("--output", required=True, help="FILE.onnx, .pdparams or .stablehlo")
    arguments.add_argument(
        "--images",
        nargs="+",
        default=(),
        help="images or folders for the check; default: validation images, or synthetic scenes",
    )
    low, high = OPSETS
    arguments.add_argument("--opset", type=int, help=f"ONNX opset, {low} (default) to {high}")
    arguments.add_argument(
        "--fixed-shape", metavar="HxW", help="fix the input to one image of this size"
    )
    arguments.add_argument(
        "--include-normalisation", action="store_true", help="the ONNX file takes raw BGR pixels"
    )
    arguments.add_argument(
        "--keep-batch-norm",
        action="store_true",
        help="do not fold it into the convolutions: `extract` can read such an ONNX file back",
    )
    arguments.add_argument(
        "--quantize", action="store_true", help="quantise to 8 bits, calibrated on training images"
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


def usage(record: Mapping[str, Any], output: str) -> list[str]:
    """Lines on what was written and how to use it in other tools."""
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
