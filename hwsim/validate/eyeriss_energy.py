"""Row-stationary energy by part, of AlexNet's layers, beside ISCA 2016's figure 10.

There are eight layers at batch 16, mapped for least energy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.describe.machine import load_machine
from hwsim.describe.networks import load_workload
from hwsim.searches import map_layers
from hwsim.validate import CHECKS, Pair

BATCH = 16
SCRATCHPADS = ("ifmap_spad", "filter_spad", "psum_spad")


class EyerissEnergy:
    """Rows are layers: energy of the ALUs, of DRAM and of the PEs' scratchpads, in 1e9 products."""

    file = "eyeriss.yaml"
    summary = (
        "ISCA 2016's energy by part (ALU, DRAM, scratchpads) of AlexNet on a row-stationary array"
    )

    def pairs(self, data: Any) -> Iterator[Pair]:
        machine = load_machine("eyeriss-isca16")
        layers = [layer for layer in load_workload("alexnet", BATCH).layers.values() if layer.macs]
        rows = data["isca2016"]["fig10_rs_energy_breakdown_1e9_MACunits"]["rows"]
        for (name, (alu, dram, scratchpads)), layer in zip(rows.items(), layers, strict=True):
            spent = map_layers(layer, machine, "energy").stages[0].simulated.energy_pj
            groups = {"layers": "convolutions" if name.startswith("conv") else "fully connected"}
            yield Pair(name, "alu", alu, round(spent["pes"] / 1e9, 2), groups)
            yield Pair(name, "dram", dram, round(spent["dram"] / 1e9, 2), groups)
            yield Pair(
                name,
                "scratchpads",
                scratchpads,
                round(sum(spent[part] for part in SCRATCHPADS) / 1e9, 2),
                groups,
            )


CHECKS.register("eyeriss-energy")(EyerissEnergy())
