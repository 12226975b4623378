"""The same numbers found the slow and plain way, for tests, lessons and documents."""
