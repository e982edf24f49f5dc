"""Images -> shrink maps: decodes files in threads, batches images of equal size, runs the network.

Every image gets the map that it would get alone, at its own size rounded to multiples of 32. Images
of equal size share a batch, and an incomplete batch is filled up, so that each size compiles one
program. Plain padding to a common size would change the maps, since squeeze-excite averages over
the whole image; so `shared_shapes` passes the valid area through the network.

Memory is bounded for any set of images: the size of one by `resize.plan_size`, a batch by
`PASS_PIXELS`, what is waiting by `WAITING_PIXELS`. An image that fails is reported with its reason,
and the others continue.
"""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jaxtyping import Float, UInt8

from ppocr_jax.data.image_files import read_size
from ppocr_jax.data.resize import LARGE, plan_size, read_image, resize_image
from ppocr_jax.detection.shapes import PASS_PIXELS, Multiples, Shape
from ppocr_jax.devices import ready_on_cpu
from ppocr_jax.errors import UserError, counted, first_line
from ppocr_jax.timing.compilations import told_when_long

MOST_PASS_PIXELS = 32_000_000  # in one batch, unless a single image has more
WAITING_PIXELS = 64_000_000  # in images or maps that wait for their turn
# Words in the errors of XLA, C++ and OpenCV that mean a lack of memory.
NO_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "allocate", "bad_alloc", "Insufficient memory")
TOO_LARGE = "not enough memory for this image"
NOT_FINITE = "the network's map is not finite: its weights are damaged, or overflow"

Predict = Callable[..., Any]  # (variables, images, area) -> shrink maps, see `network.make_predict`


class Prepared(NamedTuple):
    """An image at the size at which the network sees it.

    Attributes:
        key: identifies the image to the caller.
        image: BGR; sides are multiples of 32.
        size: (height, width) of the image in the file.
        path: of the file, for messages.
    """

    key: Any
    image: UInt8[np.ndarray, "H W 3"]
    size: tuple[int, int]
    path: str


class Predicted(NamedTuple):
    """The network's result for an image.

    Attributes:
        key: identifies the image to the caller.
        shrink_map: float32, at the network's size; None if the image failed.
        size: (height, width) of the image in the file; (0, 0) if it failed.
        reason: why it failed, in one line that names the file; else "".
    """

    key: Any
    shrink_map: Float[np.ndarray, "H W"] | None
    size: tuple[int, int]
    reason: str = ""


def prepare(key: Any, path: str, limit_side: int, limit_type: str) -> Prepared:
    """Reads an image file and resizes the image for the network.

    Args:
        key: identifies the image to the caller.
        path: of the file.
        limit_side, limit_type: see `resize.plan_size`.

    Raises:
        UserError: the file cannot be read as an image.
    """
    return read_image(path, lambda image: fit(key, image, path, limit_side, limit_type))


def fit(
    key: Any, image: UInt8[np.ndarray, "H W 3"], path: str, limit_side: int, limit_type: str
) -> Prepared:
    """Resizes a BGR image for the network; for the arguments see `prepare`."""
    planned = plan_size(*image.shape[:2], limit_side=limit_side, limit_type=limit_type)
    return Prepared(key, resize_image(image, *planned), image.shape[:2], str(path))


def reason_for(path: str, error: BaseException) -> str:
    """One line that names a file and says why there is no result for it."""
    if isinstance(error, UserError):
        return str(error) if str(path) in str(error) else f"{path}: {error}"
    if isinstance(error, MemoryError) or any(word in str(error) for word in NO_MEMORY):
        return f"{path}: {TOO_LARGE}"
    return f"{path}: {first_line(error)}"


def predict_files(
    predict: Predict,
    variables: Any,
    files: Iterable[tuple[Any, str]],
    config: ml_collections.ConfigDict,
    sharding: jax.sharding.Sharding | None = None,
    threads: int = 4,
) -> Iterator[Predicted]:
    """Predicts the shrink maps of image files.

    Args:
        predict: see `network.make_predict`.
        variables: of the network, on the devices.
        files: `(key, path)` pairs.
        config: `config.eval`; reads limit_side, limit_type, batch_size and shared_shapes.
        sharding: of a batch over devices; None for the default device.
        threads: number of threads that decode and resize.

    Yields:
        One `Predicted` per file, in the order in which batches fill up.
    """
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        items = read_ahead(
            pool, files, lambda key, path: prepare(key, path, config.limit_side, config.limit_type)
        )
        yield from run_batches(predict, variables, items, config, sharding)


