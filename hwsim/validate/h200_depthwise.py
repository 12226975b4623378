"""Depthwise convolutions on an H200 in both layouts, as PyTorch ran them.

The constants of conv-grouped and conv-depthwise in kernels/nvidia-hopper.yaml are calibrated on
these calls (benchmarks/depthwise.py measured them).
"""

from collections.abc import Iterator
from typing import Any

from hwsim.api import simulate
from hwsim.describe.layer import ConvLayer
from hwsim.describe.machine import load_machine
from hwsim.validate import CHECKS, Pair


class Depthwise:
    """Rows give a shape, a data type and a layout, and a call's time with cold caches."""

    file = "h200_depthwise.json"
    summary = "an H200's depthwise convolutions, by data type and layout"

    def pairs(self, data: Any) -> Iterator[Pair]:
        machine = load_machine("h200")
        for row in data["rows"]:
            layer = layer_of(row)
            result = simulate(layer, machine, "implicit-gemm", dtype=row["dtype"])
            layout = f"{row['dtype']} {row['layout']}"
            said = f"{layer.summary} x{layer.n} {layout}"
            taps = f"{row['R']}x{row['R']}"
            groups = {"layout": layout, "taps": taps}
            yield Pair(said, "time", row["us_cold"], result.seconds * 1e6, groups)

    def remarks(self, data: Any) -> Iterator[str]:
        yield (
            "PyTorch calls its own kernel for some, cuDNN's for others; hwsim takes the fastest "
            "of the library"
        )


def layer_of(row: Any) -> ConvLayer:
    """The depthwise layer of a row."""
    size, channels, taps = row["H"], row["C"], row["R"]
    return ConvLayer(
        row["N"],
        channels,
        size,
        size,
        channels,
        taps,
        taps,
        stride=row["stride"],
        pad=taps // 2,
        groups=channels,
        layout=row["layout"],
    )


CHECKS.register("h200-depthwise")(Depthwise())
