"""Systolic arrays: folds in closed form."""
