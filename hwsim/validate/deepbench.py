"""DeepBench: products and convolutions of Baidu's networks, measured on GPUs and on an Arm core.

The rows are not shipped; a JSON file of them is read by --data: {"rows": [{"device", "precision",
"op", "us", ...}]}, where a "gemm" has M, N, K and a "conv" W, H, C, N, K, R, S, pad_w, pad_h,
stride_w, stride_h and "algo". Of GPUs the rows in fp32 are scored, and those whose 16-bit words
meet in tensor cores. Two things about these the data does not say, and its times tell. Maps lie
channels last: copies to and fro would make 32 of V100's 47 take 1.3 times as long as was measured
and more. Products are padded to eights: those of odd sizes take no longer than even ones. A
Raspberry Pi's convolutions take 14 cycles a product, as plain loops do, and are run as such on one
core.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any, Literal

from hwsim.api import simulate
from hwsim.describe.layer import ConvLayer, GemmLayer, Layer
from hwsim.describe.machine import load_machine
from hwsim.parts.core import with_cores
from hwsim.validate import CHECKS, Pair
from hwsim.validate.measured_elsewhere import timed

GPUS = {
    "V100": "v100",
    "P100": "p100",
    "T4": "t4",
    "Titan X (Maxwell)": "titan-x-maxwell",
    "M40": "m40",
}
ARM = "Raspberry Pi 3 (Cortex-A53)"
ALGORITHMS = {
    "IMPLICIT_GEMM": "implicit-gemm",
    "IMPLICIT_PRECOMP_GEMM": "implicit-gemm",
    "WINOGRAD_NONFUSED": "winograd-f4",
    "WINOGRAD": "winograd-f2-fused",
}
PADDED_TO = 8  # words of 16 bits: tensor cores' loads of 16 bytes
FLOAT = "Float"
MIXED = "16 bit inputs, 16 bit multiplication, 32 bit addition"
DTYPES = {FLOAT: "fp32", MIXED: "fp16"}
LAYOUTS: dict[str, Literal["nchw", "nhwc"]] = {"fp32": "nchw", "fp16": "nhwc"}
LOOPS = "loops:order=nkpqcrs"


class DeepBench:
    """No constant was fitted to these rows, but the T4's clock to its three largest products."""

    file = ""
    summary = 'DeepBench on V100, P100, T4, Titan X, M40, Cortex-A53: --data FILE with rows of "us"'

    def pairs(self, data: Any) -> Iterator[Pair]:
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            device = row["device"]
            if device == ARM:
                yield _on_arm(number, row)
            elif device in GPUS and row["precision"] in DTYPES:
                algorithm = "direct" if row["op"] == "gemm" else ALGORITHMS.get(row["algo"])
                if algorithm is not None:
                    dtype = DTYPES[row["precision"]]
                    op = row["op"] if row["op"] == "gemm" else f"conv, {row['algo']}"
                    groups = {"op": op, "dtype": dtype}
                    layer = _layer(row, dtype)
                    said = _said(number, row, layer)
                    yield from timed(said, row["us"], layer, GPUS[device], algorithm, groups)


def _layer(row: Any, dtype: str = "fp32") -> Layer:
    if row["op"] == "gemm":
        m, n, k = (row[name] for name in ("M", "N", "K"))
        if dtype == DTYPES[MIXED]:
            m, n, k = (ceil(size / PADDED_TO) * PADDED_TO for size in (m, n, k))
        return GemmLayer(m, n, k, dtype=dtype)
    n, c, h, w, k, r, s = (row[name] for name in ("N", "C", "H", "W", "K", "R", "S"))
    stride, pad = ((row[f"{name}_h"], row[f"{name}_w"]) for name in ("stride", "pad"))
    return ConvLayer(
        n,
        c,
        h,
        w,
        k,
        r,
        s,
        stride=stride,
        pad=pad,
        filters="online",
        dtype=dtype,
        layout=LAYOUTS[dtype],
    )


def _said(number: int, row: Any, layer: Layer) -> str:
    images = f" x{layer.n}" if isinstance(layer, ConvLayer) else ""
    return f"{number} {layer.summary}{images} {row['device']}"


def _on_arm(number: int, row: Any) -> Pair:
    machine, layer = load_machine("cortex-a53"), _layer(row)
    if row["op"] == "gemm":
        result = simulate(layer, machine, "direct", dtype="fp32")
    else:
        one = with_cores(machine, 1)
        result = simulate(layer, one, "direct", dataflow=LOOPS, dtype="fp32", patient=True)
    groups = {"machine": "cortex-a53", "op": row["op"]}
    return Pair(_said(number, row, layer), "time", row["us"], result.seconds * 1e6, groups)


CHECKS.register("deepbench")(DeepBench())
