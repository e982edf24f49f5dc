"""Labelled images through a network: maps -> polygons -> precision, recall, hmean."""

import concurrent.futures
import os
import time

import jax
import numpy as np
from tqdm import tqdm

from ppocr_jax import devices
from ppocr_jax.data.resize import plan_resize
from ppocr_jax.detection.inference import Predicted, in_threads, predict_files, reason_for
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.errors import counted
from ppocr_jax.scoring.metrics import Counts, Overlaps, summarise
from ppocr_jax.scoring.uncertainty import interval

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
        reduced: whether that is less than the config asks for, see `resize.plan_size`.
        map_max, map_mean: of the shrink map.
        reason: why the image has no map; "" when it has one.
    """

    COLUMNS = (*Counts._fields, "reduced", "map_max", "map_mean", "read")

    def __init__(self, sample, item, post):
        """Finds and matches the polygons of `item`, an `inference.Predicted`."""
        shrink_map = item.shrink_map
        self.sample, self.size, self.reason = sample, item.size, item.reason
        self.polygons, self.scores, self.reduced = [], np.zeros(0, np.float32), False
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
        return [*self.counts, self.reduced, self.map_max, self.map_mean, not self.reason]


def evaluate(predict, variables, samples, config, sharding=None, progress=False, sweep=None):
    """Runs a network over labelled images; each process takes its share of them.

    Args:
        predict: see `detection.network.make_predict`.
        variables: `{"params", "batch_stats"}`, on this process's devices.
        samples: list of `data.labels.Sample`, the same in every process.
        config: a whole config; `eval` and `postprocess` are read.
        sharding: of a batch of images over this process's devices.
        progress: show a bar.
        sweep: `sweep.Sweep`, which every map is shown to as well; None for none.

    Returns:
        `(metrics, outcomes)`: see `summary`, over all processes; one Outcome per sample of this
        process, in order. An image that cannot be read or run counts with all its words missed.
    """
    started = time.perf_counter()
    total, processes = len(samples), jax.process_count()
    samples = samples[jax.process_index() :: processes]
    outcomes = [None] * len(samples)
    files = ((index, sample.image_path) for index, sample in enumerate(samples))
    post = config.postprocess.to_dict()

    limits = {key: config.eval[key] for key in ("limit_side", "limit_type")}

    def judge(item):
        sample = samples[item.key]
        outcome = Outcome(sample, item, post)
        if not outcome.reason:
            outcome.reduced = plan_resize(*item.size, **limits) != outcome.network_size
        if sweep is not None:
            sweep.add(item.key * processes + jax.process_index(), sample, item)
        return outcome

    def judge_or_miss(item):
        try:
            return judge(item)
        except Exception as error:
            reason = reason_for(samples[item.key].image_path, error)
            return judge(Predicted(item.key, None, (0, 0), reason))

    bar = tqdm(total=len(samples), unit="image", disable=not progress)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool, bar:
        predicted = predict_files(predict, variables, files, config.eval, sharding, THREADS)
        for index, outcome in in_threads(pool, judge_or_miss, predicted, 4 * THREADS):
            outcomes[index] = outcome
            bar.update()
    rows = gather_rows([outcome.row() for outcome in outcomes], total)
    return summary(rows, time.perf_counter() - started), outcomes


def gather_rows(own, total):
    """Rows of numbers of all images, float32 `[total, K]`, from those of this process's share."""
    processes = jax.process_count()
    rows = np.zeros((-(-total // processes), len(Outcome.COLUMNS)), np.float32)
    rows[: len(own)] = np.reshape(own, (len(own), rows.shape[1]))
    return devices.gather(rows).swapaxes(0, 1).reshape(-1, rows.shape[1])[:total]


def count_images(outcomes, total):
    """(labelled, found, matched) of each of all images, in their order, as lists."""
    rows = gather_rows([outcome.row() for outcome in outcomes], total)
    return rows[:, :3].astype(int).tolist()


def summary(rows, seconds):
    """The metrics of a split, with what explains them; builtin numbers, ready for JSON.

    Args:
        rows: `[images, len(Outcome.COLUMNS)]`.
        seconds: that it took.
    """
    counts = [Counts(*map(int, row[: len(Counts._fields)])) for row in rows]
    reduced, peaks, means, read = rows[:, -4] > 0, rows[:, -3], rows[:, -2], rows[:, -1] > 0
    low, high = interval(counts)
    return {
        **summarise(counts),
        "hmean_low": low,
        "hmean_high": high,
        "map_max": float(peaks[read].max()) if read.any() else 0.0,
        "map_mean": float(means[read].mean(dtype=np.float64)) if read.any() else 0.0,
        "images": len(rows),
        "unreadable": int((~read).sum()),
        "reduced": int(reduced.sum()),
        "images_per_s": round(len(rows) / max(seconds, 1e-9), 3),
    }


def explain(metrics):
    """One line that says why the number is what it is."""
    reduced = metrics["reduced"]
    smaller = f" ({reduced} of them too thin or large for eval.limit_side, seen smaller)"
    return (
        f"precision {metrics['precision']:.4f} recall {metrics['recall']:.4f} "
        f"hmean {metrics['hmean']:.4f} (95 %: {metrics['hmean_low']:.3f} to "
        f"{metrics['hmean_high']:.3f}); boxes found {metrics['boxes_found']}, labelled "
        f"{metrics['boxes_labelled']}, ignored {metrics['boxes_ignored']}, matched "
        f"{metrics['boxes_matched']}; map max {metrics['map_max']:.3f} mean "
        f"{metrics['map_mean']:.4f}; {counted(metrics['images'], 'image')}"
        f"{smaller if reduced else ''}, {metrics['images_per_s']:.1f} images/s"
    )
