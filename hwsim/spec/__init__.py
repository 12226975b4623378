"""What the user describes: layers, workloads, machines."""
