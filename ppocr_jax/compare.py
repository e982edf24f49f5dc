"""Evaluates several weights on the same images and tests whether they differ by more than chance.

    python -m ppocr_jax.compare runs/mine student.pdparams --config.data.root=data
    python -m ppocr_jax.compare runs/mine runs/older teacher.onnx --report runs/mine/compare

Give two or more weights, as for `evaluate`; the first are compared with each of the others. All are
evaluated at the same image size and thresholds: those of `--config`, else of the first weights with
a config, else of the shipped config that fits the first weights. Weights whose own config has other
values are reported. `--role` names the network: one name for all weights, or one for each,
separated by commas.

The table goes to stdout. `--report DIR` writes `compare.html`: differences by size and shape, and
the images that got better and worse, side by side. `--output FILE` writes all numbers as JSON.
"""

import contextlib
import os

from etils import epath

from ppocr_jax import cli, config_files
from ppocr_jax import config as configs
from ppocr_jax.data.splits import prepare_root, read_validation
from ppocr_jax.detection.network import open_network
from ppocr_jax.errors import UserError, shows_progress, tell
from ppocr_jax.files import write_json
from ppocr_jax.forms import flatten, plain
from ppocr_jax.locks import hold_output
from ppocr_jax.pages.building import describe_rule
from ppocr_jax.runtime import process
from ppocr_jax.scoring import comparison
from ppocr_jax.scoring.evaluation import evaluate
from ppocr_jax.weights import fitting, saved_config
from ppocr_jax.weights.sources import locate

RULE = ("postprocess.", "eval.limit_")  # keys that affect which boxes are found
BY_SIZE = "Text height in the image"


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    process.prepare()  # before weights without a config are looked at
    args, config = cli.parse(_arguments(), argv, saved=_find_rule)
    _check_options(args)
    configs.check(config)
    roles = _roles_of(args)
    prepare_root(config, draws=args.config is not None)
    samples = read_validation(config, tell)
    owns = [_own_config(weights, config) for weights in args.weights]
    differing = [line for pair in zip(args.weights, owns, strict=True)
                 for line in _differences(*pair, config)]  # fmt: skip
    for line in [f"the same settings for all: {describe_rule(config)}", *differing]:
        tell(line)
    names = _names(args.weights, roles)
    scored = [
        _score(*each, samples, config)
        for each in zip(names, args.weights, owns, roles, strict=True)
    ]
    unreadable = [outcome.reason for outcome in scored[0].outcomes if outcome.reason]
    for reason in unreadable:
        tell(f"warning: {reason}; its words count as missed")
    pairs = [comparison.pair(scored[0], other) for other in scored[1:]]
    print("\n".join(comparison.write_table(scored)))
    print("\n".join(comparison.write_sizes(scored, BY_SIZE)))
    print("\n".join(pair.verdict() for pair in pairs))
    _write(args, config, scored, pairs, differing)
    return 1 if unreadable else 0


def _arguments() -> cli.Parser:
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("weights", nargs="+", metavar="WEIGHTS", help="weights to compare, before all options")
    add("--role", metavar="NAMES", help="networks to compare; default: config.best.role of each")
    add("--report", metavar="DIR", help="folder for an HTML report, compare.html")
    add("--images", type=int, metavar="K",
        help="images in the report that got better or worse, per pair; default: 6")  # fmt: skip
    add("--output", metavar="FILE", help="file for all numbers, JSON")
    return arguments


def _check_options(args):
    if len(args.weights) < 2:
        raise UserError(f"{args.weights[0]}: name other weights to compare with")
    if args.images is not None and not args.report:
        raise UserError("--images has no effect without --report")
    if args.images is not None and args.images < 0:
        raise UserError(f"--images {args.images}: should be at least 0")


def _find_rule(args):
    """The config whose sizes and thresholds are used if `--config` is not given."""
    for weights in args.weights:
        found = saved_config.find(locate(weights))
        if found is not None:
            tell(f"images, sizes and thresholds are from {found}")
            return found
    return config_files.find_for(args.weights[0])


def _roles_of(args):
    """A role for each of the weights; None where their config decides."""
    roles = args.role.split(",") if args.role else [None]
    if len(roles) not in (1, len(args.weights)):
        raise UserError(
            f"--role {args.role}: give one name, or one for each of the {len(args.weights)} weights"
        )
    return roles * len(args.weights) if len(roles) == 1 else roles


def _own_config(weights, config):
    """The config of weights: their own, else the common one if it fits, else a shipped one."""
    place = locate(weights)
    if saved_config.find(place) is None:
        with contextlib.suppress(UserError):
            fitting.find_fitting(place, {"": config.roles})
            return config
    own, lines = config_files.open_config(str(config_files.find_for(weights)), found=True)
    for line in lines:
        tell(line)
    configs.check(own)
    return own


def _differences(weights, own, config):
    """Yields a line on sizes and thresholds in the weights' own config that are not used."""
    mine, theirs = flatten(plain(config)), flatten(plain(own))
    keys = [key for key in mine if key.startswith(RULE) and theirs.get(key) != mine[key]]
    if keys:
        rule = ", ".join(f"{key}={theirs.get(key)} (here {mine[key]})" for key in keys)
        yield f"{weights} has other settings of its own, which are not used: {rule}"


def _names(weights, roles):
    """A short, unique name for each of the weights: without a common folder."""
    weights = [place.rstrip("/") or place for place in weights]
    names, parents = [], [os.path.dirname(place) for place in weights]
    shared = len(set(parents)) == 1 and parents[0] and len(set(weights)) == len(weights)
    for place, role in zip(weights, roles, strict=True):
        name = os.path.basename(place) if shared else str(place)
        name = f"{place} {role}" if weights.count(place) > 1 and role else name
        while name in names:
            name += " again"
        names.append(name)
    return names


def _score(name, weights, own, role, samples, config):
    """Evaluates weights on all images."""
    role = role or (own.best.role if len(own.roles) > 1 else list(own.roles)[0])
    if role not in own.roles:
        raise UserError(f"--role {role}: {weights} has {', '.join(own.roles)}")
    network = open_network(own, weights, role)
    tell(f"{role} from {weights}: {network.report}")
    metrics, outcomes = evaluate(
        network.predict,
        network.variables,
        samples,
        config,
        network.sharding,
        progress=shows_progress(),
    )
    return comparison.Scored(name, {**metrics, "role": role, "weights": str(weights)}, outcomes)


def _write(args, config, scored, pairs, differing):
    """Writes the report and the JSON file, if asked for."""
    if args.output:
        rule = {k: v for k, v in flatten(plain(config)).items() if k.startswith(RULE)}
        with hold_output(args.output):
            write_json(args.output, comparison.to_json(pairs, scored, rule))
    if args.report:
        from ppocr_jax.pages import compare_page

        path = epath.Path(args.report) / compare_page.NAME
        with hold_output(path):
            most = 6 if args.images is None else args.images
            compare_page.write_comparison(path, scored, pairs, config, differing, most)
        tell(f"report: {path}")


if __name__ == "__main__":
    cli.run(main)
