"""Energy of what a nest moves and computes."""

from __future__ import annotations

from hwsim.describe.machine import Machine
from hwsim.energy.account import energy_by_tensor_pj, energy_pj
from hwsim.ir.nest import Nest
from hwsim.results.result import Accesses


def energy_moved(
    nest: Nest, machine: Machine, dtype: str, accesses: Accesses
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Energy in pJ by part, and by part and tensor, of what a nest moves and computes."""
    moved = {
        part: {tensor: access.read_bytes + access.write_bytes for tensor, access in tensors.items()}
        for part, tensors in accesses.items()
    }
    _gate_filter_reads(moved, nest, machine, accesses)
    in_all = {part: sum(tensors.values()) for part, tensors in moved.items()}
    return (
        energy_pj(machine, dtype, nest.stage.operations, in_all),
        energy_by_tensor_pj(machine, moved),
    )


def _gate_filter_reads(
    moved: dict[str, dict[str, int]], nest: Nest, machine: Machine, accesses: Accesses
) -> None:
    """Take from `moved` the filter reads that gating PEs leave out.

    Where PEs gate zeros, filters are read from a PE's scratchpad only for products that switch the
    multiplier.
    """
    stage, operations = nest.stage, nest.stage.operations
    if machine.compute.zeros != "gating" or not operations.multiplies:
        return
    idle = 1 - operations.effectual_multiplies / operations.multiplies
    for tensor in stage.tensors:
        for part, rows in moved.items():
            if (
                tensor.role == "weight"
                and tensor.buffer in rows
                and machine.memories[part].per == "pe"
            ):
                rows[tensor.buffer] -= int(accesses[part][tensor.buffer].read_bytes * idle)
