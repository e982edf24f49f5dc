"""PaddleOCR's YAML -> a config, and a list of what was carried over."""
