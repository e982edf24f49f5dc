"""Exported files and the checks of them; one network taken out of a run."""
