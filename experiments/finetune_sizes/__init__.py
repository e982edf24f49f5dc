"""What weight averaging and few images change: `python -m experiments.finetune_sizes`."""
