"""Checks at the start that all processes of a run have the same config, labels and state.

Processes that differ would train different networks, or wait for each other forever. Each process
names the first thing in which it differs from another one.
"""

from __future__ import annotations

import json
import os
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jaxlib
import numpy as np

from ppocr_jax import __version__
from ppocr_jax import config as configs
from ppocr_jax.data import label_index
from ppocr_jax.errors import UserError
from ppocr_jax.forms import flatten
from ppocr_jax.processes import company
from ppocr_jax.weights.meta import list_steps

if TYPE_CHECKING:
    import ml_collections
    from etils import epath

    from ppocr_jax.data.label_index import Table
    from ppocr_jax.data.sample import Sample
    from ppocr_jax.data.training_split import Training

OWN = ("data.root", "data.workers", "data.prefetch_mb", "init_from.")  # may differ by machine
MOST_GROUPS = 50_000  # checksums per split; in a larger split several images share one
AT_ONCE = 100  # groups read at a time, which bounds the memory


def require_same(place: str, facts: Mapping[str, Any]) -> None:
    """Waits for all processes and checks that they have the same facts.

    Args:
        place: name of this point in the program.
        facts: `{name: value}`, JSON types.

    Raises:
        UserError: another process has another value; names the first such fact.
    """
    here = company.current()
    if here is None:
        return
    said = [json.loads(text) for text in company.exchange(place, json.dumps(facts))]
    own = here.index
    mine = said[own]
    for index, theirs in enumerate(said):
        for name in {**mine, **theirs}:
            if mine.get(name) != theirs.get(name):
                raise UserError(
                    f"{name}: {mine.get(name)} in process {own}, {theirs.get(name)} in process "
                    f"{index}: all processes of a run need the same"
                )


def require_same_run(config: ml_collections.ConfigDict) -> None:
    """Compares versions, devices and configs, see `require_same`."""
    if company.current() is None:
        return
    flat = flatten(configs.plain(config))
    # What may differ by machine is left out; labels are compared image by image instead.
    keys = {f"config.{k}": v for k, v in sorted(flat.items()) if not k.startswith(OWN)}
    device = jax.local_devices()[0]
    require_same(
        "config",
        {
            "version of ppocr_jax": __version__,
            "version of jax": jax.__version__,
            "version of jaxlib": jaxlib.__version__,
            "local devices": f"{jax.local_device_count()} x {device.device_kind}",
            **keys,
        },
    )


def require_same_labels(
    config: ml_collections.ConfigDict, training: Training, validation: Sequence[Sample]
) -> None:
    """Compares both splits image by image, and the number of steps; see `require_same`."""
    if company.current() is None:
        return
    for split, samples in (("train", training.samples), ("val", validation)):
        _require_same_images(f"config.data.{split}", samples, config.data.root)
    steps = {"steps of the run": training.total_steps, "of an epoch": training.epoch_steps}
    require_same("steps", steps)


def _require_same_images(split, samples, root):
    require_same(f"size of {split}", {f"images of {split}": len(samples)})
    # Sizes first: then every process has the same number of groups to exchange.
    group = -(-max(1, len(samples)) // MOST_GROUPS)
    starts = range(0, len(samples), group)
    sums = [_checksum(table, root) for table in _tables(samples, group)]
    for index, text in enumerate(company.exchange(f"images of {split}", json.dumps(sums))):
        for first, mine, theirs in zip(starts, sums, json.loads(text), strict=True):
            if mine != theirs:
                sample = samples[first]
                raise UserError(
                    f"{split}: image {first + 1} of {len(samples)}, here {sample.image_path} with "
                    f"{len(sample.polygons)} polygons, has another name, place or label in process "
                    f"{index}: all processes of a run need the same label files"
                )


def _tables(samples: Sequence[Sample], group: int) -> Iterator[Table]:
    """Yields a `label_index.Table` for every `group` images."""
    for first in range(0, len(samples), AT_ONCE * group):
        yield from label_index.table(samples, first, first + AT_ONCE * group).split(group)


def _checksum(table: Table, root: str) -> int:
    """CRC-32 of some images: names relative to the root, polygons and ignore flags."""
    # os.path.relpath is slow for millions of images, so plain paths below the root are just cut.
    value, root = 0, root or "."
    start = os.path.join(os.path.normpath(root), "")
    for path in table.paths:
        plain = path.startswith(start) and "/." not in path and "//" not in path
        name = path[len(start) :] if plain else os.path.relpath(path, root)
        value = zlib.crc32(name.encode("utf-8", "surrogateescape") + b"\n", value)
    for values in (table.polygons, table.counts, table.ignore, table.points):
        value = zlib.crc32(np.ascontiguousarray(values).data, value)
    return value


def require_same_folder(workdir: epath.Path) -> None:
    """Checks that all processes see the same folder as the workdir: they write one checkpoint.

    Raises:
        UserError: they do not.
    """
    here = company.current()
    if here is None:
        return
    # Process 0 creates a file with a random name, and the others look for it.
    mark = workdir / f".seen-by-all-{uuid.uuid4().hex}"
    leads = here.index == 0
    try:
        if leads:
            mark.write_text("")
        name = company.exchange("workdir", mark.name)[0]
        seen = (workdir / name).exists()
        found = [text == "True" for text in company.exchange("folder of the run", str(seen))]
    finally:
        if leads:
            mark.unlink(missing_ok=True)
    for index, sees in enumerate(found):
        if not sees:
            raise UserError(
                f"--workdir of process {index} is not the folder of process 0 (here: "
                f"{workdir}): all processes need the same one, on a shared disk"
            )
    require_same("states", {f"states in {workdir.name}": list_steps(workdir)})


def require_same_state(place: str, step: int, checksums: Mapping[str, int]) -> None:
    """Compares the values of a state, see `require_same`.

    Args:
        place: name of this point in the program.
        step: updates done.
        checksums: of the state's parts, by name.
    """
    sums = {f"checksum of {name} at step {step}": value for name, value in checksums.items()}
    require_same(f"{place} {step}", sums)
