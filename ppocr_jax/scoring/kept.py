"""The outcomes of an evaluation in a file, so that a page can show an earlier one than the last.

The file holds detections and scores; they are matched with the labels again on reading. It also
holds the hmean. If matching gives another hmean, the labels have changed since, and the file is
not used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from ppocr_jax import devices
from ppocr_jax.data.sample import Sample
from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json, write_text
from ppocr_jax.scoring.evaluation import Outcome
from ppocr_jax.scoring.metrics import Overlaps, summarise

FIELDS = ("size", "network_size", "reduced", "map_max", "map_mean", "reason")


def write(
    path: epath.Path, role: str, step: int, hmean: float, outcomes: Sequence[Outcome]
) -> None:
    """Writes the outcomes of an evaluation.

    Args:
        path: of the file; its folder is made if necessary.
        role, step, hmean: of the evaluation, which `read` compares.
        outcomes: of all images, in the order of the split.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"role": role, "step": step, "hmean": hmean}
    images = [to_record(outcome) for outcome in outcomes]
    write_text(path, json.dumps({**head, "images": images}) + "\n")


def read(
    path: epath.Path, role: str, step: int, hmean: float, samples: Sequence[Sample]
) -> list[Outcome] | None:
    """Reads the outcomes of an evaluation back.

    Args:
        path: of the file.
        role, step, hmean: of the wanted evaluation.
        samples: the labelled images of the split.

    Returns:
        An `Outcome` per sample; None when the file is missing, damaged, or of another evaluation
        or other labels.
    """
    try:
        kept = read_json(path)
        if (kept["role"], kept["step"], kept["hmean"]) != (role, step, hmean):
            return None
        outcomes = [from_record(s, r) for s, r in zip(samples, kept["images"], strict=True)]
    except (UserError, OSError, KeyError, TypeError, ValueError):  # missing, damaged, edited
        return None
    same = summarise([outcome.counts for outcome in outcomes])["hmean"] == hmean
    return outcomes if same else None


def to_record(outcome: Outcome) -> dict[str, Any]:
    """An outcome in JSON's types; its matches are left out, since labels can change."""
    return {
        "path": outcome.sample.image_path,
        "polygons": [polygon.tolist() for polygon in outcome.polygons],
        "scores": [float(score) for score in outcome.scores],
        **{name: getattr(outcome, name) for name in FIELDS},
    }


def from_record(sample: Sample, record: dict[str, Any]) -> Outcome:
    """The outcome that `to_record` was given, matched with the labels of `sample`.

    Raises:
        ValueError: the record is of another image, or incomplete.
    """
    # File names are compared, not paths: a data set may have been moved.
    if os.path.basename(record["path"]) != os.path.basename(sample.image_path):
        raise ValueError(f"{record['path']} is not {sample.image_path}")
    outcome = Outcome.__new__(Outcome)  # its __init__ needs the map, which is not kept
    outcome.sample = sample
    outcome.polygons = [np.array(p, np.int32).reshape(-1, 2) for p in record["polygons"]]
    outcome.scores = np.array(record["scores"], np.float32)
    if len(outcome.scores) != len(outcome.polygons):
        raise ValueError(f"{record['path']}: the numbers of scores and polygons differ")
    for name in FIELDS:
        setattr(outcome, name, record[name])
    (height, width), (map_height, map_width) = record["size"], record["network_size"]
    outcome.size, outcome.network_size = (height, width), (map_height, map_width)
    outcome.matches = Overlaps(sample.polygons, sample.ignore, outcome.polygons).matches()
    return outcome


def collect(outcomes: list[Outcome], samples: Sequence[Sample]) -> list[Outcome]:
    """The outcomes of all processes, from those of this process's share.

    Args:
        outcomes: of this process's images.
        samples: the labelled images of the whole split.

    Returns:
        One per sample, in order.
    """
    processes = jax.process_count()
    if processes == 1:
        return outcomes
    # Processes exchange arrays of one shape: the text goes as numbers, padded with spaces, which
    # JSON ignores.
    text = json.dumps([to_record(outcome) for outcome in outcomes])
    own = np.frombuffer(text.encode("utf-32-le"), np.int32)
    longest = int(devices.gather(np.array([len(own)], np.int32)).max())
    padded = np.full(longest, ord(" "), np.int32)
    padded[: len(own)] = own
    shares = [
        iter(json.loads(row.astype(np.int32).tobytes().decode("utf-32-le")))
        for row in devices.gather(padded)
    ]
    return [from_record(s, next(shares[i % processes])) for i, s in enumerate(samples)]
