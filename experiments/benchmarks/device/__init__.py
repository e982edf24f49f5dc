"""Measures a device in limited time: `python -m experiments.benchmarks --minutes M`."""