def read_ahead(
    pool: concurrent.futures.Executor,
    files: Iterable[tuple[Any, str]],
    prepare: Callable[[Any, str], Prepared],
    ahead: int = 16,
) -> Iterator[Prepared | Predicted]:
    """Reads images ahead in threads, and yields them in the order of their files.

    Args:
        pool: of threads.
        files: `(key, path)` pairs.
        prepare: `(key, path) -> Prepared`. If it fails, a `Predicted` with the reason is yielded.
        ahead: number of images to keep in memory before they are asked for. Large ones are not
            read ahead.
    """

    def attempt(key: Any, path: str) -> Prepared | Predicted:
        try:
            return prepare(key, path)
        except Exception as error:
            return Predicted(key, None, (0, 0), reason_for(path, error))

    def attempt_early(key: Any, path: str) -> Prepared | Predicted | None:
        height, width = read_size(path) or (0, 0)
        return attempt(key, path) if height * width <= LARGE else None

    queue: collections.deque = collections.deque()

    def take() -> Prepared | Predicted:
        file, future = queue.popleft()
        return future.result() or attempt(*file)

    for file in files:
        queue.append((file, pool.submit(attempt_early, *file)))
        if len(queue) == ahead:
            yield take()
    while queue:
        yield take()


def in_threads(
    pool: concurrent.futures.Executor,
    work: Callable[[Predicted], Any],
    items: Iterable[Predicted],
    most: int,
) -> Iterator[tuple[Any, Any]]:
    """Runs `work` on predictions in threads; yields `(key, work(item))` in their order.

    Args:
        pool: of threads.
        work: should not raise because of an image's content.
        items: predictions; the pixels of their maps bound how many wait in memory.
        most: largest number of items that wait.
    """
    waiting: collections.deque = collections.deque()
    held = 0
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


def run_batches(
    predict: Predict,
    variables: Any,
    items: Iterable[Prepared | Predicted],
    config: ml_collections.ConfigDict,
    sharding: jax.sharding.Sharding | None = None,
    shapes: Callable[[int, int], Shape] | None = None,
) -> Iterator[Predicted]:
    """Predicts the maps of prepared images, in batches of equal shape; see `predict_files`.

    Args:
        items: prepared images; a `Predicted` among them is passed on.
        shapes: `(height, width)` -> the shape at which an image runs; default: `Multiples` of
            `config.shared_shapes`.

    Raises:
        UserError: the network refused every image, for example because an ONNX file was exported
            for another size. If it accepts some images, each of the others has its reason.
    """
    shapes = shapes or Multiples(config.shared_shapes)
    run = _Runner(predict, variables, config.batch_size, sharding)
    waiting: dict[Shape, list[Prepared]] = collections.defaultdict(list)
    for item in items:
        if isinstance(item, Predicted):
            yield item
            continue
        shape = shapes(*item.image.shape[:2])
        waiting[shape].append(item)
        if len(waiting[shape]) == run.size_of(shape):
            yield from run(shape, waiting.pop(shape))
        # Many sizes could fill memory with incomplete batches: run the oldest one as it is.
        elif _piles_up(waiting, 8 * run.most):
            oldest = next(iter(waiting))
            yield from run(oldest, waiting.pop(oldest))
    for shape, left in waiting.items():
        yield from run(shape, left)
    yield from run.drain()


def plan_passes(
    sizes: Iterable[tuple[int, int]],
    config: ml_collections.ConfigDict,
    sharding: jax.sharding.Sharding | None = None,
) -> Iterator[tuple[Shape, int]]:
    """Yields `(shape, batch size)` of each program that images need, in the order of first use.

    Args:
        sizes: (height, width) of `Prepared` images.
        config, sharding: see `predict_files`.
    """
    shapes, run = Multiples(config.shared_shapes), _Runner(None, None, config.batch_size, sharding)
    found: set[Shape] = set()
    for size in sizes:
        shape = shapes(*size)
        if shape not in found:
            found.add(shape)
            yield shape, run.size_of(shape)


def _piles_up(waiting: Mapping[Shape, Sequence[Prepared]], most: int) -> bool:
    """Whether too many images wait, by their number or by their pixels."""
    count = sum(map(len, waiting.values()))
    pixels = sum(len(items) * s.height * s.width for s, items in waiting.items())
    return count > most or pixels > WAITING_PIXELS


