"""NCCL's collectives on two and four H100s beside dgx-h100's links.

The protocols of systems/dgx-h100.yaml are calibrated on the rows of four GPUs; those of two are
scored apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.chips.network import Network
from hwsim.describe.system import load_system
from hwsim.validate import CHECKS, Pair

SYSTEM = "dgx-h100"
LEFT_OUT = ("broadcast",)  # that no split of a network needs


class Nccl:
    """Rows are collectives of a number of bytes."""

    file = "h100_nccl.json"
    summary = "collectives of two and four H100s on NVLink"

    def pairs(self, data: Any) -> Iterator[Pair]:
        system = load_system(SYSTEM)
        networks = {ranks: Network(system.of_shape((ranks,))) for ranks in (2, 4)}
        for row in data["rows"]:
            if row["kind"] in LEFT_OUT:
                continue
            ranks, kind = row["ranks"], row["kind"].replace("_", "-")
            chips = (0, 1) if kind == "send" else tuple(range(ranks))
            call = networks[ranks].collective(kind, chips, row["bytes"])
            name = f"{kind} of {row['bytes']} bytes on {ranks}"
            use = "calibrated on" if ranks == 4 else "held out"
            groups = {"use": use, "kind": f"{kind}, {ranks} GPUs"}
            yield Pair(name, "time", row["us"], call.seconds * 1e6, groups)


CHECKS.register("h100-nccl")(Nccl())
