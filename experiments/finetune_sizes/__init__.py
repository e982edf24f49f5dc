"""What averaging gives, and what few images give: `python -m experiments.finetune_sizes`."""
