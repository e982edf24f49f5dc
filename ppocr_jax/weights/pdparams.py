"""Reads and writes PaddlePaddle's `.pdparams` files without Paddle and without running their code.

Such a file is a pickle of a dict `name -> numpy array`. `pickles` decodes it safely; here its
content is checked and turned into arrays.
"""

import math
import os
import pathlib
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np

from ppocr_jax.errors import UserError, first_line
from ppocr_jax.files import replacing
from ppocr_jax.foreign import read_whole, what_it_is
from ppocr_jax.weights.pickles import Array, Dtype, Items, Refused, describe, load
from ppocr_jax.weights.published import suggest

# Keys that Paddle adds beside the parameters (the second is spelled so there).
NAME_TABLE = "StructuredToParameterName@@"
SLICE_TABLE = "UnpackBigParamInfor@@"
KINDS = "fiub"  # kinds of dtype: floats, integers, booleans
MOST_AXES, MOST_LENGTH = 32, 1 << 40
MOST_GROWTH = 2  # bytes in memory over bytes in the file: 16-bit floats become 32-bit ones


def read_pdparams(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the arrays of a `.pdparams` file, in the order of the file.

    Args:
        path: of the file; `.pdparams` may be left out, as in PaddleOCR's commands.

    Returns:
        `{name: array}` in C order and native byte order; all floats are float32.

    Raises:
        UserError: there is no such file; it is not a pickle; the pickle holds or calls anything
            other than arrays and plain containers (named in the message); or it is an optimiser's
            state.
    """
    path = _find(path)
    data = read_whole(path)
    try:
        content = load(data)
        if not isinstance(content, Items) or content.kind != "dict":
            raise Refused(f"it holds {describe(content)}, not arrays by name")
    except Exception as error:  # a damaged pickle can raise anything
        words = what_it_is(data, path)
        if words:
            raise UserError(f"{path}: not a .pdparams file but {words}") from None
        if isinstance(error, Refused):
            raise UserError(f"{path}: refused as weights: {error}") from None
        raise UserError(
            f"{path}: cannot be read as .pdparams ({first_line(error)[:120]}); copy it again"
        ) from None
    return _to_arrays(content.mapping(), len(data), path)


def _find(name: str | os.PathLike[str]) -> pathlib.Path:
    """The file that a user means. Raises UserError when there is none, or not one of weights."""
    path = pathlib.Path(name)
    if path.suffix in (".pdopt", ".states"):
        beside = path.with_suffix(".pdparams")
        hint = f": use {beside}" if beside.exists() else ""
        raise UserError(f"{path}: holds the state of a run, not weights{hint}")
    if not path.exists() and path.with_name(path.name + ".pdparams").exists():
        path = path.with_name(path.name + ".pdparams")
    if not path.exists():
        raise UserError(f"{path}: there is no such file{suggest(str(name))}")
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a .pdparams file")
    return path


def _to_arrays(content: dict[str, Any], size: int, path: pathlib.Path) -> dict[str, np.ndarray]:
    """Arrays from the decoded dict of a file of `size` bytes."""
    slices = content.pop(SLICE_TABLE, None)
    content.pop(NAME_TABLE, None)
    # The same bytes can be referred to many times: a small file must not fill the memory.
    left = MOST_GROWTH * size
    arrays: dict[str, np.ndarray] = {}
    for name, value in content.items():
        if isinstance(value, Items) and value.kind == "tuple" and len(value.values) == 2:
            value = value.values[1]  # (internal name, array): some versions of Paddle store pairs
        if not isinstance(value, Array):
            raise UserError(f"{path}: {describe(name)} is {describe(value)}, not an array")
        try:
            array = make_array(value, left)
        except Refused as error:
            raise UserError(f"{path}: refused as weights: {describe(name)} is {error}") from None
        left -= array.nbytes
        arrays[name] = array
    return arrays if slices is None else _join(arrays, slices, path)


def make_array(pickled: Array, limit: int) -> np.ndarray:
    """The array that a pickle describes, copied to C order and native byte order.

    All floats become float32, including bfloat16, which Paddle stores as uint16.

    Args:
        pickled: as decoded.
        limit: highest number of bytes.

    Raises:
        Refused: shape, dtype and content do not fit together, or a number is too large for
            float32.
    """
    state = pickled.state
    if not isinstance(state, list) or len(state) not in (4, 5):
        raise Refused("an array without its content")
    shape, dtype, fortran, data = state[-4:]
    if not isinstance(dtype, Dtype) or not isinstance(shape, Items) or shape.kind != "tuple":
        raise Refused("an array without shape and dtype")
    dtype, shape = _make_dtype(dtype), _make_shape(shape)
    if not isinstance(data, bytes | bytearray):
        raise Refused("an array of objects")
    size = dtype.itemsize * math.prod(shape)
    if size != len(data):
        raise Refused(f"an array of {size} bytes that holds {len(data)}")
    if size > limit:
        raise Refused("an array beyond the size of the file: the same bytes serve several")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran is True else "C")
    array = np.array(array, dtype.newbyteorder("="), order="C")
    if array.dtype == np.uint16:  # bfloat16 is the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return _narrowed(array) if array.dtype.kind == "f" else array


def _narrowed(array: np.ndarray) -> np.ndarray:
    """Floats as float32. Raises Refused where a finite number would become infinite."""
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if (np.isinf(narrow) & np.isfinite(array)).any():
        raise Refused(f"an array of {array.dtype} with numbers beyond the range of float32")
    return narrow


def _make_shape(shape: Items) -> tuple[int, ...]:
    """A tuple of lengths. Raises Refused for those that no array can have."""
    lengths = tuple(shape.values)
    whole = all(type(length) is int and 0 <= length < MOST_LENGTH for length in lengths)
    if not whole or len(lengths) > MOST_AXES:
        raise Refused(f"an array of {len(lengths)} axes whose lengths make no sense")
    return lengths


def _make_dtype(pickled: Dtype) -> np.dtype:
    """A dtype of plain numbers. Raises Refused for fields, objects and anything else."""
    code, state = pickled.code, pickled.state
    order = "="
    if state is not None:
        if len(state) < 8 or any(part is not None for part in state[2:5]):
            raise Refused("a structured dtype")
        order = state[1]
    if not isinstance(code, str) or code[:1] not in KINDS or len(code) > 3:
        raise Refused(f"an array of dtype {describe(code)}")
    if not isinstance(order, str) or order not in ("<", ">", "=", "|"):
        raise Refused(f"a dtype of byte order {describe(order)}")
    try:
        return np.dtype(code).newbyteorder(order)  # type: ignore[arg-type]  # checked above
    except TypeError:
        raise Refused(f"an array of dtype {describe(code)}") from None


def _join(arrays: dict[str, np.ndarray], slices: Any, path: pathlib.Path) -> dict[str, np.ndarray]:
    """Puts large arrays together again, which old pickle protocols had to cut into slices."""
    try:
        for name, entry in slices.mapping().items():
            entry = entry.mapping()
            parts = [arrays.pop(part) for part in entry["slices"].values if isinstance(part, str)]
            whole = np.concatenate(parts)
            if len({part.dtype for part in parts}) > 1:
                raise ValueError("of several types")
            shape = _make_shape(entry["OriginShape"])
            if math.prod(shape) != whole.size:
                raise ValueError(f"{whole.size} numbers for {math.prod(shape)}")
            arrays[name] = whole.reshape(shape)
    except (AttributeError, KeyError, TypeError, ValueError, Refused) as error:
        reason = str(error)
        if isinstance(error, AttributeError | TypeError):
            reason = "its table does not hold names and lengths"
        elif isinstance(error, KeyError):
            reason = f"there is no {describe(error.args[0])}"
        raise UserError(
            f"{path}: the slices of a large array do not fit ({reason[:120]})"
        ) from None
    return arrays


_PythonPickler: Any = pickle._Pickler  # not the C one, whose methods cannot be overridden


class _Pickler(_PythonPickler):
    """Writes arrays under module names that every version of NumPy and Paddle knows."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        # NumPy 2 moved numpy.core to numpy._core, which older versions cannot import.
        if getattr(obj, "__module__", "").startswith("numpy._core"):
            self.write(f"cnumpy.core.multiarray\n{obj.__name__}\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)


def write_pdparams(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as PaddlePaddle's `save` does. The file is complete or absent.

    Args:
        path: of the file; its folder is made if necessary.
        arrays: `{name: array}`; stored as float32 in C order.

    Raises:
        OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    content: dict[str, Any]
    content = {name: np.ascontiguousarray(value, np.float32) for name, value in arrays.items()}
    for name, value in arrays.items():  # ascontiguousarray makes a scalar one-dimensional
        content[name] = content[name].reshape(np.shape(value))
    content[NAME_TABLE] = {name: name for name in arrays}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        _Pickler(file, protocol=2).dump(content)
