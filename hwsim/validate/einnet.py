"""A convolution as a product and shifted sums, beside cuDNN's, as EINNET's authors measured them.

Zheng et al., OSDI 2023: the artifact's logs of an A100, fp32 without tensor cores. dram_bytes are
what was read (a kernel's map, or the matrix before it, to the byte); repeat runs of the artifact
differ by up to 30% in time.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from hwsim.api import simulate
from hwsim.describe.layer import ConvLayer
from hwsim.validate import CHECKS, Pair

MACHINE = "a100"


class Einnet:
    """What is compared of EINNET's logs.

    winner: of the 3 x 3 case, 1 where the form that is faster in the log is so in the model. Not
    compared: the whole-image Fourier transform of the 5 x 5 case, and the attention bands.
    """

    file = "einnet.yaml"
    summary = "EINNET's convolutions on an A100: DRAM reads, time and the faster form"

    def pairs(self, data: Any) -> Iterator[Pair]:
        cases = data["table3_op_cases_A100"]
        small, large = cases["conv3x3_resnet18"], cases["conv5x5_csrnet"]
        layer = _layer(small["shape"])
        origin = yield from _compared(
            "3x3 by Winograd", layer, "winograd-f2-fused", small["origin"]
        )
        other = yield from _compared("3x3 by offset-add", layer, "offset-add", small["optimized"])
        measured = small["optimized"]["ms"] < small["origin"]["ms"]
        yield Pair("3x3", "winner", 1.0, float((other < origin) == measured))
        n, c, h, w = (large["shape"][name] for name in "NCHW")
        rewritten = ConvLayer(n, c, h, w, 4, 3, 3, pad=(2, 1), filters="online")
        yield from _compared(
            "5x5 as 3x3 of four filters, by Winograd", rewritten, "winograd-f4", large["optimized"]
        )

    def remarks(self, data: Any) -> Iterator[str]:
        yield (
            "the log's caches are emptied before every kernel; the model's L2 of 40 MiB keeps the "
            "3x3 case's transformed filters (16.8 MB) and sums (0.9 MB), and does not read them"
        )


def _layer(shape: Any) -> ConvLayer:
    n, c, h, w, k, r, s = (shape[name] for name in ("N", "C", "H", "W", "F", "R", "S"))
    stride, pad = shape["stride"], shape["pad"]
    return ConvLayer(n, c, h, w, k, r, s, stride=stride, pad=pad, filters="online")


def _compared(
    row: str, layer: ConvLayer, algorithm: str, measured: Any
) -> Generator[Pair, None, float]:
    """Yields reads and time beside the log's; returns the model's seconds."""
    result = simulate(layer, MACHINE, algorithm, dtype="fp32")
    groups = {"algorithm": algorithm}
    read = sum(part for kernel, part in measured["dram_MB"].items() if kernel != "total")
    yield Pair(row, "dram_bytes", read * 1e6, result.layers[0].dram_read_bytes, groups)
    yield Pair(row, "time", measured["ms"] * 1e3, result.seconds * 1e6, groups)
    return result.seconds


CHECKS.register("einnet")(Einnet())
