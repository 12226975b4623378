"""What is read: machines, networks and layers as YAML or Python.

Every fault has its file, line and column.
"""
