"""Tiles for arrays of cells in which one tensor stays: the problem, its search, the nests."""
