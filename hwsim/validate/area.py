"""Areas of published accelerators beside hwsim.area's plain model.

Its two constants are set on TPU v1, TPU v4i and Eyeriss; NVDLA's seven sizes and other blocks are
held out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwsim.area.account import BLOCK, MM2, memory_mm2
from hwsim.area.tables import LOGIC, at_node, mac_um2
from hwsim.validate import CHECKS, Pair

SCRATCHPADS = (24, 448, 48)  # bytes of one of Eyeriss' PEs: Chen et al., JSSC 2017


class Areas:
    """Whole NVDLAs of a number of multipliers and a buffer, and blocks of other chips."""

    file = "area.yaml"
    summary = "areas of NVDLA and of blocks of TPU v1, TPU v4i, EIE and Eyeriss"

    def pairs(self, data: Any) -> Iterator[Pair]:
        nvdla = data["nvdla"]
        for macs, buffer_kib, mm2 in nvdla["rows"]:
            modelled = _macs(macs, nvdla["dtype"], nvdla["nm"]) + memory_mm2(
                buffer_kib << 10, nvdla["nm"]
            )
            groups = {"use": nvdla["use"], "what": "whole NVDLA"}
            yield Pair(f"NVDLA {macs} macs", "mm2", mm2, modelled, groups)
        for values in data["blocks"]["rows"]:
            row = dict(zip(data["blocks"]["columns"], values, strict=True))
            groups = {"use": row["use"], "what": "block"}
            yield Pair(row["name"], "mm2", row["mm2"], _block(row), groups)


def _block(row: Mapping[str, Any]) -> float:
    amount, node = row["amount"], row["nm"]
    if row["kind"] == "macs":
        return _macs(amount, row["dtype"], node)
    if row["kind"] == "spads":
        return float(amount) * sum(memory_mm2(size, node) for size in SCRATCHPADS)
    return memory_mm2(amount << 10, node)


def _macs(count: int, dtype: str, node_nm: float) -> float:
    return count * mac_um2(dtype) * at_node(LOGIC, node_nm) * BLOCK * MM2


CHECKS.register("area")(Areas())
