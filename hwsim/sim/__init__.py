"""Running a nest on a machine: explicit buffers as events, implicit caches line by line, timing by family."""
