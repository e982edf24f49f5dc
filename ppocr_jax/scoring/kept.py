"""What an evaluation found, in a file: so that a page can show an earlier one than the last.

Polygons and scores are kept and matched anew with the labels when they are read. The file says
which hmean that has to give; where it gives another, the labels have changed, and it is not used.
"""

import json
import os

import jax
import numpy as np

from ppocr_jax import devices
from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json, write_text
from ppocr_jax.scoring.evaluation import Outcome
from ppocr_jax.scoring.metrics import Overlaps, summarise

FIELDS = ("size", "network_size", "reduced", "map_max", "map_mean", "reason")


def write(path, role, step, hmean, outcomes):
    """Writes the outcomes of all images, in the order of the split; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"role": role, "step": step, "hmean": hmean}
    images = [to_record(outcome) for outcome in outcomes]
    write_text(path, json.dumps({**head, "images": images}) + "\n")


def read(path, role, step, hmean, samples):
    """Outcomes of `samples`, as `write` was given them; None where the file holds others.

    Args:
        path: of the file.
        role, step, hmean: of the evaluation that is wanted.
        samples: the labelled images, list of `data.labels.Sample`.
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


def to_record(outcome):
    """An Outcome in JSON's types."""
    return {
        "path": outcome.sample.image_path,
        "polygons": [polygon.tolist() for polygon in outcome.polygons],
        "scores": [float(score) for score in outcome.scores],
        **{name: getattr(outcome, name) for name in FIELDS},
    }


def from_record(sample, record):
    """The Outcome of a sample that `to_record` was given. Raises ValueError for another image."""
    if os.path.basename(record["path"]) != os.path.basename(sample.image_path):
        raise ValueError(f"{record['path']} is not {sample.image_path}")
    outcome = Outcome.__new__(Outcome)  # there is no map any more
    outcome.sample = sample
    outcome.polygons = [np.array(p, np.int32).reshape(-1, 2) for p in record["polygons"]]
    outcome.scores = np.array(record["scores"], np.float32)
    if len(outcome.scores) != len(outcome.polygons):
        raise ValueError(f"{record['path']}: not a score for each polygon")
    for name in FIELDS:
        setattr(outcome, name, record[name])
    outcome.size, outcome.network_size = tuple(outcome.size), tuple(outcome.network_size)
    outcome.matches = Overlaps(sample.polygons, sample.ignore, outcome.polygons).matches()
    return outcome


def collect(outcomes, samples):
    """The outcomes of all processes in the order of `samples`, from each one's share."""
    processes = jax.process_count()
    if processes == 1:
        return outcomes
    text = json.dumps([to_record(outcome) for outcome in outcomes])
    own = np.frombuffer(text.encode("utf-32-le"), np.int32)  # numbers that processes exchange
    longest = int(devices.gather(np.array([len(own)], np.int32)).max())
    padded = np.full(longest, ord(" "), np.int32)
    padded[: len(own)] = own
    shares = [
        iter(json.loads(row.astype(np.int32).tobytes().decode("utf-32-le")))
        for row in devices.gather(padded)
    ]
    return [from_record(s, next(shares[i % processes])) for i, s in enumerate(samples)]
