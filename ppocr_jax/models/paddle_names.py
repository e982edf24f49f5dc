"""PaddleOCR's names of our modules and parameters.

Its names are ours with dots, but for what each network says in its attribute `paddle`.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ppocr_jax.errors import UserError

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "_mean",
    "var": "_variance",
}
LEAF_ORDER = ("weight", "bias", "_mean", "_variance")
# In the order in which Paddle makes the layers of a block, and so lists them in its files.
LAYERS = (
    "backbone neck head binarize thresh conv1_1 conv1_2 conv1_3 conv _conv bn _batch_norm "
    "expand_conv bottleneck_conv mid_se linear_conv ins_conv inp_conv pan_head_conv pan_lat_conv "
    "in2_conv in3_conv in4_conv in5_conv p5_conv p4_conv p3_conv p2_conv in_conv se_block "
    "conv0 conv1 conv_bn1 bn1 conv2 conv_bn2 bn2 conv3 conv_end short"
).split()


class PaddleNames(NamedTuple):
    """Where the names of a network differ from PaddleOCR's.

    Attributes:
        lists: pattern of what stands before the number of a module, such as `stage0` of
            `stage0_1`, when PaddleOCR has a list of them, there `stage0.1`.
        inside: pattern of the modules inside which `renamed` holds.
        renamed: `{our name: PaddleOCR's}` of layers.
    """

    lists: str = ""
    inside: str = ""
    renamed: Mapping[str, str] = {}


class Naming:
    """The names of some networks, there and back.

    Args:
        networks: classes or modules; one without an attribute `paddle` has our own names.
    """

    def __init__(self, networks):
        rules = [getattr(network, "paddle", PaddleNames()) for network in networks]
        lists = "|".join(dict.fromkeys(rule.lists for rule in rules if rule.lists))
        self._listed = re.compile(rf"^({lists or '(?!)'})_(\d+)$")
        self._renamed = [
            (re.compile(f"^({rule.inside})$"), rule.renamed) for rule in rules if rule.inside
        ]

    def layer(self, path):
        """PaddleOCR's name of a module."""
        changes = self._changes(path)
        return ".".join(changes.get(w, self._listed.sub(r"\1.\2", w)) for w in path)

    def leaf(self, path):
        """PaddleOCR's name of a parameter or statistic, from its path below its collection.

        Raises:
            UserError: it is of a kind that PaddleOCR has no name for.
        """
        if path[-1] not in LEAVES:
            raise UserError(
                f"{'.'.join(path)}: PaddleOCR has no name for such a parameter, so no .pdparams "
                "can hold it; keep this network in its workdir or an extracted folder"
            )
        return f"{self.layer(path[:-1])}.{LEAVES[path[-1]]}"

    def path(self, name, is_kernel):
        """The way back: `(collection, *path)` from PaddleOCR's name.

        Whether a `weight` is that of a convolution is not in its name.

        Raises:
            UserError: no network here has such a name.
        """
        *words, leaf = name.split(".")
        path = []
        for word in words:
            listed = path and word.isdigit() and self._listed.match(f"{path[-1]}_{word}")
            path[-1:] = [f"{path[-1]}_{word}"] if listed else [*path[-1:], word]
        back = {theirs: ours for ours, theirs in self._changes(path).items()}
        path = [back.get(word, word) for word in path]
        kinds = {"weight": "kernel" if is_kernel else "scale"}
        kinds |= {"bias": "bias", "_mean": "mean", "_variance": "var"}
        path.append(kinds.get(leaf, leaf))
        if leaf not in kinds or self.leaf(path) != name:
            raise UserError(f"{name}: no part of a detector has such a name")
        collection = "batch_stats" if path[-1] in ("mean", "var") else "params"
        return (collection, *path)

    def _changes(self, path):
        for inside, renamed in self._renamed:
            if any(inside.match(word) for word in path):
                return renamed
        return {}


def place(name):
    """Sorts names as Paddle's modules are made; what is not in LAYERS goes by its numbers."""
    layer, _, leaf = name.rpartition(".")
    words = [
        (LAYERS.index(word) if word in LAYERS else len(LAYERS), *_numbered(word))
        for word in layer.split(".")
    ]
    return words, LEAF_ORDER.index(leaf)


def _numbered(word):
    return [int(piece) if piece.isdigit() else -1 for piece in re.findall(r"\d+|\D+", word)]
