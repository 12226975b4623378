"""A bit for every value says whether it is there; those that are follow.

    0 0 5 0 7   ->   00101, 5 7

As in SparTen (Gondimalla et al., MICRO 2019), and the B of Sparseloop (Wu et al., MICRO 2022).
"""

from __future__ import annotations

from math import prod

import numpy as np

from hwsim.describe.formats import FORMATS, Array, Format, Shape


def exact(values: Array, bits: int) -> int:
    return int(values.size + np.count_nonzero(values) * bits)


def expected(shape: Shape, density: float, bits: int) -> float:
    return prod(shape) * (1 + density * bits)


FORMATS.register("bitmask")(Format("a bit a value, then those that are there", exact, expected))
