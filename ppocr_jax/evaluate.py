"""Scores a network on labelled images: maps -> polygons -> precision, recall, hmean.

    python -m ppocr_jax.evaluate --config configs/ppocrv3_det_mobile.py --weights runs/mobile
    python -m ppocr_jax.evaluate --weights runs/mobile --report runs/mobile/report
    python -m ppocr_jax.evaluate --weights runs/mobile --sweep --grid thresh=0.2,0.3 --output m.json

`--weights` is a workdir (its best state), `<workdir>/latest`, `<workdir>/<step>`, a folder that
`extract` wrote, a `.pdparams` file or an ONNX file. Without `--config`, the config saved beside
them is used. The last line on stdout is one JSON object; `--output FILE` writes it to a file too.

`--sweep` reads the same maps with other thresholds, says which are best and with which options any
command takes them. `--report DIR` writes a page for people, `report.html` (`report_<role>.html`
each for several roles): what is found and missed by size, shape and direction, the sweep, and the
images with most errors.
"""

import collections
import concurrent.futures
import json
import os
import sys
import time

import jax
import numpy as np
from etils import epath
from tqdm import tqdm

from ppocr_jax import cli, devices, runtime, sources
from ppocr_jax import config as configs
from ppocr_jax.data.splits import prepare_root, read_validation
from ppocr_jax.errors import UserError
from ppocr_jax.inference import predict_files
from ppocr_jax.metrics import Counts, Overlaps, summarise
from ppocr_jax.networks import open_network
from ppocr_jax.postprocess import find_polygons
from ppocr_jax.sweep import Sweep, make_grid
from ppocr_jax.sweep import explain as explain_sweep

THREADS = max(2, os.cpu_count() or 2)


class Outcome:
    """What was found in one image.

    Attributes:
        sample: the labelled image.
        polygons: found, int32 `[P, 2]` each, in the image's own pixels.
        scores: of them, float32.
        matches: `metrics.Matches`, what became of labels and found polygons.
        size: (height, width) of the image; (0, 0) when it could not be read.
        network_size: (height, width) of its map.
        map_max, map_mean: of the shrink map.
        reason: why the image could not be read; "" when it could.
    """

    COLUMNS = (*Counts._fields, "map_max", "map_mean", "read")

    def __init__(self, sample, item, post):
        """Finds and matches the polygons of `item`, an `inference.Predicted`."""
        shrink_map = item.shrink_map
        self.sample, self.size, self.reason = sample, item.size, item.reason
        self.polygons, self.scores = [], np.zeros(0, np.float32)
        self.network_size, self.map_max, self.map_mean = (0, 0), 0.0, 0.0
        if shrink_map is not None:
            self.polygons, self.scores = find_polygons(shrink_map, item.size, **post)
            self.network_size = shrink_map.shape
            self.map_max, self.map_mean = float(shrink_map.max()), float(shrink_map.mean())
        self.matches = Overlaps(sample.polygons, sample.ignore, self.polygons).matches()

    @property
    def counts(self):
        """Of the metric."""
        return self.matches.counts

    def row(self):
        """Its numbers, as `COLUMNS` names them."""
        return [*self.counts, self.map_max, self.map_mean, not self.reason]