class _Runner:
    """Runs batches on the device, one behind: while one runs, the one before is handed back.

    If a batch fails, its images run again one by one, so that only the guilty ones fail.

    Attributes:
        most: largest number of images in a batch, a multiple of the number of devices.
    """

    def __init__(
        self,
        predict: Any,
        variables: Any,
        batch_size: int,
        sharding: jax.sharding.Sharding | None,
    ) -> None:
        self._predict, self._variables, self._sharding = predict, variables, sharding
        self._least = 1 if sharding is None else sharding.num_devices
        self.most = -(-batch_size // self._least) * self._least
        self._pending: collections.deque = collections.deque()
        self._took_one = False
        self._refused: list[tuple[Prepared, UserError]] = []

    def size_of(self, shape: Shape) -> int:
        """Batch size for a shape, a multiple of the number of devices."""
        pixels = min(self.most * PASS_PIXELS, MOST_PASS_PIXELS)
        fits = pixels // (shape.height * shape.width) // self._least * self._least
        return max(self._least, min(self.most, fits))

    def __call__(self, shape: Shape, items: Sequence[Prepared]) -> Iterable[Predicted]:
        """Starts a batch; returns the results of the batch before it."""
        maps = self._attempt(self._start, shape, items, self.size_of(shape))
        self._pending.append((shape, items, maps))
        return self._finish() if len(self._pending) > 1 else ()

    def drain(self) -> Iterator[Predicted]:
        """The results of batches still on the device, then the images that the network refused."""
        while self._pending:
            yield from self._finish()
        if self._refused and not self._took_one:
            raise self._refused[0][1]
        for item, error in self._refused:
            yield self._failed(item, error)

    @staticmethod
    def _attempt(work: Callable[..., Any], *arguments: Any) -> Any:
        """Returns a function's result, or the exception that it raised."""
        try:
            return work(*arguments)
        except Exception as error:
            return error

    def _start(self, shape: Shape, items: Sequence[Prepared], size: int) -> Any:
        """Starts a batch and returns its maps, which the device may still be computing."""
        images = np.zeros((size, shape.height, shape.width, 3), np.uint8)
        area = np.full((size, 2), 32, np.int32)
        # An incomplete batch repeats its last image; `_hand_back` drops the copies.
        for index in range(size):
            item = items[min(index, len(items) - 1)]
            height, width = item.image.shape[:2]
            images[index, :height, :width] = item.image
            area[index] = height, width
        # Without an area the program is simpler and faster.
        valid = area if shape.shared else None
        images, area = ready_on_cpu(jax.device_put((images, valid), self._sharding))
        with told_when_long(
            f"the network for {counted(size, 'image')} of {shape[1]}x{shape[0]} pixels at a time",
            lambda: {"program": "maps", "images": images.shape, "network": self._shapes()},
        ):
            return self._predict(self._variables, images, area)

    def _shapes(self) -> str:
        """Shapes and dtypes of the network's variables, as an identity of its program."""
        return str(jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), self._variables))

    def _finish(self) -> Iterator[Predicted]:
        """Waits for the oldest batch on the device and yields its results."""
        shape, items, maps = self._pending.popleft()
        if not isinstance(maps, Exception):
            maps = self._attempt(np.asarray, maps)
        # Too much memory, or one bad image: find out which by running them alone.
        if isinstance(maps, Exception) and self.size_of(shape) > self._least:
            for item in items:
                yield from self._run_alone(shape, item)
        else:
            yield from self._hand_back(items, maps)

    def _run_alone(self, shape: Shape, item: Prepared) -> Iterator[Predicted]:
        maps = self._attempt(lambda: np.asarray(self._start(shape, [item], self._least)))
        return self._hand_back([item], maps)

    def _hand_back(self, items: Sequence[Prepared], maps: Any) -> Iterator[Predicted]:
        """Results of a batch, from its maps or from the exception that took their place."""
        if isinstance(maps, UserError):
            self._refused += [(item, maps) for item in items]
            return
        if isinstance(maps, Exception):
            yield from (self._failed(item, maps) for item in items)
            return
        for item, shrink_map in zip(items, maps, strict=False):  # maps may end with filled-up ones
            if not np.isfinite(shrink_map).all():
                self._refused.append((item, UserError(NOT_FINITE)))
                continue
            self._took_one = True
            height, width = item.image.shape[:2]
            yield Predicted(item.key, shrink_map[:height, :width], item.size)

    @staticmethod
    def _failed(item: Prepared, error: BaseException) -> Predicted:
        return Predicted(item.key, None, (0, 0), reason_for(item.path, error))
