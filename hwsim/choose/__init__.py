"""Candidates simulated, and the best taken: nests of a stage, algorithms of a layer."""
