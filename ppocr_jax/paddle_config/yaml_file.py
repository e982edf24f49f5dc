"""Reading PaddleOCR's YAML files, and overriding their values as its option `-o` does."""

import difflib

import yaml

from ppocr_jax.errors import UserError
from ppocr_jax.foreign import read_whole, what_it_is

MOST_BYTES = 1 << 20  # PaddleOCR's largest has 10 KiB, and YAML is read slowly
MOST_VALUES = 20_000  # of a file with its aliases written out; PaddleOCR's largest has some 400


class _Loader(yaml.SafeLoader):
    """YAML without Python objects. Of a key that is written twice the last one counts."""

    def __init__(self, stream):
        super().__init__(stream)
        self.repeated = []

    def construct_mapping(self, node, deep=False):
        lines = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"a key that is no word, line {key.start_mark.line + 1}")
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines and key.tag != "tag:yaml.org,2002:merge":
                self.repeated.append(
                    f"{name} stands twice, in lines {lines[name]} and {line}: the last one counts"
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


def read_yaml(path):
    """The mapping in a YAML file, and a line for every key that is written twice.

    Returns:
        `(tree, repeated)`: nested dicts and lists; a list of str.

    Raises:
        UserError: no such file, or not a mapping in YAML.
    """
    data = read_whole(path)
    words = what_it_is(data, path)
    if words and not words.startswith("a text file"):
        raise UserError(f"{path}: not a YAML file but {words}")
    if len(data) > MOST_BYTES:
        raise UserError(f"{path}: {len(data) >> 10} KiB are more than any config has")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text, so not a YAML file") from None
    try:
        loader = _Loader(text)
        tree = _with_text_keys(loader.get_single_data())
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: is not valid YAML: {_reason(error)}") from None
    if not isinstance(tree, dict) or not tree:
        raise UserError(f"{path}: holds no mapping of keys to values: not a PaddleOCR config")
    return tree, loader.repeated


def _with_text_keys(value, left=None):
    """A copy in which every key is text, and nothing stands in two places.

    Raises:
        ValueError: it would have more than MOST_VALUES values, by aliases of aliases of aliases,
            or holds a number that no float comes near.
    """
    left = left or iter(range(MOST_VALUES))
    if next(left, None) is None:
        raise ValueError(f"its aliases stand for more than {MOST_VALUES} values")
    if isinstance(value, int) and value.bit_length() > 1024:
        raise ValueError("a whole number of more than 300 digits")
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item, left) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_text_keys(item, left) for item in value]
    return value


def _reason(error):
    """What PyYAML says is wrong, with its line."""
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error)
    return f"{reason}, line {mark.line + 1}" if mark else reason


def override(tree, items):
    """Sets values of a tree in place, each item `key=value` with PaddleOCR's rules.

    The value is read as YAML. A dotted key goes down into mappings that have to be there; its
    last part is replaced or made. A key without a dot replaces a whole section, or is merged into
    it when both are mappings. Unlike there, a value may hold further `=`.

    Raises:
        UserError: no `=`, a value that is not YAML, or a section that is not there.
    """
    for item in items:
        key, equals, text = item.strip().partition("=")
        if not equals or not key:
            raise UserError(f"-o {item}: should be KEY=VALUE, such as Global.epoch_num=100")
        try:
            value = _with_text_keys(yaml.load(text, _Loader))
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise UserError(f"-o {item}: the value is not valid YAML: {_reason(error)}") from None
        *parents, last = key.split(".")
        place = tree
        for depth, name in enumerate(parents, 1):
            above = ".".join(parents[: depth - 1]) or "the file"
            if name not in place:
                near = difflib.get_close_matches(name, place, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UserError(f"-o {item}: {above} has no {name}{hint}")
            place = place[name]
            if not isinstance(place, dict):
                kind = "a list" if isinstance(place, list) else "no section"
                raise UserError(f"-o {item}: {'.'.join(parents[:depth])} is {kind}")
        merged = not parents and isinstance(value, dict) and isinstance(place.get(last), dict)
        place[last] = {**place[last], **value} if merged else value
