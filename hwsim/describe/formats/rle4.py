"""The zeros before a value in four bits, then the value.

    0 0 0 12 0 0 53   ->   (3, 12) (2, 53)

Fifteen zeros at most; the value after them is written whatever it is, so a zero may be. EIE (Han et
al., ISCA 2016) and SCNN (Parashar et al., ISCA 2017) code so.
"""

from __future__ import annotations

from math import prod

from hwsim.describe.formats import FORMATS, Array, Format, Shape, values_in_entry

RUN_BITS = 4
LONGEST_RUN = 2**RUN_BITS - 1


def entries(values: Array) -> int:
    """Of a tensor's values in order; zeros at the very end are closed by one."""
    found = run = 0
    for value in values.reshape(-1).tolist():
        if value == 0 and run < LONGEST_RUN:
            run += 1
        else:
            found, run = found + 1, 0
    return found + (run > 0)


def exact(values: Array, bits: int) -> int:
    return entries(values) * (bits + RUN_BITS)


def expected(shape: Shape, density: float, bits: int) -> float:
    return prod(shape) / values_in_entry(density, LONGEST_RUN) * (bits + RUN_BITS)


FORMATS.register("rle4")(Format("zeros before a value in 4 bits, and the value", exact, expected))
