"""The loop, the pure update, the state, checkpoints, and what is due after an update."""
