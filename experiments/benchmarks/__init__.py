"""How fast each part is: `python -m experiments.benchmarks`."""
