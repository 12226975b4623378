"""Caches: every line address that a nest makes, and what the levels do with it."""
