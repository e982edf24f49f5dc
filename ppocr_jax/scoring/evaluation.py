"""Evaluation of a network on labelled images: maps -> polygons -> precision, recall, hmean."""

from __future__ import annotations

import concurrent.futures
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict
from tqdm import tqdm

from ppocr_jax import devices
from ppocr_jax.data.resize import plan_resize
from ppocr_jax.data.sample import Sample
from ppocr_jax.detection.inference import Predicted, in_threads, predict_files, reason_for
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.errors import counted
from ppocr_jax.scoring.metrics import Counts, Matches, Overlaps, summarise
from ppocr_jax.scoring.sweep import Sweep
from ppocr_jax.scoring.uncertainty import interval

THREADS = max(2, os.cpu_count() or 2)


class Outcome:
    """The detections in one image, and how they compare with its ground truth.

    Attributes:
        sample: the labelled image.
        polygons: detections, int32 `[P, 2]` each, in pixels of the image file.
        scores: float32, one per detection, 0 to 1.
        matches: the outcome for every label and every detection.
        size: (height, width) of the image; (0, 0) when it could not be read.
        network_size: (height, width) of its map.
        reduced: whether the image was run smaller than the config asks for, see
            `resize.plan_size`.
        map_max, map_mean: of the shrink map.
        reason: why the image has no map; "" when it has one.
    """

    COLUMNS = (*Counts._fields, "reduced", "map_max", "map_mean", "read")

    sample: Sample
    polygons: list[Int[np.ndarray, "_P 2"]]
    scores: Float[np.ndarray, " K"]
    matches: Matches
    size: tuple[int, int]
    network_size: tuple[int, int]
    reduced: bool
    map_max: float
    map_mean: float
    reason: str

    def __init__(self, sample: Sample, item: Predicted, post: Mapping[str, Any]) -> None:
        """Finds the polygons in a map and matches them with the labels.

        Args:
            sample: the labelled image.
            item: its shrink map, or the reason why there is none.
            post: keyword arguments of `find_polygons`.
        """
        shrink_map = item.shrink_map
        self.sample, self.size, self.reason = sample, item.size, item.reason
        self.polygons, self.scores, self.reduced = [], np.zeros(0, np.float32), False
        self.network_size, self.map_max, self.map_mean = (0, 0), 0.0, 0.0
        if shrink_map is not None:
            self.polygons, self.scores = find_polygons(shrink_map, item.size, **post)
            self.network_size = cast(tuple[int, int], shrink_map.shape)
            self.map_max, self.map_mean = float(shrink_map.max()), float(shrink_map.mean())
        self.matches = Overlaps(sample.polygons, sample.ignore, self.polygons).matches()

    @property
    def counts(self) -> Counts:
        """Counts of the image, from its matches."""
        return self.matches.counts

    def row(self) -> list[float]:
        """The image's numbers in the order of `COLUMNS`."""
        return [*self.counts, self.reduced, self.map_max, self.map_mean, not self.reason]


