"""How large sets are read: one index of labels, and pictures in shards."""
