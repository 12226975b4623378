"""Run-length coding of feature maps, as on Eyeriss' link to DRAM: zeros before each value.

    0 0 0 12 0 0 53 22 ...   ->   (3, 12) (2, 53) (0, 22)
                                  three pairs of 5 + 16 bits and a last-word flag in 64 bits

A run is at most 31 zeros; the value after it is kept whatever it is. Chen et al., JSSC 52(1), 2017,
section IV-B, figure 8.
"""

from __future__ import annotations

from math import ceil, prod

import numpy as np
import numpy.typing as npt

from hwsim.describe.formats import FORMATS, Array, Format, Shape, values_in_entry

LONGEST_RUN = 31
PAIRS_IN_WORD = 3
WORD_BYTES = 8


def encode(values: npt.NDArray[np.int16]) -> list[tuple[int, int]]:
    """(zeros, value) pairs of a row of values; zeros at the very end are closed by a zero value."""
    pairs, run = [], 0
    for value in values.tolist():
        if value == 0 and run < LONGEST_RUN:
            run += 1
        else:
            pairs.append((run, value))
            run = 0
    return [*pairs, (run - 1, 0)] if run else pairs


def decode(pairs: list[tuple[int, int]]) -> npt.NDArray[np.int16]:
    """The values again."""
    return np.array([number for run, value in pairs for number in (*[0] * run, value)], np.int16)


def coded_bytes(pairs: int) -> int:
    """Bytes of so many pairs, in whole words."""
    return ceil(pairs / PAIRS_IN_WORD) * WORD_BYTES


def _exact(values: Array, bits: int) -> int:
    return 8 * coded_bytes(len(encode(values.reshape(-1))))


def _expected(shape: Shape, density: float, bits: int) -> float:
    pairs = prod(shape) / values_in_entry(density, LONGEST_RUN)
    return pairs * 8 * WORD_BYTES / PAIRS_IN_WORD


FORMATS.register("rlc")(
    Format("Eyeriss': zeros in 5 bits and the value, three in 64", _exact, _expected, (16,))
)
