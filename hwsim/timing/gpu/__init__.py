"""Streaming multiprocessors: blocks in waves."""
