"""Energy per action, from tables with sources, and counts times energy."""
