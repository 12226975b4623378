"""What no nest of a stage goes below on a machine, and what one comes to."""

from __future__ import annotations

from hwsim.count.closed_form import touched_words
from hwsim.describe.machine import Machine
from hwsim.describe.units import whole_bytes
from hwsim.energy.account import energy_pj
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.parts.dram import Dram
from hwsim.results.result import StageResult
from hwsim.rewrite.placement import Placement
from hwsim.schedule.mapper.space import Tiling

ALL_IN_DRAM = Placement()


def bytes_once(stage: Stage, placement: Placement = ALL_IN_DRAM) -> int:
    """Bytes of every word that is touched, once; but of what stays on the chip."""
    words = touched_words(stage)
    return sum(
        whole_bytes(words[tensor.name] * tensor.width)
        for tensor in stage.tensors
        if tensor.buffer not in placement.resident
    )


def _most_bytes_of_one(stage: Stage, placement: Placement) -> int:
    """Of the tensor that has most: where each has a port of its own, they come side by side."""
    words = touched_words(stage)
    moving = [tensor for tensor in stage.tensors if tensor.buffer not in placement.resident]
    return max((whole_bytes(words[each.name] * each.width) for each in moving), default=0)


def least_energy(stage: Stage, machine: Machine, placement: Placement = ALL_IN_DRAM) -> float:
    """pJ of the products, and of every word once at DRAM's port."""
    once = {machine.dram_name: bytes_once(stage, placement)}
    dtype = stage.dtype or machine.dtype
    return sum(energy_pj(machine, dtype, stage.operations, once).values())


def metrics_of(
    stage: Stage, machine: Machine, result: StageResult, placement: Placement = ALL_IN_DRAM
) -> dict[str, float]:
    """What no nest goes below, in cycles; and what this one comes to."""
    dram: Dram = machine.part(machine.dram_name, Dram)
    peak = machine.compute.peak_macs_per_cycle(stage.dtype or machine.dtype)
    return {
        "multipliers": stage.operations.multiplies / peak,
        "dram": bytes_once(stage, placement) / dram.bandwidth.bytes_per_cycle(machine.clock_hz),
        "energy": sum(result.energy_pj.values()),
        "dram bytes": float(result.dram_read_bytes + result.dram_write_bytes),
    }


def least_by_objective(
    stage: Stage, machine: Machine, placement: Placement = ALL_IN_DRAM
) -> dict[str, float]:
    """In the unit of every objective, as hwsim.choose.nests.MEASURES gives it of a run."""
    dram: Dram = machine.part(machine.dram_name, Dram)
    moved, energy = bytes_once(stage, placement), least_energy(stage, machine, placement)
    peak = machine.compute.peak_macs_per_cycle(stage.dtype or machine.dtype)
    together = moved if dram.ports == "shared" else _most_bytes_of_one(stage, placement)
    cycles = max(
        stage.operations.multiplies / peak,
        together / dram.bandwidth.bytes_per_cycle(machine.clock_hz),
    )
    return {
        "latency": cycles,
        "dram": float(moved),
        "energy": energy,
        "edp": energy * cycles,
    }


def tiling_of(stage: Stage, nest: Nest) -> Tiling:
    """Tiles of one unit's share, and of what is nearest to the multipliers."""
    whole = stage.extents
    cell, outer = dict(whole), dict(whole)
    for loop in nest.loops_above(nest.holds[-1]):
        cell[loop.dim] = min(cell[loop.dim], loop.tile)
        if loop.spatial is not None:
            outer[loop.dim] = cell[loop.dim]
    spread = {dim: -(-whole[dim] // outer[dim]) for dim in whole}
    return Tiling(outer, spread, cell)
