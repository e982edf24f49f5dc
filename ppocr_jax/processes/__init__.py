"""Several processes of one run: they join, hear of each other, and end together."""
