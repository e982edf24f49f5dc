"""Scores several weights on the same images, and says whether they differ by more than chance.

    python -m ppocr_jax.compare runs/mine student.pdparams --config.data.root=data
    python -m ppocr_jax.compare runs/mine runs/older teacher.onnx --report runs/mine/compare

Weights are what `evaluate` takes, two or more; the first are compared with each of the others. All
are scored by one rule of sizes and thresholds: that of `--config`, else of the first weights that
have a config, else of the shipped config that fits the first. Where weights have another rule of
their own, it is said. `--role` names the network of each: one name for all, or one for each of
them with commas between.

The table is written to stdout. `--report DIR` writes `compare.html`: differences by size and shape,
and the images that got better and worse, side by side. `--output FILE` has all numbers as JSON.
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

RULE = ("postprocess.", "eval.limit_")  # keys that decide what is found in a map, and its size
BY_SIZE = "Text height in the image"


def main(argv):
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
    for line in [f"one rule for all: {describe_rule(config)}", *differing]:
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


def _arguments():
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("weights", nargs="+", metavar="WEIGHTS", help="what to compare, before all options")
    add("--role", metavar="NAMES", help="which networks; default: config.best.role of each")
    add("--report", metavar="DIR", help="folder for an HTML page, compare.html")
    add("--images", type=int, metavar="K",
        help="images on that page of each pair that got better, and worse; default: 6")  # fmt: skip
    add("--output", metavar="FILE", help="file for all numbers as JSON")
    return arguments


def _check_options(args):
    if len(args.weights) < 2:
        raise UserError(f"{args.weights[0]}: name other weights to compare them with")
    if args.images is not None and not args.report:
        raise UserError("--images has no effect without --report")
    if args.images is not None and args.images < 0:
        raise UserError(f"--images {args.images}: should be at least 0")


def _find_rule(args):
    """The config by whose rule all are scored, when none is named."""
    for weights in args.weights:
        found = saved_config.find(locate(weights))
        if found is not None:
            tell(f"images, sizes and thresholds are those of {found}")
            return found
    return config_files.find_for(args.weights[0])


def _roles_of(args):
    """A role for each of the weights; None where its config decides."""
    roles = args.role.split(",") if args.role else [None]
    if len(roles) not in (1, len(args.weights)):
        raise UserError(
            f"--role {args.role}: one name, or one for each of {len(args.weights)} weights"
        )
    return roles * len(args.weights) if len(roles) == 1 else roles


def _own_config(weights, config):
    """The config of weights: theirs; else the one by whose rule they are scored, where it fits."""
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
    """Lines on a rule of their own that weights are not scored by."""
    mine, theirs = flatten(plain(config)), flatten(plain(own))
    keys = [key for key in mine if key.startswith(RULE) and theirs.get(key) != mine[key]]
    if keys:
        rule = ", ".join(f"{key}={theirs.get(key)} (here {mine[key]})" for key in keys)
        yield f"{weights} has a rule of its own, which is not used: {rule}"


def _names(weights, roles):
    """A name for each of the weights: without the folder of all, with what tells them apart."""
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
    """`comparison.Scored` of weights on all images."""
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
    """The page and the file that were asked for."""
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
