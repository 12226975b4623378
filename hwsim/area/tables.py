"""Areas of operations, of memory cells, and how logic shrinks.

Operations at 45 nm: the companion table of M. Horowitz, "Computing's Energy Problem", ISSCC 2014
(reference/energy.yaml). Flip-flops: Shao et al., "Aladdin", ISCA 2014, 40 nm. Logic by node:
Stillmaker and Baas, "Scaling equations", Integration 2017; below 7 nm by the density that foundries
publish. SRAM cells: the foundries' high-density cells; they shrink less than logic.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from math import exp, log

from hwsim.describe.units import DTYPE_BYTES, WEIGHT_BYTES

ADD_UM2 = {"int8": 36.0, "int16": 67.0, "int32": 137.0, "fp16": 1360.0, "fp32": 4184.0}
MULTIPLY_UM2 = {"int8": 282.0, "int32": 3495.0, "fp16": 1640.0, "fp32": 7700.0}
# Not in the source: a product grows with both operands' significant bits, from the nearest entry.
PRODUCTS = {
    "int4": ("int8", 4 * 4 / 64),
    "int16": ("int32", 16 * 16 / 1024),
    "int8x4": ("int8", 8 * 4 / 64),
    "int16x8": ("int8", 2.0),
    "fp16x4": ("fp16", 1.0),
    "fp8": ("fp16", 4 * 4 / 121),
    "bf16": ("fp16", 8 * 8 / 121),
    "tf32": ("fp16", 1.0),
    "fp64": ("fp32", 53 * 53 / 576),
}
SUMS = {  # the adder that collects products of a type
    "int4": "int32",
    "int8x4": "int32",
    "int8": "int32",
    "int16": "int32",
    "int16x8": "int32",
    "int32": "int32",
    "fp64": "fp64",
}
FLIP_FLOP_UM2 = 6.0  # a bit
CELL_UM2 = {  # a bit of SRAM
    65: 0.525,  # TSMC
    45: 0.299,  # TSMC
    40: 0.242,  # TSMC
    28: 0.127,  # TSMC
    20: 0.070,
    16: 0.074,  # TSMC
    10: 0.042,  # TSMC
    7: 0.027,  # TSMC
    5: 0.021,  # TSMC
    3: 0.0199,  # TSMC N3B
}
LOGIC = {  # area, 45 nm being 1
    180: 19.0,
    130: 6.4,
    90: 2.8,
    65: 1.5,
    45: 1.0,
    32: 0.46,
    20: 0.21,
    16: 0.19,
    14: 0.17,
    10: 0.10,
    7: 0.059,
    5: 0.039,
    4: 0.037,
}


def at_node(table: Mapping[int, float], node_nm: float) -> float:
    """A table's value at a node, between two nodes by logarithms, beyond its ends the ends'."""
    nodes = sorted(table)
    if node_nm <= nodes[0]:
        return table[nodes[0]]
    for low, high in pairwise(nodes):
        if node_nm <= high:
            share = log(node_nm / low) / log(high / low)
            return exp((1 - share) * log(table[low]) + share * log(table[high]))
    return table[nodes[-1]]


def multiply_um2(dtype: str) -> float:
    """A multiplier at 45 nm."""
    if dtype in MULTIPLY_UM2:
        return MULTIPLY_UM2[dtype]
    like, times = PRODUCTS[dtype]
    return MULTIPLY_UM2[like] * times


@cache
def mac_um2(dtype: str) -> float:
    """A multiplier, the adder of its sums, and flip-flops for two operands and a sum, at 45 nm."""
    sums = SUMS.get(dtype, "fp32")
    add = 2 * ADD_UM2["fp32"] if sums == "fp64" else ADD_UM2[sums]
    sum_bits = 64 if sums == "fp64" else 32
    operand_bits = 8 * (DTYPE_BYTES[dtype] + WEIGHT_BYTES[dtype])
    return multiply_um2(dtype) + add + FLIP_FLOP_UM2 * (operand_bits + sum_bits)