def evaluate(
    predict: Callable[..., Any],
    variables: Any,
    samples: Sequence[Sample],
    config: ConfigDict,
    sharding: jax.sharding.Sharding | None = None,
    progress: bool = False,
    sweep: Sweep | None = None,
) -> tuple[dict[str, float], list[Outcome]]:
    """Runs a network on labelled images and scores it; each process takes every n-th image.

    Args:
        predict: `(variables, image, area=None) -> maps`, see `detection.network.make_predict`.
        variables: `{"params", "batch_stats"}`, on this process's devices.
        samples: the labelled images, the same in every process.
        config: a whole config; `eval` and `postprocess` are read.
        sharding: how a batch of images is split over this process's devices; None for the default
            device.
        progress: whether to show a progress bar.
        sweep: also gets every map, to score it with other thresholds.

    Returns:
        `(metrics, outcomes)`: the metrics of the whole split, see `summary`, and one `Outcome` per
        image of this process, in order. In an image that cannot be read or run, every word counts
        as missed.
    """
    started = time.perf_counter()
    total, processes = len(samples), jax.process_count()
    samples = samples[jax.process_index() :: processes]
    found: list[Outcome | None] = [None] * len(samples)
    files = ((index, sample.image_path) for index, sample in enumerate(samples))
    post = config.postprocess.to_dict()

    limits = {key: config.eval[key] for key in ("limit_side", "limit_type")}

    def judge(item: Predicted) -> Outcome:
        sample = samples[item.key]
        outcome = Outcome(sample, item, post)
        if not outcome.reason:
            outcome.reduced = plan_resize(*item.size, **limits) != outcome.network_size
        if sweep is not None:
            # The index in the whole split: the sweep halves the split by it, the same way for
            # any number of processes.
            sweep.add(item.key * processes + jax.process_index(), sample, item)
        return outcome

    def judge_or_miss(item: Predicted) -> Outcome:
        try:
            return judge(item)
        except Exception as error:  # one bad image must not end the evaluation of the others
            reason = reason_for(samples[item.key].image_path, error)
            return judge(Predicted(item.key, None, (0, 0), reason))

    # Decoding, the forward pass and the matching overlap: threads read files ahead of the network
    # and match the maps behind it.
    bar = tqdm(total=len(samples), unit="image", disable=not progress)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool, bar:
        predicted = predict_files(predict, variables, files, config.eval, sharding, THREADS)
        for index, outcome in in_threads(pool, judge_or_miss, predicted, 4 * THREADS):
            found[index] = outcome
            bar.update()
    outcomes = cast(list[Outcome], found)
    rows = gather_rows([outcome.row() for outcome in outcomes], total)
    return summary(rows, time.perf_counter() - started), outcomes


def gather_rows(own: Sequence[Sequence[float]], total: int) -> Float[np.ndarray, "total K"]:
    """Rows of all images from the rows that each process has of its share.

    Args:
        own: rows of this process's images, as `Outcome.row` gives them.
        total: number of images in the whole split.

    Returns:
        float32, in the order of the split.
    """
    processes = jax.process_count()
    # Shares differ by one image at most; all send the same shape, so the shorter are padded.
    rows = np.zeros((-(-total // processes), len(Outcome.COLUMNS)), np.float32)
    rows[: len(own)] = np.reshape(own, (len(own), rows.shape[1]))
    # [processes, share, K] -> image i came from process i % processes
    return devices.gather(rows).swapaxes(0, 1).reshape(-1, rows.shape[1])[:total]


def count_images(outcomes: Sequence[Outcome], total: int) -> list[list[int]]:
    """`[labelled, found, matched]` per image of the whole split, in order.

    Args:
        outcomes: of this process's images.
        total: number of images in the whole split.
    """
    rows = gather_rows([outcome.row() for outcome in outcomes], total)
    return rows[:, :3].astype(int).tolist()


def summary(rows: Float[np.ndarray, "N K"], seconds: float) -> dict[str, float]:
    """The metrics of a split and the numbers that explain them.

    Args:
        rows: a row per image, see `gather_rows`.
        seconds: duration of the evaluation.

    Returns:
        Built-in numbers by name, ready for JSON: those of `metrics.summarise`, the interval of
        hmean, the range of the maps, and counts of images.
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


def explain(metrics: Mapping[str, Any]) -> str:
    """The metrics in one line: the scores first, then the counts and maps behind them."""
    reduced = metrics["reduced"]
    smaller = f" ({reduced} of them too thin or large for eval.limit_side, run smaller)"
    return (
        f"precision {metrics['precision']:.4f} recall {metrics['recall']:.4f} "
        f"hmean {metrics['hmean']:.4f} (95 %: {metrics['hmean_low']:.3f} to "
        f"{metrics['hmean_high']:.3f}); boxes found {metrics['boxes_found']}, labelled "
        f"{metrics['boxes_labelled']}, ignored {metrics['boxes_ignored']}, matched "
        f"{metrics['boxes_matched']}; map max {metrics['map_max']:.3f} mean "
        f"{metrics['map_mean']:.4f}; {counted(metrics['images'], 'image')}"
        f"{smaller if reduced else ''}, {metrics['images_per_s']:.1f} images/s"
    )
