"""Times the host's work: samples, post-processing, the metric, and a complete evaluation."""

import argparse
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from configs import ppocrv3_det_mobile
from experiments.benchmarks.measure import Row, per_item
from experiments.benchmarks.steps import OurStep
from ppocr_jax.data import compact
from ppocr_jax.data.augment import Job, View, augment
from ppocr_jax.data.drawing import draw_view
from ppocr_jax.data.examples import MakeExample
from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.pipeline import make_batches
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.sample import Sample
from ppocr_jax.data.scenes import write_scenes
from ppocr_jax.data.splits import read_validation
from ppocr_jax.data.targets import draw_targets
from ppocr_jax.detection.inference import predict_files
from ppocr_jax.detection.network import load_network, open_network
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.scoring.evaluation import evaluate
from ppocr_jax.scoring.metrics import match_image


class ImageMap(NamedTuple):
    """One validation image with its shrink map.

    Attributes:
        sample: path and labels.
        shrink_map: float32 `[H, W]`.
        size: (height, width) of the image in pixels.
    """

    sample: Sample
    shrink_map: np.ndarray
    size: tuple[int, int]


def make_config(args: argparse.Namespace, folder: str) -> ConfigDict:
    """The mobile config for `args.data`, or for synthetic scenes that it writes into a folder."""
    config = ppocrv3_det_mobile.get_config()
    config.data.root = args.data or folder
    if not args.data:  # as large as photographs
        write_scenes(
            folder, train_images=40, val_images=20, side=960, seed=1,
            train_labels=config.data.train, val_labels=config.data.val,
        )  # fmt: skip
    return config


