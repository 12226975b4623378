"""What is read: machines, networks and layers as YAML or Python, with file, line and column of
every fault."""
