"""fp64 on an H200, and int8 products of rows that are no whole 16 bytes.

The constants of dmma, dmma-cutlass, conv-dgemm and mma-int8-words in kernels/nvidia-hopper.yaml are
calibrated on these calls (benchmarks/h200_doubles.py measured them).
"""

from collections.abc import Iterator
from typing import Any

from hwsim.api import simulate
from hwsim.describe.machine import load_machine
from hwsim.validate import CHECKS, Pair
from hwsim.validate.gpu_convolutions import layer_of
from hwsim.validate.gpu_products import Products


class Doubles(Products):
    """Rows are products; convolutions are cuDNN's, in NCHW, by the algorithm that it picks.

    In fp64 it has implicit GEMM, and calls cuBLAS for one tap.
    """

    def __init__(self) -> None:
        super().__init__("h200", "doubles", "fp64 products and convolutions, and unaligned int8")

    def pairs(self, data: Any) -> Iterator[Pair]:
        yield from super().pairs(data)
        machine = load_machine(self.machine)
        for row in data["convolutions"]:
            layer = layer_of(row)
            result = simulate(layer, machine, "implicit-gemm", dtype=row["dtype"])
            said = f"{layer.summary} x{layer.n}"
            groups = {"taps": f"{row['R']}x{row['S']}"}
            yield Pair(said, "convolution_time", row["us_cold"], result.seconds * 1e6, groups)


CHECKS.register("h200-doubles")(Doubles())
