"""Several processes of one run: they join, watch each other, and end together."""
