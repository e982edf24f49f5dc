"""Labelled images through a network: maps -> polygons -> precision, recall, hmean."""

import collections
import concurrent.futures
import os
import time

import jax
import numpy as np
from tqdm import tqdm

from ppocr_jax import devices
from ppocr_jax.detection.inference import predict_files
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.scoring.metrics import Counts, Overlaps, summarise

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
        predict: see `detection.network.make_predict`.
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
