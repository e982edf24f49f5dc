"""Images -> shrink maps: files are decoded in threads, batched by equal size, and run in turn.

The truth is each image alone at its own multiple of 32, and that is what comes out. Images of
equal size share a pass; a short batch is filled up, so that one size compiles one program. Plain
padding to a common size would change the maps (squeeze-excite averages over the whole picture);
`shared_shapes` therefore carries the valid area through the network.
"""

import collections
import concurrent.futures
from typing import Any, NamedTuple

import jax
import numpy as np

from ppocr_jax.data.resize import plan_resize, read_image, resize_image
from ppocr_jax.devices import ready_on_cpu
from ppocr_jax.errors import UserError


class Prepared(NamedTuple):
    """An image at the network's size.

    Attributes:
        key: what the caller knows it by.
        image: uint8 `[H, W, 3]` BGR, sides multiples of 32.
        size: (height, width) of the file's own pixels.
    """

    key: Any
    image: np.ndarray
    size: tuple[int, int]


class Predicted(NamedTuple):
    """What the network says of an image; `shrink_map` is None, with a reason, if it has none."""

    key: Any
    shrink_map: np.ndarray | None
    size: tuple[int, int]
    reason: str = ""


def prepare(key, path, limit_side, limit_type):
    """Reads and resizes one image. Raises UserError when the file is no image."""
    image = read_image(path)
    height, width = plan_resize(*image.shape[:2], limit_side=limit_side, limit_type=limit_type)
    return Prepared(key, resize_image(image, height, width), image.shape[:2])


def predict_files(predict, variables, files, config, sharding=None, threads=4):
    """Shrink maps of files, in the order in which their batches are full.

    Args:
        predict: see `detection.network.make_predict`.
        variables: of the network, on the devices.
        files: `(key, path)` pairs.
        config: `config.eval`: limit_side, limit_type, batch_size, shared_shapes.
        sharding: of a batch over devices; None for the default device.
        threads: that decode and resize.

    Yields:
        `Predicted`, one per file. The map is float32 `[H, W]`, at the network's size.
    """
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        items = read_ahead(
            pool, files, lambda key, path: prepare(key, path, config.limit_side, config.limit_type)
        )
        yield from run_batches(predict, variables, items, config, sharding)


def read_ahead(pool, files, prepare, ahead=16):
    """Images in the order of their files, a bounded number of them read ahead.

    Args:
        pool: of threads.
        files: `(key, path)` pairs.
        prepare: `(key, path) -> Prepared`; its UserError becomes a `Predicted` with that reason.
        ahead: images in memory that nobody has asked for yet.
    """

    def attempt(key, path):
        try:
            return prepare(key, path)
        except UserError as error:
            return Predicted(key, None, (0, 0), str(error))

    queue = collections.deque()
    for key, path in files:
        queue.append(pool.submit(attempt, key, path))
        if len(queue) == ahead:
            yield queue.popleft().result()
    while queue:
        yield queue.popleft().result()


def run_batches(predict, variables, items, config, sharding=None):
    """Maps of prepared images, those of equal size together; see `predict_files`.

    Args:
        items: `Prepared` images; a `Predicted` among them passes through.
    """
    devices = 1 if sharding is None else sharding.num_devices
    size = -(-config.batch_size // devices) * devices
    run = _Runner(predict, variables, size, config.shared_shapes, sharding)
    waiting = collections.defaultdict(list)
    for item in items:
        if isinstance(item, Predicted):
            yield item
            continue
        shape = run.shape_of(item.image)
        waiting[shape].append(item)
        if len(waiting[shape]) == size:
            yield from run(shape, waiting.pop(shape))
        elif sum(map(len, waiting.values())) > 8 * size:
            oldest = next(iter(waiting))
            yield from run(oldest, waiting.pop(oldest))
    for shape, left in waiting.items():
        yield from run(shape, left)
    yield from run.drain()


class _Runner:
    """Sends batches to the device and hands back the one before, so that both sides work."""

    def __init__(self, predict, variables, size, multiple, sharding):
        self._predict, self._variables = predict, variables
        self._size, self._multiple, self._sharding = size, multiple, sharding
        self._pending = collections.deque()

    def shape_of(self, image):
        """The shape that an image is run at."""
        height, width = image.shape[:2]
        if not self._multiple:
            return height, width
        multiple = self._multiple
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple

    def __call__(self, shape, items):
        images = np.zeros((self._size, *shape, 3), np.uint8)
        area = np.full((self._size, 2), 32, np.int32)
        for index in range(self._size):
            item = items[min(index, len(items) - 1)]
            height, width = item.image.shape[:2]
            images[index, :height, :width] = item.image
            area[index] = height, width
        area = area if self._multiple else None
        images, area = ready_on_cpu(jax.device_put((images, area), self._sharding))
        self._pending.append((items, self._predict(self._variables, images, area)))
        return self._finish() if len(self._pending) > 1 else ()

    def drain(self):
        """The batches that are still on the device."""
        while self._pending:
            yield from self._finish()

    def _finish(self):
        items, maps = self._pending.popleft()
        maps = np.asarray(maps)
        for item, shrink_map in zip(items, maps, strict=False):
            height, width = item.image.shape[:2]
            yield Predicted(item.key, shrink_map[:height, :width], item.size)
