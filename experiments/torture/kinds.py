"""All kinds of trials, by name."""

import dataclasses
from collections.abc import Callable

from experiments.torture import states


@dataclasses.dataclass
class Kind:
    """A kind of trial: what it does, and how much patience is left for it."""

    attempt: Callable


KINDS = {
    name.replace("_", " "): Kind(attempt)
    for name, attempt in {
        "flipped_bit_in_a_state": states.flip_in_state,
        "flipped_bit_in_meta": states.flip_in_meta,
        "flipped_bit_in_metrics": states.flip_in_metrics,
        "flipped_bit_in_a_config": states.flip_in_config,
        "flipped_bit_in_an_extracted_folder": states.flip_in_extracted,
        "broken_file_of_weights": states.broken_files,
        "small_file_of_a_run": states.resume_small_files,
        "damaged_last_state": states.resume_damaged_state,
        "saved_config_that_draws": states.hostile_config,
    }.items()
}