def evaluate(predict, variables, samples, config, sharding=None, progress=False, sweep=None):
    """Runs a network over labelled images; each process takes its share of them.

    Args:
        predict: see `train_step.make_predict`.
        variables: `{"params", "batch_stats"}`, on this process's devices.
        samples: list of `data.labels.Sample`, the same in every process.
        config: a whole config; `eval` and `postprocess` are read.
        sharding: of a batch of images over this process's devices.
        progress: show a bar.
        sweep: `sweep.Sweep`, which every map is shown to as well; None for none.

    Returns:
        `(metrics, outcomes)`: see `summary`, over all processes; one Outcome per sample of this
        process, in order. An image that cannot be read counts with all its words missed.
    """
    started = time.perf_counter()
    total, processes = len(samples), jax.process_count()
    samples = samples[jax.process_index() :: processes]
    outcomes = [None] * len(samples)
    files = ((index, sample.image_path) for index, sample in enumerate(samples))
    post = config.postprocess.to_dict()

    def judge(item):
        sample = samples[item.key]
        if sweep is not None:
            sweep.add(item.key * processes + jax.process_index(), sample, item)
        return Outcome(sample, item, post)

    bar = tqdm(total=len(samples), unit="image", disable=not progress)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool, bar:
        pending = collections.deque()
        predicted = predict_files(predict, variables, files, config.eval, sharding, THREADS)
        for item in predicted:
            pending.append((item.key, pool.submit(judge, item)))
            while pending and (pending[0][1].done() or len(pending) > 4 * THREADS):
                index, future = pending.popleft()
                outcomes[index] = future.result()
                bar.update()
        for index, future in pending:
            outcomes[index] = future.result()
            bar.update()
    rows = np.zeros((-(-total // processes), len(Outcome.COLUMNS)), np.float32)
    for row, outcome in zip(rows, outcomes, strict=False):
        row[:] = outcome.row()
    rows = devices.gather(rows).swapaxes(0, 1).reshape(-1, rows.shape[1])[:total]
    return summary(rows, time.perf_counter() - started), outcomes


def summary(rows, seconds):
    """The metrics of a split, with what explains them; builtin numbers, ready for JSON.

    Args:
        rows: `[images, len(Outcome.COLUMNS)]`.
        seconds: that it took.
    """
    counts = [Counts(*map(int, row[: len(Counts._fields)])) for row in rows]
    peaks, means, read = rows[:, -3], rows[:, -2], rows[:, -1] > 0
    return {
        **summarise(counts),
        "map_max": float(peaks[read].max()) if read.any() else 0.0,
        "map_mean": float(means[read].mean(dtype=np.float64)) if read.any() else 0.0,
        "images": len(rows),
        "unreadable": int((~read).sum()),
        "images_per_s": round(len(rows) / max(seconds, 1e-9), 3),
    }


def explain(metrics):
    """One line that says why the number is what it is."""
    return (
        f"precision {metrics['precision']:.4f} recall {metrics['recall']:.4f} "
        f"hmean {metrics['hmean']:.4f}; boxes found {metrics['boxes_found']}, labelled "
        f"{metrics['boxes_labelled']}, ignored {metrics['boxes_ignored']}, matched "
        f"{metrics['boxes_matched']}; map max {metrics['map_max']:.3f} mean "
        f"{metrics['map_mean']:.4f}; {metrics['images']} images, "
        f"{metrics['images_per_s']:.1f} images/s"
    )


def main(argv):
    args, config = cli.parse(_arguments(), argv, saved=lambda a: sources.saved_config(a.weights))
    configs.check(config)
    runtime.prepare()
    roles = list(config.roles) if args.role == "all" else [args.role or config.best.role]
    if roles[0] not in config.roles:
        raise UserError(f"--role {roles[0]}: the config has {', '.join(config.roles)}, and all")
    _check_options(args, config)
    prepare_root(config)
    samples = read_validation(config)
    scored, written = [], []
    for role in roles:
        metrics, swept = score(config, args, role, samples, alone=len(roles) == 1)
        short = {key: value for key, value in (swept or {}).items() if key != "points"}
        scored.append({**metrics, "sweep": short} if swept else metrics)
        written.append({**metrics, "sweep": swept} if swept else metrics)
    if args.output:
        output = epath.Path(args.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("".join(json.dumps(line) + "\n" for line in written))
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
    print(f"{role} from {args.weights}: {network.report}", file=sys.stderr)
    sweep = Sweep(config.postprocess, args.grid) if args.sweep or args.report else None
    metrics, outcomes = evaluate(
        network.predict,
        network.variables,
        samples,
        config,
        network.sharding,
        progress=sys.stderr.isatty(),
        sweep=sweep,
    )
    metrics = {**metrics, "role": role, "weights": str(args.weights)}
    for outcome in outcomes:
        if outcome.reason:
            print(f"warning: {outcome.reason}; its words count as missed", file=sys.stderr)
    print(explain(metrics), file=sys.stderr)
    swept = sweep.result() if sweep else None
    if swept:
        print("\n".join(explain_sweep(swept)), file=sys.stderr)
    if args.report:
        from ppocr_jax.report import write_report  # the trainer needs no matplotlib

        name = "report.html" if alone else f"report_{role}.html"
        worst = 12 if args.worst is None else args.worst
        path = epath.Path(args.report) / name
        write_report(path, metrics, outcomes, config, swept, network.report, worst)
        print(f"report: {path}", file=sys.stderr)
    return metrics, swept


if __name__ == "__main__":
    cli.run(main)
