"""Lessons, one file each: content as data and a few functions.

Their numbers come from the simulator.
"""
