"""PaddlePaddle's `.pdparams` files, read and written without Paddle and without running code.

Such a file is a pickle of a dict `name -> numpy array`. What a pickle may do is in `pickles`; here
its content is checked, and made arrays.
"""

import math
import pathlib
import pickle

import numpy as np

from ppocr_jax.errors import UserError, first_line
from ppocr_jax.files import replacing
from ppocr_jax.foreign import read_whole, what_it_is
from ppocr_jax.weights.pickles import Array, Dtype, Items, Refused, describe, load

NAME_TABLE = "StructuredToParameterName@@"
SLICE_TABLE = "UnpackBigParamInfor@@"
KINDS = "fiub"  # of dtype: floats, integers, booleans
MOST_AXES, MOST_LENGTH = 32, 1 << 40
MOST_GROWTH = 2  # bytes in memory to bytes of the file: 16 bits become 32


def read_pdparams(path):
    """Arrays of a `.pdparams` file by name, in the file's order.

    Args:
        path: the file, or its name without `.pdparams`, as PaddleOCR writes it in commands.

    Returns:
        `{name: array}`, C order, native byte order; all floats are float32.

    Raises:
        UserError: no such file, no pickle, a pickle that holds or asks for anything but arrays
            and plain containers (it names what), or the file of an optimiser's state.
    """
    path = _find(path)
    data = read_whole(path)
    try:
        content = load(data)
        if not isinstance(content, Items) or content.kind != "dict":
            raise Refused(f"it holds {describe(content)}, not arrays by name")
    except Exception as error:  # whatever a damaged pickle runs into
        words = what_it_is(data, path)
        if words:
            raise UserError(f"{path}: not a .pdparams file but {words}") from None
        if isinstance(error, Refused):
            raise UserError(f"{path}: refused as weights: {error}") from None
        raise UserError(
            f"{path}: no readable .pdparams file ({first_line(error)[:120]}); copy it again"
        ) from None
    return _to_arrays(content.mapping(), len(data), path)


def _find(path):
    path = pathlib.Path(path)
    if path.suffix in (".pdopt", ".states"):
        beside = path.with_suffix(".pdparams")
        hint = f": take {beside}" if beside.exists() else ""
        raise UserError(f"{path}: holds the state of a run, not weights{hint}")
    if not path.exists() and path.with_name(path.name + ".pdparams").exists():
        path = path.with_name(path.name + ".pdparams")
    if not path.exists():
        raise UserError(f"{path}: there is no such file")
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a .pdparams file")
    return path


def _to_arrays(content, size, path):
    slices = content.pop(SLICE_TABLE, None)
    content.pop(NAME_TABLE, None)
    left = MOST_GROWTH * size  # bytes that arrays may take
    arrays = {}
    for name, value in content.items():
        if isinstance(value, Items) and value.kind == "tuple" and len(value.values) == 2:
            value = value.values[1]  # (internal name, array), as some dicts are stored
        if not isinstance(value, Array):
            raise UserError(f"{path}: {describe(name)} is {describe(value)}, not an array")
        try:
            array = make_array(value, left)
        except Refused as error:
            raise UserError(f"{path}: refused as weights: {describe(name)} is {error}") from None
        left -= array.nbytes
        arrays[name] = array
    return arrays if slices is None else _join(arrays, slices, path)


def make_array(pickled, limit):
    """The array that a pickle describes: C order, native byte order, a copy.

    All floats become float32, also bfloat16, which Paddle stores as uint16.

    Args:
        pickled: `pickles.Array`.
        limit: bytes that it may have.

    Raises:
        Refused: its shape, type or content do not go together, or float32 is too narrow for it.
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
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return _narrowed(array) if array.dtype.kind == "f" else array


def _narrowed(array):
    """Floats as float32, none of which may become infinite by it."""
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if (np.isinf(narrow) & np.isfinite(array)).any():
        raise Refused(f"an array of {array.dtype} with numbers beyond the range of float32")
    return narrow


def _make_shape(shape):
    """A tuple of lengths, few and none beyond what memory can address."""
    lengths = tuple(shape.values)
    whole = all(type(length) is int and 0 <= length < MOST_LENGTH for length in lengths)
    if not whole or len(lengths) > MOST_AXES:
        raise Refused(f"an array of {len(lengths)} axes whose lengths make no sense")
    return lengths


def _make_dtype(pickled):
    """A dtype of numbers: no fields, no objects."""
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
        return np.dtype(code).newbyteorder(order)
    except TypeError:
        raise Refused(f"an array of dtype {describe(code)}") from None


def _join(arrays, slices, path):
    """Puts together what old protocols had to cut into one-dimensional slices."""
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
            reason = "its table is no table of names and lengths"
        elif isinstance(error, KeyError):
            reason = f"there is no {describe(error.args[0])}"
        raise UserError(
            f"{path}: the slices of a large array do not fit ({reason[:120]})"
        ) from None
    return arrays


class _Pickler(pickle._Pickler):
    """Writes arrays under the module names that every NumPy and every Paddle knows."""

    def save_global(self, obj, name=None):
        if getattr(obj, "__module__", "").startswith("numpy._core"):
            self.write(f"cnumpy.core.multiarray\n{obj.__name__}\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)


def write_pdparams(path, arrays):
    """Writes arrays as PaddlePaddle's `save` does: the file is whole or absent.

    Args:
        path: of the file; its folder is made when missing.
        arrays: `{name: array}`; stored as float32 in C order.

    Raises:
        OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    content = {name: np.ascontiguousarray(value, np.float32) for name, value in arrays.items()}
    for name, value in arrays.items():  # ascontiguousarray makes a scalar one-dimensional
        content[name] = content[name].reshape(np.shape(value))
    content[NAME_TABLE] = {name: name for name in arrays}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        _Pickler(file, protocol=2).dump(content)
