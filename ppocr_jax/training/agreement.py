"""Whether the processes of a run do the same: what has to be equal in all, compared at its start.

Processes that differ would train on, each something else, or wait for each other for ever. Every
one of them says the first thing in which it differs from another.
"""

import json
import os
import uuid
import zlib

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

OWN = ("data.root", "data.workers", "data.prefetch_mb", "init_from.")  # may differ by machine
MOST_GROUPS = 50_000  # checksums of a split; of larger ones a few images share one
AT_ONCE = 100  # groups that are read together


def require_same(place, facts):
    """Returns when every process has come to this place with the same facts.

    Args:
        place: its name.
        facts: `{name: value}` of JSON's types.

    Raises:
        UserError: another process has another value; the first one, by the order of the names.
    """
    if company.current() is None:
        return
    said = [json.loads(text) for text in company.exchange(place, json.dumps(facts))]
    own = company.current().index
    mine = said[own]
    for index, theirs in enumerate(said):
        for name in {**mine, **theirs}:
            if mine.get(name) != theirs.get(name):
                raise UserError(
                    f"{name}: {mine.get(name)} in process {own}, {theirs.get(name)} in process "
                    f"{index}: all processes of a run need the same"
                )


def require_same_run(config):
    """Compares versions, devices and the config, see `require_same`."""
    if company.current() is None:
        return
    flat = flatten(configs.plain(config))
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


def require_same_labels(config, training, validation):
    """Compares what is learned and scored, image by image, and how long; see `require_same`."""
    if company.current() is None:
        return
    for split, samples in (("train", training.samples), ("val", validation)):
        _require_same_images(f"config.data.{split}", samples, config.data.root)
    steps = {"steps of the run": training.total_steps, "of an epoch": training.epoch_steps}
    require_same("steps", steps)


def _require_same_images(split, samples, root):
    require_same(f"size of {split}", {f"images of {split}": len(samples)})
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


def _tables(samples, group):
    """A `label_index.Table` of every so many images."""
    for first in range(0, len(samples), AT_ONCE * group):
        yield from label_index.table(samples, first, first + AT_ONCE * group).split(group)


def _checksum(table, root):
    """CRC-32 of some images: names relative to the root, polygons and what is ignored."""
    value, root = 0, root or "."
    start = os.path.join(os.path.normpath(root), "")
    for path in table.paths:
        plain = path.startswith(start) and "/." not in path and "//" not in path
        name = path[len(start) :] if plain else os.path.relpath(path, root)
        value = zlib.crc32(name.encode("utf-8", "surrogateescape") + b"\n", value)
    for values in (table.polygons, table.counts, table.ignore, table.points):
        value = zlib.crc32(np.ascontiguousarray(values), value)
    return value


def require_same_folder(workdir):
    """Refuses a workdir that is not one and the same folder for all processes, as states need."""
    if company.current() is None:
        return
    mark = workdir / f".seen-by-all-{uuid.uuid4().hex}"
    leads = company.current().index == 0
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
                f"--workdir of process {index} is not the folder that process 0 has (here: "
                f"{workdir}): all processes need the same one, on a disk that they share"
            )
    require_same("states", {f"states in {workdir.name}": list_steps(workdir)})


def require_same_state(place, step, checksums):
    """Compares the values of a state, see `require_same`.

    Args:
        place: its name.
        step: updates done.
        checksums: of the state's parts, by name.
    """
    sums = {f"checksum of {name} at step {step}": value for name, value in checksums.items()}
    require_same(f"{place} {step}", sums)
