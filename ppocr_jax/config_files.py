"""Opens what `--config` names: a config file, or a config saved by a run or an export."""

import contextlib
import importlib.machinery
import importlib.util
import pathlib
import sys
import types
from collections.abc import Callable

import ml_collections

from ppocr_jax import forms
from ppocr_jax.errors import UserError, first_line, tell
from ppocr_jax.weights import saved_config

SAVED = (".json", ".onnx")
YAML = (".yml", ".yaml")
# Weights without a config are compared with these, in this order.
PRESETS = ("ppocrv3_det_mobile", "ppocrv3_det_server", "ppocrv3_det_cml", "ppocrv3_det_dml")


def open_config(source: str, found: bool = False) -> tuple[ml_collections.ConfigDict, list[str]]:
    """Opens the config in a file.

    Args:
        source: path of a `.py` file with `get_config()`, optionally with `:ARGUMENT` for it; of a
            `.json` saved by a run; or of an `.onnx` written by `export`. If `configs/X.py` does
            not exist, the one shipped with the program is used.
        found: it was not named but found beside weights; then the copy inside those counts.

    Returns:
        `(config, lines)`: a complete ConfigDict, and notes about it.

    Raises:
        UserError: no such file, one that fails, or values of the wrong type.
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
            f"--config {given}: for PaddleOCR's YAML, run python -m ppocr_jax.convert_config "
            f"{given} --output configs/mine.py and use that file"
        )
    path = find(given)
    try:
        config = _run(path, *([argument] if argument else []))
        lines = forms.complete(config, given)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a config file may raise anything
        raise UserError(f"--config {given}: {first_line(error)}") from None
    taken = [] if path == pathlib.Path(given) else ["no such file here, using the shipped one"]
    return config, _named(given, [*taken, *lines])


def find_for(weights: str, say: Callable[[str], object] = tell, partial: bool = False) -> str:
    """Finds the config of weights: the one saved beside them, else a shipped one that fits.

    Args:
        weights: path or name, see `weights.sources`.
        say: takes a line about a shipped config.
        partial: see `fitting.find_fitting`.

    Raises:
        UserError: there are no such weights, or no config fits.
    """
    from ppocr_jax.weights.fitting import find_fitting  # imports JAX, not needed with --config
    from ppocr_jax.weights.sources import locate

    place = locate(weights)
    saved = saved_config.find(place)
    if saved is not None:
        return saved
    paths = {f"configs/{name}.py": shipped_folder() / f"{name}.py" for name in PRESETS}
    roles = {name: _run(path).roles for name, path in paths.items()}
    name = find_fitting(place, roles, partial)
    if str(place).endswith(".onnx"):
        say(f"{weights} holds no config: using the sizes and thresholds of {name}")
    else:
        say(f"{weights} has no config: using {name}, whose networks fit")
    return str(paths[name])


def find(given: str) -> pathlib.Path:
    """Finds a config file by its path; `configs/X.py` may also be a shipped one.

    Raises:
        UserError: there is no such file.
    """
    path = pathlib.Path(given)
    shipped = shipped_folder() / path.name
    if not path.is_file() and path.parent == pathlib.Path("configs") and shipped.is_file():
        return shipped
    _require(given)
    return path


def shipped_folder() -> pathlib.Path:
    """The folder of the shipped configs: inside the installed package, or beside it in a clone."""
    package = pathlib.Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def _require(path):
    if not pathlib.Path(path).is_file():
        raise UserError(f"--config {path}: there is no such file")


def _named(name, lines):
    """Prefixes lines with the name of their file; ignored keys become a warning."""
    return [f"{'warning: ' * line.startswith(forms.LEFT_OUT)}{name}: {line}" for line in lines]


def _run(path, *argument):
    """Runs a config file and returns the result of its `get_config()`."""
    folder = path.resolve().parent
    with _importable(folder):
        name = f"configs.{path.stem}"
        loader = importlib.machinery.SourceFileLoader(name, str(path))
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
        sys.modules[name] = module
        loader.exec_module(module)
        config = module.get_config(*argument)
    if not hasattr(config, "items"):
        raise UserError(f"--config {path}: get_config() should return a config, got {config!r}")
    return ml_collections.ConfigDict(config)


@contextlib.contextmanager
def _importable(folder):
    """Lets a config file in any folder import its siblings, and the package `configs`.

    `configs` then contains the file's own folder, any `configs` on Python's path and the shipped
    configs, in this order. The folder's own name can be imported as well. Everything is restored
    at the end, since the next config file may be in another folder.
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
