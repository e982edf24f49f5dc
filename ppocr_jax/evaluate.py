"""Scores a network on labelled images: maps -> polygons -> precision, recall, hmean.

    python -m ppocr_jax.evaluate --weights student.pdparams --config.data.root=icdar2015
    python -m ppocr_jax.evaluate --weights runs/mobile --report runs/mobile/report
    python -m ppocr_jax.evaluate --weights runs/mobile --sweep --grid thresh=0.2,0.3 --output m.json

`--weights` is a workdir (its best state), `<workdir>/latest`, `<workdir>/<step>`, a folder that
`extract` wrote, a `.pdparams` file or an ONNX file. Without `--config`, the config saved beside
them is used, or else the one of the program whose networks have their shapes, which is said. The
last line on stdout is one JSON object; `--output FILE` writes it to a file too.

`--sweep` reads the same maps with other thresholds, says which are best and with which options any
command takes them. Where next to nothing is found, a sentence names the likeliest cause. `--report
DIR` writes a page for people, `report.html` (`report_<role>.html` each for several roles): the
images with most errors, which boxes are merged, split or false, what is found and missed by size,
shape and direction, the sweep, and the run that the weights come from.
"""

import json

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


def main(argv):
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


def _arguments():
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--weights", required=True, help="what to evaluate")
    add("--role", help="which network, or `all`; default: config.best.role")
    add("--output", metavar="FILE", help="file for the JSON lines, with all points of a sweep")
    add("--sweep", action="store_true", help="try other thresholds on the same maps")
    add("--grid", nargs="+", action="extend", metavar="NAME=VALUES", default=[],
        help="values to try in the place of the usual ones, such as thresh=0.2,0.3 "
        "unclip_ratio=1.5,1.8; those of the config are added")  # fmt: skip
    add("--report", metavar="DIR", help="folder for an HTML page, with a sweep")
    add("--worst", type=int, metavar="K", help="images on that page; default: 12")
    return arguments


def _check_options(args, config):
    """Refuses what cannot be done before the network runs; makes the folder of the report."""
    if args.grid and not (args.sweep or args.report):
        raise UserError("--grid has no effect without --sweep or --report")
    make_grid(config.postprocess, args.grid)
    if args.worst is not None and not args.report:
        raise UserError("--worst has no effect without --report")
    if args.worst is not None and args.worst < 0:
        raise UserError(f"--worst {args.worst}: should be at least 0")
    if args.report:
        epath.Path(args.report).mkdir(parents=True, exist_ok=True)


def score(config, args, role, samples, alone=True):
    """Metrics of one role, said on stderr as well, and its report if there is to be one.

    Args:
        config: a whole config.
        args: options of the command.
        role: name.
        samples: see `evaluate`.
        alone: whether it is the only role; the others have their names in their reports' names.

    Returns:
        `(metrics, swept)`: with `role` and `weights`; see `sweep.Sweep.result`, None for none.
    """
    network = open_network(config, args.weights, role)
    tell(f"{role} from {args.weights}: {network.report}")
    sweep = Sweep(config.postprocess, args.grid) if args.sweep or args.report else None
    metrics, outcomes = evaluate(
        network.predict,
        network.variables,
        samples,
        config,
        network.sharding,
        progress=shows_progress(),
        sweep=sweep,
    )
    metrics = {**metrics, "role": role, "weights": str(args.weights)}
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
    if args.report:
        from ppocr_jax.pages.report import write_report  # the trainer needs no matplotlib

        name = "report.html" if alone else f"report_{role}.html"
        worst = 12 if args.worst is None else args.worst
        path = epath.Path(args.report) / name
        write_report(path, metrics, outcomes, config, swept, network.report, worst)
        tell(f"report: {path}")
    return metrics, swept


if __name__ == "__main__":
    cli.run(main)
