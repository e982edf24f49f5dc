"""What a teacher gives to the student on real images: `python -m experiments.distillation`."""
