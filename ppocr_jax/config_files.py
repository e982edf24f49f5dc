"""What `--config` may name: a config file, or a config that a run or an export has saved."""

import contextlib
import importlib.machinery
import importlib.util
import pathlib
import sys
import types

import ml_collections

from ppocr_jax import forms
from ppocr_jax.errors import UserError, first_line, tell
from ppocr_jax.weights import saved_config

SAVED = (".json", ".onnx")
YAML = (".yml", ".yaml")
# What weights without a config are compared with, in this order.
PRESETS = ("ppocrv3_det_mobile", "ppocrv3_det_server", "ppocrv3_det_cml", "ppocrv3_det_dml")


def open_config(source, found=False):
    """The whole config of a file.

    Args:
        source: path of a `.py` file with `get_config()`, which may be followed by `:ARGUMENT` for
            it, of a `.json` that a run left, or of an `.onnx` that `export` wrote. A `configs/X.py`
            that is not there is the one that comes with the program.
        found: nobody named it, it lay beside weights: then the copy in them counts.

    Returns:
        `(config, lines)`: a ConfigDict, and what there is to say about it.

    Raises:
        UserError: no such file, one that does not run, or values of another kind.
    """
    if source.endswith(SAVED):
        if not found:
            _require(source)
        saved, differences = (
            saved_config.read_compared(source) if found else (saved_config.read(source), [])
        )
        tree, lines = forms.upgrade(saved, source)
        lines = [*differences, *_named(source, lines)]
        return ml_collections.ConfigDict(forms.with_tuples(tree)), lines
    given, _, argument = source.partition(":")
    if given.endswith(YAML):
        _require(given)
        raise UserError(
            f"--config {given}: YAML is PaddleOCR's form: python -m ppocr_jax.convert_config "
            f"{given} --output configs/mine.py turns it into a config file"
        )
    path = find(given)
    try:
        config = _run(path, *([argument] if argument else []))
        lines = forms.complete(config, given)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a file may do anything
        raise UserError(f"--config {given}: {first_line(error)}") from None
    taken = [] if path == pathlib.Path(given) else ["not there, taking the one of the program"]
    return config, _named(given, [*taken, *lines])


def find_for(weights, say=tell, partial=False):
    """The file with the config of weights: saved beside them, else the shipped one that fits.

    Args:
        weights: see `weights.sources`.
        say: takes the line on a shipped one.
        partial: see `fitting.find_fitting`.

    Raises:
        UserError: there are no such weights, or none fits.
    """
    from ppocr_jax.weights.fitting import find_fitting  # JAX, which a config by name does not need
    from ppocr_jax.weights.sources import locate

    place = locate(weights)
    saved = saved_config.find(place)
    if saved is not None:
        return saved
    paths = {f"configs/{name}.py": shipped_folder() / f"{name}.py" for name in PRESETS}
    roles = {name: _run(path).roles for name, path in paths.items()}
    name = find_fitting(place, roles, partial)
    if str(place).endswith(".onnx"):
        say(f"{weights} holds no config: sizes and thresholds are those of {name}")
    else:
        say(f"{weights} has no config: taking {name}, whose networks have its shapes")
    return str(paths[name])


def find(given):
    """The path of a config file; `configs/X.py` may mean the shipped one."""
    path = pathlib.Path(given)
    shipped = shipped_folder() / path.name
    if not path.is_file() and path.parent == pathlib.Path("configs") and shipped.is_file():
        return shipped
    _require(given)
    return path


def shipped_folder():
    """The configs that come with the program: inside the installed package, or beside it."""
    package = pathlib.Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def _require(path):
    if not pathlib.Path(path).is_file():
        raise UserError(f"--config {path}: there is no such file")


def _named(name, lines):
    """Lines with the name of their file; that a key has no effect is a warning."""
    return [f"{'warning: ' * line.startswith(forms.LEFT_OUT)}{name}: {line}" for line in lines]


def _run(path, *argument):
    """What `get_config()` of a file gives."""
    folder = path.resolve().parent
    with _importable(folder):
        name = f"configs.{path.stem}"
        loader = importlib.machinery.SourceFileLoader(name, str(path))
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
        sys.modules[name] = module
        loader.exec_module(module)
        config = module.get_config(*argument)
    if not hasattr(config, "items"):
        raise UserError(f"--config {path}: get_config() gives no config, but {config!r}")
    return ml_collections.ConfigDict(config)


@contextlib.contextmanager
def _importable(folder):
    """Lets a config file import its siblings, and `configs`, from whatever folder it lies in.

    `configs` is a package of the file's own folder first, then of what Python finds by that name,
    then of the shipped configs; a package of the folder's own name is found too. Afterwards all is
    as before: the next file may lie elsewhere.
    """
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_config(name)}
    package = types.ModuleType("configs")
    elsewhere = [str(pathlib.Path(entry, "configs")) for entry in sys.path]
    package.__path__ = [str(folder), *elsewhere, str(shipped_folder())]
    sys.modules["configs"] = package
    sys.path.append(str(folder.parent))
    try:
        yield
    finally:
        sys.path.remove(str(folder.parent))
        for name in [name for name in sys.modules if _is_config(name)]:
            del sys.modules[name]
        sys.modules.update(kept)


def _is_config(name):
    return name == "configs" or name.startswith("configs.")
