"""What a device is measured by in few minutes: `python -m experiments.benchmarks --minutes M`."""
