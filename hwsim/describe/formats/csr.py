"""Rows one after another: the column of every value that is there, the value, and where rows begin.

    0 0 5        columns 2 0 1, values 5 7 8, rows begin at 0 1 3 3
    7 8 0   ->
    0 0 0

The last axis is a row. A pointer can count all values of the tensor, as its width is not known to
depend on the zeros. UOP and CP of Sparseloop.
"""

from __future__ import annotations

from math import prod

import numpy as np

from hwsim.describe.formats import FORMATS, Array, Format, Shape, index_bits


def pointer_bits(shape: Shape) -> int:
    """Of all rows' beginnings, and the last one's end."""
    return (prod(shape[:-1]) + 1) * index_bits(prod(shape) + 1)


def exact(values: Array, bits: int) -> int:
    shape = values.shape
    return int(np.count_nonzero(values)) * (bits + index_bits(shape[-1])) + pointer_bits(shape)


def expected(shape: Shape, density: float, bits: int) -> float:
    return prod(shape) * density * (bits + index_bits(shape[-1])) + pointer_bits(shape)


FORMATS.register("csr")(Format("rows: columns and values, where rows begin", exact, expected))
