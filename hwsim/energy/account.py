"""Counts to energy: pJ by part."""

from __future__ import annotations

from collections.abc import Mapping

from hwsim.energy.tables import EnergyTable, table_for
from hwsim.ir.stage import Operations
from hwsim.spec.machine import Machine, Memory


def energy_pj(machine: Machine, dtype: str, operations: Operations, bytes_by_part: Mapping[str, int]) -> dict[str, float]:
    """pJ by part: arithmetic at the compute part, bytes moved at every memory. A machine's own figures come first."""
    table = table_for(machine.process_nm)
    accumulations = min(operations.multiplies, operations.additions)
    vector = operations.shifts + operations.additions - accumulations
    own: float | None = getattr(machine.compute, "mac_energy", None)
    product = table.mac_pj(dtype) if own is None else own
    spent = {machine.compute_name: operations.multiplies * product + vector * table.operation_pj(dtype)
             + operations.constant_multiplies * table.multiply[dtype]}
    for name, moved in bytes_by_part.items():
        spent[name] = moved * pj_per_byte(machine.memories[name], table)
    return spent


def pj_per_byte(memory: Memory, table: EnergyTable) -> float:
    """A part's own figure, else DRAM's, else SRAM's of its capacity."""
    own: float | None = getattr(memory, "energy", None)
    if own is not None:
        return own
    return table.dram_pj_per_byte if memory.management == "backing" else table.sram_pj_per_byte(memory.capacity)