def run_data(args: argparse.Namespace, folder: str) -> Iterator[Row]:
    """Milliseconds per 960x960 training sample by stage on one core, and batches per second."""
    config = make_config(args, folder)
    samples = [s for part in read_sources(config.data.train, config.data.root) for s in part]
    chosen = samples[:: max(1, len(samples) // (10 if args.quick else 100))]
    rng, side = np.random.default_rng(0), config.crop
    job = Job(config.data.augment.to_dict(), side)
    targets = config.data.targets.to_dict()
    plans = []  # images and crops, chosen in advance so that each stage is timed alone
    for sample in chosen:
        image = read_image(sample.image_path)
        view = View(None, image.shape[:2], sample.polygons, sample.ignore)
        plans.append((sample, image, augment(view, job, lambda entry: rng)))

    def decode(plan):
        read_image(plan[0].image_path)

    def draw(plan):
        _, image, view = plan
        draw_view(image, view.geometry, view.crop, (side, side))

    def targets_of(plan):
        _, _, view = plan
        draw_targets(view.polygons, view.ignore, side, side, **targets)

    # Single stages, then complete samples, then batches from threads and worker processes.
    for label, stage in (("decode", decode), ("view", draw), ("targets", targets_of)):
        yield f"{side}x{side}", label, per_item(stage, plans), "ms"
    for paste in (False, True):
        config.data.augment.paste = paste
        keys = [(0, index, 0) for index in range(len(chosen))]
        value = per_item(MakeExample(samples, config).map, keys)
        yield f"{side}x{side}", "sample, with paste" if paste else "sample", value, "ms"
    config.data.augment.paste = False
    counts = (0,) if args.quick else (0, 1, os.cpu_count())
    for workers in dict.fromkeys(counts):
        config.data.workers = workers
        count = 4 if args.quick else 40  # far more than the queue holds
        yield f"{workers} workers", "batches", images_per_second(config, count), "images/s"

    if not args.quick:
        config.data.workers, config.batch_size, config.data.prefetch_mb = 0, 2, 1
        share = _share_waiting(config)
        yield f"student 2 x {side}x{side}", "share of a step, waiting for data", share, "%"


def _share_waiting(config: ConfigDict, updates: int = 12) -> float:
    """Percentage of the training time that is spent waiting for batches."""
    step, waited = OurStep(config, "float32"), 0.0

    def put(batch):
        maps = {"image": batch["image"], **compact.unpack(batch)}
        return {name: jnp.asarray(values) for name, values in maps.items()}

    batches = make_batches(read_sources(config.data.train, config.data.root), config, 0, updates)
    try:
        step.compile(put(next(batches)))
        started = time.perf_counter()
        for _ in range(updates - 1):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            step(put(batch))
        return 100 * waited / (time.perf_counter() - started)
    finally:
        batches.close()


def images_per_second(config: ConfigDict, count: int) -> float:
    """Returns the rate of training batches, in images per second.

    Args:
        config: a whole config.
        count: timed batches, after two for warm-up.
    """
    sources = read_sources(config.data.train, config.data.root)
    batches = make_batches(sources, config, 0, count + 2)
    try:
        for _ in range(2):
            next(batches)
        started = time.perf_counter()
        for _ in range(count):
            next(batches)
        return count * config.batch_size / (time.perf_counter() - started)
    finally:
        batches.close()


def make_maps(
    args: argparse.Namespace, folder: str, count: int
) -> tuple[ConfigDict, list[ImageMap]]:
    """Makes shrink maps of about `count` validation images: `(config, [ImageMap])`.

    The network predicts them if `args.weights` is given; otherwise they are made from the labels.
    """
    config = make_config(args, folder)
    samples = read_validation(config)
    samples = samples[:: max(1, len(samples) // count)]
    if args.weights:
        network = open_network(config, args.weights, "student")
        files = ((index, sample.image_path) for index, sample in enumerate(samples))
        items = predict_files(
            network.predict, network.variables, files, config.eval, network.sharding
        )
        return config, [
            ImageMap(samples[item.key], item.shrink_map, item.size)
            for item in items
            if item.shrink_map is not None  # else the image cannot be read
        ]
    images = []
    for sample in samples:
        size = read_image(sample.image_path).shape[:2]
        height, width = -(-size[0] // 32) * 32, -(-size[1] // 32) * 32  # as a network's maps
        targets = draw_targets(sample.polygons, sample.ignore, height, width)
        images.append(ImageMap(sample, targets["shrink_map"].astype(np.float32) * 0.9, size))
    return config, images


def run_postprocess(args: argparse.Namespace, folder: str) -> Iterator[Row]:
    """Milliseconds from one shrink map to its polygons."""
    config, images = make_maps(args, folder, 10 if args.quick else 50)
    post = config.postprocess.to_dict()
    value = per_item(lambda item: find_polygons(item.shrink_map, item.size, **post), images)
    case = "x".join(map(str, images[0].shrink_map.shape))
    yield case, "map -> polygons", value, "ms"


def run_metric(args: argparse.Namespace, folder: str) -> Iterator[Row]:
    """Milliseconds to match the boxes of one image with its labels."""
    config, images = make_maps(args, folder, 10 if args.quick else 50)
    post = config.postprocess.to_dict()
    found = [(s, find_polygons(shrink, size, **post)[0]) for s, shrink, size in images]
    value = per_item(lambda item: match_image(item[0].polygons, item[0].ignore, item[1]), found)
    yield f"{len(found)} images", "matching", value, "ms"


def run_evaluate(args: argparse.Namespace, folder: str) -> Iterator[Row]:
    """Milliseconds per image of a complete evaluation, and of onnxruntime's forward pass alone."""
    if not args.weights:
        print("the part evaluate needs --weights: skipped")
        return
    from ppocr_jax.onnx_files.session import make_onnx_predict, open_session
    from ppocr_jax.onnx_files.writer import build_onnx

    config = make_config(args, folder)
    samples = read_validation(config)[: 20 if args.quick else None]
    network = open_network(config, args.weights, "student")
    arguments = (network.predict, network.variables, samples, config, network.sharding)
    evaluate(*arguments[:2], samples[:8], *arguments[3:])  # compiles
    _, variables, _ = load_network(config, args.weights, "student")
    path = f"{folder}/student.onnx"
    with open(path, "wb") as file:
        file.write(build_onnx(config.roles.student, variables).SerializeToString())
    session = open_session(path)
    predict = make_onnx_predict(session, path)
    image = np.zeros((1, 736, 1312, 3), np.uint8)
    predict(None, image)  # warm-up
    ours, theirs = [], []
    for _ in range(1 if args.quick else 3):
        started = time.perf_counter()
        evaluate(*arguments)
        ours.append((time.perf_counter() - started) / len(samples) * 1e3)
        started = time.perf_counter()
        for _ in range(10):
            predict(None, image)
        theirs.append((time.perf_counter() - started) / 10 * 1e3)
    evaluation_ms, forward_ms = float(np.median(ours)), float(np.median(theirs))
    yield f"{len(samples)} images", "evaluation", evaluation_ms, "ms/image"
    yield "736x1312", "onnxruntime forward alone", forward_ms, "ms/image"
    yield "ratio", "evaluation / forward", evaluation_ms / forward_ms, "x"
