"""Disturbs the commands at random: kills, damaged files, hostile input. Counts broken rules."""
