"""Lessons, one file each: content as data and a few functions; the numbers come from the simulator."""
