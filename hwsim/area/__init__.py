"""Silicon area of a machine's arithmetic and on-chip memories, by part."""
