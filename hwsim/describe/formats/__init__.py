"""How tensors with zeros are written: one format a file, named in a DRAM's `compression`.

    dense      N b                    N values of b bits
    bitmask    N + nnz b              a bit a value says which are there
    coo        nnz (b + coordinates)
    csr        nnz (b + column) + (rows + 1) pointers
    rle4, rlc  entries (b + run)      zeros before a value, and more entries where runs are longer

A format counts its bits exactly on an array, and in expectation for zeros that lie anywhere. A
tensor that a format would lengthen travels as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from hwsim.registry import Registry

Shape = tuple[int, ...]
Array = Any  # of NumPy


@dataclass(frozen=True)
class Format:
    """A way to write a tensor with zeros, and the bits that it takes.

    summary: in a line. exact: bits of an array's values, of so many bits each. expected: bits of a
    shape's values of a density, of so many bits each. widths: bits a value that it takes, any where
    it names none.
    """

    summary: str
    exact: Callable[[Array, int], int]
    expected: Callable[[Shape, float, int], float]
    widths: tuple[int, ...] = ()

    def share(self, shape: Shape, density: float, bits: int) -> float:
        """Coded size over plain size, at most 1."""
        if self.widths and bits not in self.widths:
            return 1.0
        return min(1.0, self.expected(shape, density, bits) / (prod(shape) * bits))

    def break_even(self, shape: Shape, bits: int) -> float:
        """The density at which a tensor is as large coded as plain: above it coding is in vain."""
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            coded = self.expected(shape, middle, bits) < prod(shape) * bits
            low, high = (middle, high) if coded else (low, middle)
        return low


def index_bits(length: int) -> int:
    """Of a position along an axis."""
    return max(1, (length - 1).bit_length())


def values_in_entry(density: float, longest: int) -> float:
    """Values that an entry of run-length coding stands for on average.

    Zeros lie anywhere, and z is their share: 1 + z + ... + z^longest.
    """
    return sum((1 - density) ** zeros for zeros in range(longest + 1))


FORMATS: Registry[Format] = Registry("sparsity format", "hwsim.describe.formats")
