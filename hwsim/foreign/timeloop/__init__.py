"""Timeloop: what it counts of a mapping."""
