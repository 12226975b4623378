"""Spaces of mappings, one file a kind of machine."""
