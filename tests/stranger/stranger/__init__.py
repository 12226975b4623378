"""A package of a stranger: one plug-in of every kind, as CONTRIBUTING.md says."""
