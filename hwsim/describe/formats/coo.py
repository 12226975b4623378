"""Coordinates of every value that is there, then the value.

    0 0 5 0 7   ->   (2, 5) (4, 7)

One index an axis, each of as many bits as its positions need; the CP of Sparseloop over all axes.
"""

from __future__ import annotations

from math import prod

import numpy as np

from hwsim.describe.formats import FORMATS, Array, Format, Shape, index_bits


def entry_bits(shape: Shape, bits: int) -> int:
    """Of a value with its coordinates."""
    return bits + sum(index_bits(length) for length in shape if length > 1)


def exact(values: Array, bits: int) -> int:
    return int(np.count_nonzero(values)) * entry_bits(values.shape, bits)


def expected(shape: Shape, density: float, bits: int) -> float:
    return prod(shape) * density * entry_bits(shape, bits)


FORMATS.register("coo")(Format("coordinates and value", exact, expected))
