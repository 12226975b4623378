"""Counts to energy: pJ by part."""

from __future__ import annotations

from collections.abc import Mapping

from hwsim.describe.machine import Machine, Memory
from hwsim.energy.tables import ASSUMED_DRAM, DRAM_PJ_PER_BIT, EnergyTable, table_for
from hwsim.ir.stage import Operations


def energy_pj(
    machine: Machine, dtype: str, operations: Operations, bytes_by_part: Mapping[str, int]
) -> dict[str, float]:
    """pJ by part: arithmetic at the compute part, bytes moved at every memory.

    A machine's own figures come first.
    """
    table = table_for(machine.process_nm)
    accumulations = min(operations.multiplies, operations.additions)
    vector = operations.shifts + operations.additions - accumulations
    own = machine.compute.mac_energy
    product = table.mac_pj(dtype) if own is None else own
    switching = (
        operations.effectual_multiplies
        if getattr(machine.compute, "zeros", "multiplied") == "gating"
        else operations.multiplies
    )
    spent = {
        machine.compute_name: switching * product
        + vector * table.operation_pj(dtype)
        + operations.constant_multiplies * table.multiply[dtype]
    }
    for name, moved in bytes_by_part.items():
        spent[name] = moved * pj_per_byte(machine.memories[name], table)
    return spent


def pj_per_byte(memory: Memory, table: EnergyTable) -> float:
    """A part's own figure, else its DRAM technology's, else SRAM's of its capacity."""
    own = memory.energy
    if own is not None:
        return own
    if memory.management == "backing":
        return DRAM_PJ_PER_BIT[memory.technology or ASSUMED_DRAM] * 8
    banks = memory.banks if memory.kind == "registers" else 1
    return table.sram_pj_per_byte(memory.capacity // banks)


def source_text(machine: Machine) -> str:
    """Which table the machine's energies come from, and how near it is."""
    table = table_for(machine.process_nm)
    how = (
        "as it is"
        if table.node_nm == machine.process_nm
        else f"unscaled for {machine.process_nm:g} nm"
    )
    own = [
        name
        for name, part in machine.parts.items()
        if any(getattr(part, field, None) is not None for field in ("energy", "mac_energy"))
    ]
    return (
        f"{table.node_nm:g} nm table, {how}"
        + (f"; of their own: {', '.join(own)}" if own else "")
        + (f"; {assumed}" if (assumed := assumed_text(machine)) else "")
    )


def assumed_text(machine: Machine) -> str:
    """What to say where a file states neither DRAM's energy nor its technology; else ''."""
    dram = machine.memories[machine.dram_name]
    stated = dram.energy is not None or dram.technology is not None
    return (
        ""
        if stated
        else f"{machine.dram_name}'s energy is {ASSUMED_DRAM}'s, as its file states neither "
        f"energy nor technology"
    )


def energy_by_tensor_pj(
    machine: Machine, moved: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, float]]:
    """pJ by memory and tensor. moved: bytes read and written, by memory and tensor."""
    table = table_for(machine.process_nm)
    return {
        name: {
            tensor: size * pj_per_byte(machine.memories[name], table)
            for tensor, size in tensors.items()
        }
        for name, tensors in moved.items()
    }
