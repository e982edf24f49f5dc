"""Evaluates a network on labelled images: precision, recall and hmean.

    python -m ppocr_jax.evaluate --weights student.pdparams --config.data.root=icdar2015
    python -m ppocr_jax.evaluate --weights runs/mobile --report runs/mobile/report
    python -m ppocr_jax.evaluate --weights runs/mobile --sweep --grid thresh=0.2,0.3 --output m.json

`--weights` is a workdir (its best checkpoint), `<workdir>/latest`, `<workdir>/<step>`, a folder
written by `extract`, a `.pdparams` file or an ONNX file. Without `--config`, the config saved
beside the weights is used, or else a shipped one whose networks fit. The metrics go to stdout as
one JSON object (one for each role with `--role all`); `--output FILE` writes them to a file too.

hmean is the harmonic mean of precision and recall, 2PR / (P + R), over all words of the validation
set, with a box and a label matched at an IoU above 0.5.

`--sweep` tries other thresholds on the same maps and prints the best ones with the options to use
them. If almost nothing is found, a line names the likely cause. `--report DIR` writes an HTML page,
`report.html` (`report_<role>.html` for several roles): the images with most errors, merged, split
and false boxes, what is found and missed by size, shape and orientation, the sweep, and the run
that the weights come from.
"""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ml_collections
from etils import epath

from ppocr_jax import cli, config_files
from ppocr_jax import config as configs
from ppocr_jax.data.splits import prepare_root, read_validation
from ppocr_jax.detection.network import open_network
from ppocr_jax.errors import UserError, shows_progress, tell
from ppocr_jax.files import write_text
from ppocr_jax.runtime import process
from ppocr_jax.scoring.case import Course
from ppocr_jax.scoring.diagnosis import find_cause
from ppocr_jax.scoring.evaluation import evaluate, explain
from ppocr_jax.scoring.sweep import Sweep, make_grid
from ppocr_jax.scoring.sweep import explain as explain_sweep

if TYPE_CHECKING:
    from ppocr_jax.data.sample import Sample


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    process.prepare()  # before weights without a config are looked at
    args, config = cli.parse(_arguments(), argv, saved=lambda a: config_files.find_for(a.weights))
    configs.check(config)
    roles = list(config.roles) if args.role == "all" else [args.role or config.best.role]
    if roles[0] not in config.roles:
        raise UserError(f"--role {roles[0]}: the config has {', '.join(config.roles)}, and all")
    _check_options(args, config)
    prepare_root(config, draws=args.config is not None)
    samples = read_validation(config, tell)
    scored, written = [], []
    for role in roles:
        metrics, swept = score(config, args, role, samples, alone=len(roles) == 1)
        short = {key: value for key, value in (swept or {}).items() if key != "points"}
        scored.append({**metrics, "sweep": short} if swept else metrics)
        written.append({**metrics, "sweep": swept} if swept else metrics)
    if args.output:
        output = epath.Path(args.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, "".join(json.dumps(line) + "\n" for line in written))
    print("\n".join(map(json.dumps, scored)))
    return 1 if scored[0]["unreadable"] else 0


def _arguments() -> cli.Parser:
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--weights", required=True, help="weights to evaluate")
    add("--role", help="network to evaluate, or `all`; default: config.best.role")
    add("--output", metavar="FILE", help="file for the JSON, with all points of a sweep")
    add("--sweep", action="store_true", help="try other thresholds on the same maps")
    add("--grid", nargs="+", action="extend", metavar="NAME=VALUES", default=[],
        help="values to try instead of the default grid, such as thresh=0.2,0.3 "
        "unclip_ratio=1.5,1.8; the values of the config are added")  # fmt: skip
    add("--report", metavar="DIR", help="folder for an HTML report, with a sweep")
    add("--worst", type=int, metavar="K", help="images in the report; default: 12")
    return arguments


def _check_options(args, config):
    """Checks the options before the network runs, and creates the folder of the report."""
    if args.grid and not (args.sweep or args.report):
        raise UserError("--grid has no effect without --sweep or --report")
    make_grid(config.postprocess, args.grid)
    if args.worst is not None and not args.report:
        raise UserError("--worst has no effect without --report")
    if args.worst is not None and args.worst < 0:
        raise UserError(f"--worst {args.worst}: should be at least 0")
    if args.report:
        epath.Path(args.report).mkdir(parents=True, exist_ok=True)


def score(
    config: ml_collections.ConfigDict,
    args: argparse.Namespace,
    role: str,
    samples: "Sequence[Sample]",
    alone: bool = True,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Evaluates one role, prints its metrics on stderr and writes its report if asked for.

    Args:
        config: a whole config.
        args: options of the command.
        role: the network.
        samples: the validation set, see `scoring.evaluation.evaluate`.
        alone: whether it is the only role; else its name becomes part of the report's name.

    Returns:
        `(metrics, swept)`: the metrics with `role` and `weights`; the result of the sweep, see
        `sweep.Sweep.result`, or None.
    """
    network = open_network(config, args.weights, role)
    tell(f"{role} from {args.weights}: {network.report}")
    sweep = Sweep(config.postprocess, args.grid) if args.sweep or args.report else None
    found, outcomes = evaluate(
        network.predict,
        network.variables,
        samples,
        config,
        network.sharding,
        progress=shows_progress(),
        sweep=sweep,
    )
    metrics: dict[str, Any] = {**found, "role": role, "weights": str(args.weights)}
    for outcome in outcomes:
        if outcome.reason:
            tell(f"warning: {outcome.reason}; its words count as missed")
    tell(explain(metrics))
    cause = find_cause(outcomes, metrics, config, Course())
    if cause:
        tell(cause.text)
    swept = sweep.result() if sweep else None
    if swept:
        for line in explain_sweep(swept):
            tell(line)
    if args.report and swept is not None:  # a report always has its sweep
        from ppocr_jax.pages.report import write_report  # imports matplotlib

        name = "report.html" if alone else f"report_{role}.html"
        worst = 12 if args.worst is None else args.worst
        path = epath.Path(args.report) / name
        write_report(path, metrics, outcomes, config, swept, network.report, worst)
        tell(f"report: {path}")
    return metrics, swept


if __name__ == "__main__":
    cli.run(main)
