"""Products and convolutions that NeuSight's authors measured on five GPUs in PyTorch, fp32.

Lee et al., "Forecasting GPU Performance for Deep Learning Training and Inference", ASPLOS 2025. The
rows are not shipped; a JSON file of them is read by --data: {"rows": [{"device", "op", "us"}]}. A
"linear" has M, N, K, a "bmm" B of them, a "conv" N, C, K, R, H, stride, pad and "algo". Where a row
has "kernel" and "grid", the time given the kernel is scored too. Other devices and operators are
left out. Products are M x N by N x K: so say the grids of all 450.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hwsim.describe.layer import ConvLayer, GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.validate import CHECKS, Pair
from hwsim.validate.measured_elsewhere import given_sgemm, timed

DEVICES = {
    "NVIDIA A100-PCIE-40GB": "a100",
    "NVIDIA A100 80GB PCIe": "a100",
    "Tesla V100-PCIE-32GB": "v100",
    "Tesla T4": "t4",
    "Tesla P100-PCIE-16GB": "p100",
    "Tesla P4": "p4",
}
ALGORITHMS = {
    "implicit_gemm": "implicit-gemm",
    "winograd_nonfused": "winograd-f4",
    "winograd_fused": "winograd-f2-fused",
}


class NeuSight:
    """No constant of the machines was fitted to these rows."""

    file = ""
    summary = 'NeuSight\'s layers on A100, V100, T4, P100, P4: --data FILE with rows of "us"'

    def pairs(self, data: Any) -> Iterator[Pair]:
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            machine = DEVICES.get(row["device"])
            if machine is None:
                continue
            if row["op"] == "conv":
                yield from _convolution(number, row, machine)
            elif row["op"] in ("linear", "bmm"):
                yield from _product(number, row, machine)


def _product(number: int, row: Any, machine: str) -> Iterator[Pair]:
    batch = row.get("B", 1)
    layer = GemmLayer(row["M"], row["K"], row["N"], "fp32", batch=batch)  # sums over N
    if row["op"] == "bmm":
        layer = replace(layer, operand="data")
    times = f"{batch} x " if batch > 1 else ""
    said = f"{number} {times}{row['M']}x{row['N']}x{row['K']} {row['device']}"
    groups = {"op": row["op"]}
    yield from timed(said, row["us"], layer, machine, "direct", groups)
    given = given_sgemm(layer, load_machine(machine), row.get("kernel", ""), row.get("grid", ()))
    if given is not None:
        groups["machine"] = machine
        yield Pair(said, "time_given_kernel", row["us"], given, groups)


def _convolution(number: int, row: Any, machine: str) -> Iterator[Pair]:
    algorithm = ALGORITHMS.get(row["algo"])
    if algorithm is None:
        return
    n, c, h, k, r = (row[name] for name in ("N", "C", "H", "K", "R"))
    layer = ConvLayer(n, c, h, h, k, r, r, stride=row["stride"], pad=row["pad"], filters="online")
    said = f"{number} {layer.summary} x{n} {row['device']} {row['algo']}"
    groups = {"op": f"conv, {row['algo']}"}
    yield from timed(said, row["us"], layer, machine, algorithm, groups)


CHECKS.register("neusight")(NeuSight())
