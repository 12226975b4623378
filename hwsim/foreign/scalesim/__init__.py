"""SCALE-Sim: its configuration and topology files, and what it counts."""
