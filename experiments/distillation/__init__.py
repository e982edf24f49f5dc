"""What distillation gains on real images: `python -m experiments.distillation`."""
