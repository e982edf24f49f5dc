"""Scores a network on labelled images: maps -> polygons -> precision, recall, hmean.

    python -m ppocr_jax.evaluate --config configs/ppocrv3_det_mobile.py --weights runs/mobile

`--weights` is a workdir (its best state), `<workdir>/latest`, `<workdir>/<step>`, a folder that
`extract` wrote, or a `.pdparams` file. Without `--config`, the config saved in the workdir is
used. The last line on stdout is one JSON object; `--output FILE` writes it to a file too.
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

from ppocr_jax import cli, devices, sources
from ppocr_jax import config as configs
from ppocr_jax.data.splits import prepare_root, read_validation
from ppocr_jax.errors import UserError
from ppocr_jax.inference import predict_files
from ppocr_jax.metrics import Counts, match_image, summarise
from ppocr_jax.networks import open_network
from ppocr_jax.postprocess import find_polygons

THREADS = max(2, os.cpu_count() or 2)


class Outcome:
    """What was found in one image.

    Attributes:
        sample: the labelled image.
        polygons: found, int32 `[P, 2]` each, in the image's own pixels.
        counts: of the metric.
        map_max, map_mean: of the shrink map.
        reason: why the image could not be read; "" when it could.
    """

    COLUMNS = (*Counts._fields, "map_max", "map_mean", "read")

    def __init__(self, sample, polygons, counts, map_max=0.0, map_mean=0.0, reason=""):
        self.sample, self.polygons, self.counts = sample, polygons, counts
        self.map_max, self.map_mean, self.reason = map_max, map_mean, reason

    def row(self):
        """Its numbers, as `COLUMNS` names them."""
        return [*self.counts, self.map_max, self.map_mean, not self.reason]


def evaluate(predict, variables, samples, config, sharding=None, progress=False):
    """Runs a network over labelled images; each process takes its share of them.

    Args:
        predict: see `train_step.make_predict`.
        variables: `{"params", "batch_stats"}`, on this process's devices.
        samples: list of `data.labels.Sample`, the same in every process.
        config: a whole config; `eval` and `postprocess` are read.
        sharding: of a batch of images over this process's devices.
        progress: show a bar.

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
    bar = tqdm(total=len(samples), unit="image", disable=not progress)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool, bar:
        pending = collections.deque()
        predicted = predict_files(predict, variables, files, config.eval, sharding, THREADS)
        for item in predicted:
            pending.append((item.key, pool.submit(_judge, samples[item.key], item, post)))
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


def _judge(sample, item, post):
    if item.shrink_map is None:
        counts = match_image(sample.polygons, sample.ignore, [])
        return Outcome(sample, [], counts, reason=item.reason)
    polygons, _ = find_polygons(item.shrink_map, item.size, **post)
    counts = match_image(sample.polygons, sample.ignore, polygons)
    peak, mean = float(item.shrink_map.max()), float(item.shrink_map.mean())
    return Outcome(sample, polygons, counts, peak, mean)


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
    arguments = cli.parser(__doc__)
    arguments.add_argument("--weights", required=True, help="what to evaluate")
    arguments.add_argument("--role", help="which network, or `all`; default: config.best.role")
    arguments.add_argument("--output", metavar="FILE", help="file for the JSON lines")
    args, config = cli.parse(arguments, argv, saved=lambda args: sources.saved_config(args.weights))
    configs.check(config)
    cli.settle_platform()
    roles = list(config.roles) if args.role == "all" else [args.role or config.best.role]
    if roles[0] not in config.roles:
        raise UserError(f"--role {roles[0]}: the config has {', '.join(config.roles)}, and all")
    prepare_root(config)
    samples = read_validation(config)
    scored = [score(config, args.weights, role, samples) for role in roles]
    lines = [json.dumps(metrics) for metrics in scored]
    if args.output:
        output = epath.Path(args.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("".join(line + "\n" for line in lines))
    print("\n".join(lines))
    return 1 if scored[0]["unreadable"] else 0


def score(config, weights, role, samples):
    """Metrics of one role of `weights`, said on stderr as well."""
    network = open_network(config, weights, role)
    print(f"{role} from {weights}: {network.report}", file=sys.stderr)
    metrics, outcomes = evaluate(
        network.predict,
        network.variables,
        samples,
        config,
        network.sharding,
        progress=sys.stderr.isatty(),
    )
    for outcome in outcomes:
        if outcome.reason:
            print(f"warning: {outcome.reason}; its words count as missed", file=sys.stderr)
    print(explain(metrics), file=sys.stderr)
    return {**metrics, "role": role, "weights": str(weights)}


if __name__ == "__main__":
    cli.run(main)
