"""SCALE-Sim 3.0.0's cycles and SRAM counts, in its own conventions.

hwsim.foreign.scalesim.counts has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.foreign.scalesim.counts import scalesim_counts
from hwsim.validate import CHECKS, Pair

METRICS = (
    "cycles",
    "mapping_efficiency",
    "sram_ifmap_reads",
    "sram_filter_reads",
    "sram_ofmap_writes",
)
COLUMNS = {"cycles": "total_cycles", "mapping_efficiency": "mapping_efficiency_pct"}


class ScaleSim:
    """Rows give M, N, K, the array and the stationary operand."""

    file = "scalesim.json"
    summary = "a systolic-array simulator: cycles, mapping efficiency, SRAM counts"

    def pairs(self, data: Any) -> Iterator[Pair]:
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            modelled = scalesim_counts(
                row["M"], row["N"], row["K"], row["rows"], row["cols"], row["dataflow"]
            )
            name = (
                f"{number} {row['network']}/{row['layer']} {row['dataflow']} "
                f"{row['rows']}x{row['cols']}"
            )
            for metric in METRICS:
                expected = row[COLUMNS.get(metric, metric)]
                value = (
                    round(modelled[metric], 6)
                    if metric == "mapping_efficiency"
                    else modelled[metric]
                )
                yield Pair(
                    name,
                    metric,
                    expected,
                    value,
                    {"dataflow": row["dataflow"], "network": row["network"]},
                )


CHECKS.register("scalesim")(ScaleSim())
