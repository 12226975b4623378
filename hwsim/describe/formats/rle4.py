"""The zeros before a value in four bits, then the value.

    0 0 0 12 0 0 53   ->   (3, 12) (2, 53)

Fifteen zeros at most; the value after them is written whatever it is, so a zero may be. EIE (Han et
al., ISCA 2016) and SCNN (Parashar et al., ISCA 2017) code so.

Of zeros that lie anywhere, an entry stands for 1 + z + ... + z^15 values, z their share.
"""

from __future__ import annotations

from math import prod

from hwsim.describe.formats import FORMATS, Array, Format, Shape

RUN_BITS = 4
LONGEST_RUN = 2**RUN_BITS - 1


def entries(values: Array, longest: int = LONGEST_RUN) -> int:
    """Of a tensor's values in order; zeros at the very end are closed by one."""
    found = run = 0
    for value in values.reshape(-1).tolist():
        if value == 0 and run < longest:
            run += 1
        else:
            found, run = found + 1, 0
    return found + (run > 0)


def exact(values: Array, bits: int) -> int:
    return entries(values) * (bits + RUN_BITS)


def expected(shape: Shape, density: float, bits: int) -> float:
    in_entry = sum((1 - density) ** zeros for zeros in range(LONGEST_RUN + 1))
    return prod(shape) / in_entry * (bits + RUN_BITS)


FORMATS.register("rle4")(Format("zeros before a value in 4 bits, and the value", exact, expected))
