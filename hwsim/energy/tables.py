"""pJ per operation and per byte, by process node.

45 nm: M. Horowitz, "Computing's Energy Problem", ISSCC 2014, figure 1.1.9. 7 nm: N. Jouppi et al.,
"Ten Lessons From Three Generations Shaped Google's TPUv4i", ISCA 2021, table 2 (both collected in
reference/energy.yaml). A machine takes the table of the nearer node, on a log scale; nothing is
scaled in between. SRAM is read off at 8 KB, 32 KB and 1 MB (64-bit words) and interpolated in log
capacity, the end values holding beyond. Entries the sources do not have are named where they are
made up from others.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from math import log


@dataclass(frozen=True)
class EnergyTable:
    """add, multiply: pJ by dtype. sram: pJ of a 64-bit access by capacity in bytes."""

    node_nm: float
    add: Mapping[str, float]
    multiply: Mapping[str, float]
    sram: tuple[tuple[int, float], ...]

    def mac_pj(self, dtype: str) -> float:
        """One multiplication and the addition of its product.

        Integers of 4 and 8 bits add in int32, fp16 and bf16 in fp32.
        """
        accumulate = {
            "int4": "int32",
            "int8x4": "int32",
            "int8": "int32",
            "int16x8": "int32",
            "fp8": "fp32",
            "fp16": "fp32",
            "fp16x4": "fp32",
            "bf16": "fp32",
        }.get(dtype, dtype)
        return self.multiply[dtype] + self.add[accumulate]

    def operation_pj(self, dtype: str) -> float:
        """One addition (or comparison, or shift) of a vector unit."""
        return self.add[dtype]

    def sram_pj_per_byte(self, capacity: int) -> float:
        sizes = self.sram
        if capacity <= sizes[0][0]:
            return sizes[0][1] / 8
        for (small, low), (large, high) in itertools.pairwise(sizes):
            if capacity <= large:
                share = log(capacity / small) / log(large / small)
                return (low + share * (high - low)) / 8
        return sizes[-1][1] / 8


# int16: the add is Horowitz's; the product is not in the figure, and taken as four int8 products;
# int16x8 as two, int8x4 as half of one, int4 as a quarter, with half of its add. Weights of four
# bits that meet fp16 are made fp16 first: their products are of fp16.
# fp64, tf32, fp8 are not in either source: fp64 is taken as four fp32, tf32 as fp32, fp8 as fp16.
NM45 = EnergyTable(
    node_nm=45,
    add={
        "int4": 0.015,
        "int8x4": 0.03,
        "int8": 0.03,
        "int16": 0.05,
        "int16x8": 0.05,
        "int32": 0.1,
        "fp16": 0.4,
        "fp16x4": 0.4,
        "bf16": 0.4,
        "fp8": 0.4,
        "fp32": 0.9,
        "tf32": 0.9,
        "fp64": 3.6,
    },
    multiply={
        "int4": 0.05,
        "int8x4": 0.1,
        "int8": 0.2,
        "int16": 0.8,
        "int16x8": 0.4,
        "int32": 3.1,
        "fp16": 1.1,
        "fp16x4": 1.1,
        "bf16": 1.1,
        "fp8": 1.1,
        "fp32": 3.7,
        "tf32": 3.7,
        "fp64": 14.8,
    },
    sram=((8 * 1024, 10.0), (32 * 1024, 20.0), (1024 * 1024, 100.0)),
)
NM7 = EnergyTable(
    node_nm=7,
    add={
        "int4": 0.0035,
        "int8x4": 0.007,
        "int8": 0.007,
        "int16": 0.0185,
        "int16x8": 0.0185,
        "int32": 0.03,
        "fp16": 0.16,
        "fp16x4": 0.16,
        "bf16": 0.11,
        "fp8": 0.16,
        "fp32": 0.38,
        "tf32": 0.38,
        "fp64": 1.52,
    },
    multiply={
        "int4": 0.0175,
        "int8x4": 0.035,
        "int8": 0.07,
        "int16": 0.28,
        "int16x8": 0.14,
        "int32": 1.48,
        "fp16": 0.34,
        "fp16x4": 0.34,
        "bf16": 0.21,
        "fp8": 0.34,
        "fp32": 1.31,
        "tf32": 1.31,
        "fp64": 5.24,
    },
    sram=((8 * 1024, 7.5), (32 * 1024, 8.5), (1024 * 1024, 14.0)),
)


# pJ per bit of main memory by technology: DDR3 and DDR4 1300 pJ, HBM2 250 to 450, GDDR6 350 to 480,
# a 64-bit access (Jouppi et al., 2021, table 2; the middle is taken); LPDDR3 240 pJ a 16-bit access
# (Gao et al., "Tetris", ASPLOS 2017, as nn_dataflow calibrates it).
DRAM_PJ_PER_BIT: Mapping[str, float] = {
    "ddr3": 1300 / 64,
    "ddr4": 1300 / 64,
    "hbm2": 350 / 64,
    "gddr6": 415 / 64,
    "lpddr3": 240 / 16,
}


ASSUMED_DRAM = "ddr3"  # where a machine's file states nothing


def table_for(node_nm: float) -> EnergyTable:
    """The table of the nearer node, on a log scale."""
    return min((NM45, NM7), key=lambda table: abs(log(table.node_nm / node_nm)))
