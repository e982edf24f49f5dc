"""Images -> shrink maps: files are decoded in threads, batched by equal size, and run in turn.

The truth is each image alone at its own multiple of 32, and that is what comes out. Images of
equal size share a pass; a short batch is filled up, so that one size compiles one program. Plain
padding to a common size would change the maps (squeeze-excite averages over the whole picture);
`shared_shapes` therefore carries the valid area through the network.

Memory is bounded whatever the pictures are: their sizes by `resize.plan_size`, a pass by
`PASS_PIXELS`, what waits by `WAITING_PIXELS`. What fails is one picture's: it is named with the
reason, and the others go on.
"""

import collections
import concurrent.futures
from typing import Any, NamedTuple

import jax
import numpy as np

from ppocr_jax.data.image_files import read_size
from ppocr_jax.data.resize import LARGE, plan_size, read_image, resize_image
from ppocr_jax.detection.shapes import PASS_PIXELS, Multiples
from ppocr_jax.devices import ready_on_cpu
from ppocr_jax.errors import UserError, counted, first_line
from ppocr_jax.timing.compilations import told_when_long

MOST_PASS_PIXELS = 32_000_000  # of a batch, unless a single image has more
WAITING_PIXELS = 64_000_000  # of images and maps that wait for their turn
NO_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "allocate", "bad_alloc", "Insufficient memory")
TOO_LARGE = "not enough memory for this image"
NOT_FINITE = "the network's map is not finite: its weights are damaged, or overflow"


class Prepared(NamedTuple):
    """An image at the network's size.

    Attributes:
        key: what the caller knows it by.
        image: uint8 `[H, W, 3]` BGR, sides multiples of 32.
        size: (height, width) of the file's own pixels.
        path: of the file, for messages.
    """

    key: Any
    image: np.ndarray
    size: tuple[int, int]
    path: str


class Predicted(NamedTuple):
    """What the network says of an image; `shrink_map` is None, with a reason, if it has none."""

    key: Any
    shrink_map: np.ndarray | None
    size: tuple[int, int]
    reason: str = ""


def prepare(key, path, limit_side, limit_type):
    """Reads and resizes one image. Raises UserError when the file is no image."""

    return read_image(path, lambda image: fit(key, image, path, limit_side, limit_type))


def fit(key, image, path, limit_side, limit_type):
    """`Prepared` of uint8 `[H, W, 3]` BGR: at the size that `resize.plan_size` gives."""
    planned = plan_size(*image.shape[:2], limit_side=limit_side, limit_type=limit_type)
    return Prepared(key, resize_image(image, *planned), image.shape[:2], str(path))


