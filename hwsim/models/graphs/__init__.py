"""A model's graph, whatever its format, and the workload that it becomes."""
