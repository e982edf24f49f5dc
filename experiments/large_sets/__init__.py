"""What large data sets cost: the index of labels, and pictures in shards."""