def reason_for(path, error):
    """Why an image has no result, in one line that names its file."""
    if isinstance(error, UserError):
        return str(error) if str(path) in str(error) else f"{path}: {error}"
    if isinstance(error, MemoryError) or any(word in str(error) for word in NO_MEMORY):
        return f"{path}: {TOO_LARGE}"
    return f"{path}: {first_line(error)}"


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
        prepare: `(key, path) -> Prepared`; where it fails, a `Predicted` with the reason follows.
        ahead: images in memory that nobody has asked for yet; large ones are read when asked for.
    """

    def attempt(key, path):
        try:
            return prepare(key, path)
        except Exception as error:
            return Predicted(key, None, (0, 0), reason_for(path, error))

    def attempt_early(key, path):
        height, width = read_size(path) or (0, 0)
        return attempt(key, path) if height * width <= LARGE else None

    queue = collections.deque()

    def take():
        file, future = queue.popleft()
        return future.result() or attempt(*file)

    for file in files:
        queue.append((file, pool.submit(attempt_early, *file)))
        if len(queue) == ahead:
            yield take()
    while queue:
        yield take()


def in_threads(pool, work, items, most):
    """`(key, work(item))` of `Predicted` items in their order; few of them wait in memory.

    Args:
        pool: of threads.
        work: is to fail for nothing that lies in the picture.
        items: whose maps count in pixels.
        most: items that wait.
    """
    waiting, held = collections.deque(), 0
    for item in items:
        pixels = 0 if item.shrink_map is None else item.shrink_map.size
        waiting.append((item.key, pixels, pool.submit(work, item)))
        held += pixels
        while waiting and (waiting[0][2].done() or len(waiting) > most or held > WAITING_PIXELS):
            key, pixels, future = waiting.popleft()
            held -= pixels
            yield key, future.result()
    while waiting:
        key, _, future = waiting.popleft()
        yield key, future.result()


def run_batches(predict, variables, items, config, sharding=None, shapes=None):
    """Maps of prepared images, those of equal size together; see `predict_files`.

    Args:
        items: `Prepared` images; a `Predicted` among them passes through.
        shapes: `(height, width) -> shapes.Shape` at which an image runs; default: as
            `config.shared_shapes` says.

    Raises:
        UserError: the network's own, where it takes none of the images; a file made for another
            size, for example. Where it takes some, the others have their reasons.
    """
    shapes = shapes or Multiples(config.shared_shapes)
    run = _Runner(predict, variables, config.batch_size, sharding)
    waiting = collections.defaultdict(list)
    for item in items:
        if isinstance(item, Predicted):
            yield item
            continue
        shape = shapes(*item.image.shape[:2])
        waiting[shape].append(item)
        if len(waiting[shape]) == run.size_of(shape):
            yield from run(shape, waiting.pop(shape))
        elif _piles_up(waiting, 8 * run.most):
            oldest = next(iter(waiting))
            yield from run(oldest, waiting.pop(oldest))
    for shape, left in waiting.items():
        yield from run(shape, left)
    yield from run.drain()


def plan_passes(sizes, config, sharding=None):
    """`(Shape, images in a batch)` of each program that images of some sizes need, as they come.

    Args:
        sizes: heights and widths of `Prepared` images.
        config, sharding: see `predict_files`.
    """
    shapes, run = Multiples(config.shared_shapes), _Runner(None, None, config.batch_size, sharding)
    found = set()
    for size in sizes:
        shape = shapes(*size)
        if shape not in found:
            found.add(shape)
            yield shape, run.size_of(shape)


def _piles_up(waiting, most):
    """Whether more images wait than there should, in number or in pixels."""
    count = sum(map(len, waiting.values()))
    pixels = sum(len(items) * s.height * s.width for s, items in waiting.items())
    return count > most or pixels > WAITING_PIXELS


class _Runner:
    """Sends batches to the device and hands back the one before, so that both sides work.

    A batch that fails is run again image by image, so that only those fail that cannot be run.

    Attributes:
        most: images in a batch.
    """

    def __init__(self, predict, variables, batch_size, sharding):
        self._predict, self._variables, self._sharding = predict, variables, sharding
        self._least = 1 if sharding is None else sharding.num_devices
        self.most = -(-batch_size // self._least) * self._least
        self._pending = collections.deque()
        self._took_one, self._refused = False, []

    def size_of(self, shape):
        """Images of a shape in one batch, a multiple of the devices."""
        pixels = min(self.most * PASS_PIXELS, MOST_PASS_PIXELS)
        fits = pixels // (shape.height * shape.width) // self._least * self._least
        return max(self._least, min(self.most, fits))

    def __call__(self, shape, items):
        maps = self._attempt(self._start, shape, items, self.size_of(shape))
        self._pending.append((shape, items, maps))
        return self._finish() if len(self._pending) > 1 else ()

    def drain(self):
        """The batches that are still on the device; then what the network refused."""
        while self._pending:
            yield from self._finish()
        if self._refused and not self._took_one:
            raise self._refused[0][1]
        for item, error in self._refused:
            yield self._failed(item, error)

    @staticmethod
    def _attempt(work, *arguments):
        """What a function returns, or the exception that it raises."""
        try:
            return work(*arguments)
        except Exception as error:
            return error

    def _start(self, shape, items, size):
        """Maps of a batch, which the device may still work at."""
        images = np.zeros((size, shape.height, shape.width, 3), np.uint8)
        area = np.full((size, 2), 32, np.int32)
        for index in range(size):
            item = items[min(index, len(items) - 1)]
            height, width = item.image.shape[:2]
            images[index, :height, :width] = item.image
            area[index] = height, width
        area = area if shape.shared else None
        images, area = ready_on_cpu(jax.device_put((images, area), self._sharding))
        with told_when_long(
            f"the network for {counted(size, 'picture')} of {shape[1]}x{shape[0]} pixels at a time",
            lambda: {"program": "maps", "images": images.shape, "network": self._shapes()},
        ):
            return self._predict(self._variables, images, area)

    def _shapes(self):
        """Shapes and types of the network's variables, which tell networks apart."""
        return str(jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), self._variables))

    def _finish(self):
        shape, items, maps = self._pending.popleft()
        if not isinstance(maps, Exception):
            maps = self._attempt(np.asarray, maps)
        if isinstance(maps, Exception) and self.size_of(shape) > self._least:
            for item in items:
                yield from self._run_alone(shape, item)
        else:
            yield from self._hand_back(items, maps)

    def _run_alone(self, shape, item):
        maps = self._attempt(lambda: np.asarray(self._start(shape, [item], self._least)))
        return self._hand_back([item], maps)

    def _hand_back(self, items, maps):
        """`Predicted` of each image, by the maps of the batch or the exception in their place."""
        if isinstance(maps, UserError):
            self._refused += [(item, maps) for item in items]
            return
        if isinstance(maps, Exception):
            yield from (self._failed(item, maps) for item in items)
            return
        for item, shrink_map in zip(items, maps, strict=False):
            if not np.isfinite(shrink_map).all():
                self._refused.append((item, UserError(NOT_FINITE)))
                continue
            self._took_one = True
            height, width = item.image.shape[:2]
            yield Predicted(item.key, shrink_map[:height, :width], item.size)

    @staticmethod
    def _failed(item, error):
        return Predicted(item.key, None, (0, 0), reason_for(item.path, error))
