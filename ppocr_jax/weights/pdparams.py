"""PaddlePaddle's `.pdparams` files, read and written without Paddle and without running code.

Such a file is a pickle of a dict `name -> numpy array`. A pickle may name any function and have
it called while it loads; this reader knows the few names that arrays need and refuses all others.
"""

import codecs
import collections
import pathlib
import pickle

import numpy as np

from ppocr_jax.errors import UserError
from ppocr_jax.files import replacing

NAME_TABLE = "StructuredToParameterName@@"
SLICE_TABLE = "UnpackBigParamInfor@@"
KINDS = "fiub"  # of dtype: floats, integers, booleans


def _encode(text, encoding="latin1"):
    """What protocol 2 calls to store bytes as text: latin-1 and nothing else."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("_codecs.encode of something but latin-1 text")
    return codecs.latin_1_encode(text)[0]


class _Array:
    """Stands for `numpy.ndarray` while a pickle loads; `finish` makes the real one.

    NumPy's own `__setstate__` trusts the shape and the bytes that it is given. Here they are
    kept as they are and looked at before any array is made.
    """

    def __init__(self):
        self.state = None

    def __setstate__(self, state):
        self.state = state

    def finish(self):
        """The array, a copy of the pickled bytes."""
        if not isinstance(self.state, tuple) or len(self.state) not in (4, 5):
            raise pickle.UnpicklingError("an array without its content")
        shape, dtype, fortran, data = self.state[-4:]
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise pickle.UnpicklingError("an array without shape and dtype")
        dtype = dtype.finish()
        if not all(isinstance(n, int) and n >= 0 for n in shape):
            raise pickle.UnpicklingError(f"an array of shape {shape}")
        if not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array of objects")
        size = dtype.itemsize
        for n in shape:
            size *= n
        if size != len(data):
            raise pickle.UnpicklingError(f"an array of {size} bytes that holds {len(data)}")
        array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        return np.array(array, dtype.newbyteorder("="), order="C")


class _Dtype:
    """Stands for `numpy.dtype`: numbers only, no fields, no objects."""

    def __init__(self, code, align=False, copy=False):
        self.code, self.order = code, "="

    def __setstate__(self, state):
        if not isinstance(state, tuple) or len(state) < 8 or state[2:5] != (None, None, None):
            raise pickle.UnpicklingError("a structured dtype")
        self.order = state[1]

    def finish(self):
        """The dtype."""
        if not isinstance(self.code, str) or self.code[:1] not in KINDS or len(self.code) > 3:
            raise pickle.UnpicklingError(f"an array of dtype {self.code!r}")
        if self.order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"a dtype of byte order {self.order!r}")
        try:
            return np.dtype(self.code).newbyteorder(self.order)
        except TypeError:
            raise pickle.UnpicklingError(f"an array of dtype {self.code!r}") from None


def _reconstruct(kind, shape=(0,), code=b"b"):
    if kind is not _Array:
        raise pickle.UnpicklingError("an array of another class")
    return _Array()


def _scalar(dtype, data=b""):
    array = _Array()
    array.state = ((), dtype, False, data)
    return array


def _ordered(items=()):
    return collections.OrderedDict(items)


def _tuple(items=()):
    return tuple(items)


def _no_bytes():
    """What protocol 2 calls for an empty byte string."""
    return b""


ADMITTED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("collections", "OrderedDict"): _ordered,
    ("builtins", "tuple"): _tuple,
    ("__builtin__", "tuple"): _tuple,
    ("__builtin__", "bytes"): _no_bytes,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
}


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler with the few names that arrays need; the rest is refused by name.

    The one in C cannot be used: it skips `find_class` for extension codes that it has cached.
    """

    def find_class(self, module, name):
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return ADMITTED[module, name]

    def persistent_load(self, pid):
        raise pickle.UnpicklingError(f"it refers to the outside object {pid!r}")

    def get_extension(self, code):
        raise pickle.UnpicklingError(f"it asks for the extension {code}")

    def load_build(self):
        if not isinstance(self.stack[-2], _Array | _Dtype):
            kind = getattr(self.stack[-2], "__name__", type(self.stack[-2]).__name__)
            raise pickle.UnpicklingError(f"it sets the state of {kind}")
        super().load_build()

    dispatch = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}


def read_pdparams(path):
    """Arrays of a `.pdparams` file by name, in the file's order.

    Args:
        path: the file, or its name without `.pdparams`, as PaddleOCR writes it in commands.

    Returns:
        `{name: array}`, C order, native byte order; float16 is widened to float32.

    Raises:
        UserError: no such file, no pickle, a pickle that holds or asks for anything but arrays
            and plain containers (it names what), or the file of an optimiser's state.
    """
    path = _find(path)
    try:
        with open(path, "rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: refused as weights: {error}") from None
    except Exception as error:  # whatever a damaged pickle runs into
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: no readable .pdparams file ({reason[:120]})") from None
    return _to_arrays(content, path)


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


def _to_arrays(content, path):
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, not arrays by name")
    slices = content.pop(SLICE_TABLE, {})
    content.pop(NAME_TABLE, None)
    arrays = {}
    for name, value in content.items():
        if isinstance(value, tuple) and len(value) == 2:
            value = value[1]  # (internal name, array), as some dicts are stored
        if not isinstance(name, str) or not isinstance(value, _Array):
            raise UserError(f"{path}: {name!r} is a {type(value).__name__}, not an array")
        try:
            array = value.finish()
        except pickle.UnpicklingError as error:
            raise UserError(f"{path}: refused as weights: {name} is {error}") from None
        arrays[name] = array.astype(np.float32) if array.dtype == np.float16 else array
    return _join(arrays, slices, path)


def _join(arrays, slices, path):
    """Puts together what old protocols had to cut into one-dimensional slices."""
    try:
        for name, entry in slices.items():
            whole = np.concatenate([arrays.pop(part) for part in entry["slices"]])
            arrays[name] = whole.reshape(entry["OriginShape"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: the slices of a large array do not fit ({error})") from None
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
        UserError: the file cannot be written.
    """
    path = pathlib.Path(path)
    content = {name: np.ascontiguousarray(value, np.float32) for name, value in arrays.items()}
    for name, value in arrays.items():  # ascontiguousarray makes a scalar one-dimensional
        content[name] = content[name].reshape(np.shape(value))
    content[NAME_TABLE] = {name: name for name in arrays}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            _Pickler(file, protocol=2).dump(content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
