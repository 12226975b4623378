"""SCALE-Sim 3.0.0's cycles and SRAM counts, in its own conventions, from hwsim's fold model.

Its conventions: cycles are the index of the last one (one less than their number); every fold is charged whole and
none overlap; an operand is read from SRAM once for every fold that streams it; an output-stationary fold's R + C
skew cycles count as output writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any

from hwsim.sim.array import Folds, mapped, mapping_efficiency, separate_fold_cycles
from hwsim.validate import CHECKS, Pair

METRICS = ("cycles", "mapping_efficiency", "sram_ifmap_reads", "sram_filter_reads", "sram_ofmap_writes")
COLUMNS = {"cycles": "total_cycles", "mapping_efficiency": "mapping_efficiency_pct"}


class ScaleSim:
    """Rows give M, N, K, the array and the stationary operand."""

    file = "scalesim.json"
    summary = "a systolic-array simulator: cycles, mapping efficiency, SRAM counts"

    def pairs(self, data: Any) -> Iterator[Pair]:
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            modelled = scalesim_counts(row["M"], row["N"], row["K"], row["rows"], row["cols"], row["dataflow"])
            name = f"{number} {row['network']}/{row['layer']} {row['dataflow']} {row['rows']}x{row['cols']}"
            for metric in METRICS:
                expected = row[COLUMNS.get(metric, metric)]
                value = round(modelled[metric], 6) if metric == "mapping_efficiency" else modelled[metric]
                yield Pair(name, metric, expected, value, {"dataflow": row["dataflow"], "network": row["network"]})


def scalesim_counts(m: int, n: int, k: int, rows: int, columns: int, stationary: str) -> dict[str, float]:
    """The five metrics of one product on one array. Raises ValueError for an unknown dataflow."""
    if stationary not in ("os", "ws", "is"):
        raise ValueError(f"dataflow {stationary!r}; expected os, ws or is")
    folds = mapped(m, n, k, stationary)
    down, across = ceil(folds.rows / rows), ceil(folds.columns / columns)
    return {"cycles": separate_fold_cycles(folds, rows, columns, preload=stationary != "os") - 1,
            "mapping_efficiency": 100 * mapping_efficiency(folds, rows, columns),
            **_sram(folds, down, across, rows, columns, stationary)}


def _sram(folds: Folds, down: int, across: int, rows: int, columns: int, stationary: str) -> dict[str, float]:
    """What stands still moves once; what streams along the rows is sent again for each column fold, and vice versa."""
    still = folds.rows * folds.columns
    along_rows, along_columns = folds.rows * folds.stream * across, folds.columns * folds.stream * down
    if stationary == "os":
        ifmap, weights, outputs = along_rows, along_columns, still + down * across * (rows + columns)
    elif stationary == "ws":
        ifmap, weights, outputs = along_rows, still, along_columns
    else:
        ifmap, weights, outputs = still, along_rows, along_columns
    return {"sram_ifmap_reads": ifmap, "sram_filter_reads": weights, "sram_ofmap_writes": outputs}


CHECKS.register("scalesim")(ScaleSim())
