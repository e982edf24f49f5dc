"""Kills, damages, floods and misleads the commands at random, and counts what they do about it."""
