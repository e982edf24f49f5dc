"""What is at a path -> the variables of a network, and back; names to download."""
