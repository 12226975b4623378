"""Products that NeuSight's authors measured on an A100 and a V100 in PyTorch, single precision.

Lee et al., "Forecasting GPU Performance for Deep Learning Training and Inference", ASPLOS 2025. The
rows are not shipped; a JSON file of them is read by --data: {"rows": [{"device", "op": "linear",
"M", "N", "K", "us"}]}. Rows of other devices and operators are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.api import simulate
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.validate import CHECKS, Pair

DEVICES = {
    "NVIDIA A100-PCIE-40GB": "a100",
    "NVIDIA A100 80GB PCIe": "a100",
    "Tesla V100-PCIE-32GB": "v100",
}


class NeuSight:
    """No constant of the two machines was fitted to any GPU but an H100."""

    file = ""
    summary = 'NeuSight\'s products on an A100 and a V100: --data FILE with rows of "us"'

    def pairs(self, data: Any) -> Iterator[Pair]:
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            name = DEVICES.get(row["device"])
            if name is None or row["op"] != "linear":
                continue
            layer = GemmLayer(row["M"], row["N"], row["K"], dtype="fp32")
            result = simulate(layer, load_machine(name), "direct", dtype="fp32")
            said = f"{number} {row['M']}x{row['N']}x{row['K']} {row['device']}"
            yield Pair(said, "time", row["us"], result.seconds * 1e6, {"machine": name})


CHECKS.register("neusight")(NeuSight())
