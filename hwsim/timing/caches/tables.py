"""Columns of the tables that a walk reads: loops, tensors and their axes."""

# loops[loop]: dim, tile, the loop outside on the same dim (-1: the unit's chunk), a dim the output
# lacks?
DIM, TILE, PARENT, REDUCES = 0, 1, 2, 3
# tensors[tensor]: first byte, the contiguous axis, bytes a word, output?, loaded in vectors?, axes;
# a packed tensor is cut along its contiguous axis into blocks of BLOCK words, BLOCK_STRIDE bytes
# apart
BASE, FAST, WIDTH, IS_OUTPUT, VECTORISED, AXES, BLOCK, BLOCK_STRIDE = 0, 1, 2, 3, 4, 5, 6, 7
# axes[tensor, axis]: words, offset of the index, words touched at once, bytes a step, then (dim,
# coefficient) pairs
SIZE, SHIFT, EXTENT, STRIDE, TERMS = 0, 1, 2, 3, 4
