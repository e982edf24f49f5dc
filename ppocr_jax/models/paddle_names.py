"""Translates between our names of modules and parameters and PaddleOCR's.

PaddleOCR's names are our paths joined by dots, except where a network's attribute `paddle` says
otherwise.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ppocr_jax.errors import UserError

# Our names of parameters and statistics -> PaddlePaddle's.
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "_mean",
    "var": "_variance",
}
LEAF_ORDER = ("weight", "bias", "_mean", "_variance")
# In the order in which PaddleOCR creates the layers of a block, which is their order in its files.
LAYERS = (
    "backbone neck head binarize thresh conv1_1 conv1_2 conv1_3 conv _conv bn _batch_norm "
    "expand_conv bottleneck_conv mid_se linear_conv ins_conv inp_conv pan_head_conv pan_lat_conv "
    "in2_conv in3_conv in4_conv in5_conv p5_conv p4_conv p3_conv p2_conv in_conv se_block "
    "conv0 conv1 conv_bn1 bn1 conv2 conv_bn2 bn2 conv3 conv_end short"
).split()


class PaddleNames(NamedTuple):
    """How a network's names differ from PaddleOCR's.

    Attributes:
        lists: pattern for modules that PaddleOCR keeps in a list: what precedes the number, such
            as `stage0` in our `stage0_1`, PaddleOCR's `stage0.1`.
        inside: pattern for the modules in which `renamed` applies.
        renamed: `{our name: PaddleOCR's name}` of layers.
    """

    lists: str = ""
    inside: str = ""
    renamed: Mapping[str, str] = {}


class Naming:
    """Translates names of some networks in both directions.

    Args:
        networks: classes or modules; without an attribute `paddle`, a network keeps our names.
    """

    def __init__(self, networks: Iterable[Any]) -> None:
        rules = [getattr(network, "paddle", PaddleNames()) for network in networks]
        lists = "|".join(dict.fromkeys(rule.lists for rule in rules if rule.lists))
        # `(?!)` matches nothing: no network has a list.
        self._listed = re.compile(rf"^({lists or '(?!)'})_(\d+)$")
        self._renamed = [
            (re.compile(f"^({rule.inside})$"), rule.renamed) for rule in rules if rule.inside
        ]

    def layer(self, path: Sequence[str]) -> str:
        """PaddleOCR's name of the module at a path."""
        changes = self._changes(path)
        return ".".join(changes.get(w, self._listed.sub(r"\1.\2", w)) for w in path)

    def leaf(self, path: Sequence[str]) -> str:
        """PaddleOCR's name of the parameter or statistic at a path inside its collection.

        Raises:
            UserError: PaddleOCR has no such kind of parameter.
        """
        if path[-1] not in LEAVES:
            raise UserError(
                f"{'.'.join(path)}: PaddleOCR has no name for such a parameter, so no .pdparams "
                "can hold it; keep this network in its workdir or an extracted folder"
            )
        return f"{self.layer(path[:-1])}.{LEAVES[path[-1]]}"

    def path(self, name: str, is_kernel: bool) -> tuple[str, ...]:
        """Our `(collection, *path)` for PaddleOCR's name of a parameter or statistic.

        Args:
            name: such as `backbone.conv.bn.weight`.
            is_kernel: whether a `weight` belongs to a convolution, which its name does not tell.

        Raises:
            UserError: these networks have no such name.
        """
        *words, leaf = name.split(".")
        path: list[str] = []
        for word in words:
            listed = path and word.isdigit() and self._listed.match(f"{path[-1]}_{word}")
            path[-1:] = [f"{path[-1]}_{word}"] if listed else [*path[-1:], word]
        back = {theirs: ours for ours, theirs in self._changes(path).items()}
        path = [back.get(word, word) for word in path]
        kinds = {"weight": "kernel" if is_kernel else "scale"}
        kinds |= {"bias": "bias", "_mean": "mean", "_variance": "var"}
        path.append(kinds.get(leaf, leaf))
        # Translating back catches names that only look like ours, such as ones already renamed.
        if leaf not in kinds or self.leaf(path) != name:
            raise UserError(f"{name}: no part of a detector has such a name")
        collection = "batch_stats" if path[-1] in ("mean", "var") else "params"
        return (collection, *path)

    def _changes(self, path: Sequence[str]) -> Mapping[str, str]:
        for inside, renamed in self._renamed:
            if any(inside.match(word) for word in path):
                return renamed
        return {}


def place(name: str) -> tuple[list[tuple[int, ...]], int]:
    """Sort key that puts names in the order in which PaddleOCR creates its modules.

    Modules that are not in LAYERS come last, in the order of their numbers.
    """
    layer, _, leaf = name.rpartition(".")
    words = [
        (LAYERS.index(word) if word in LAYERS else len(LAYERS), *_numbered(word))
        for word in layer.split(".")
    ]
    return words, LEAF_ORDER.index(leaf)


def _numbered(word: str) -> list[int]:
    return [int(piece) if piece.isdigit() else -1 for piece in re.findall(r"\d+|\D+", word)]
