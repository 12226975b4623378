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
    return sum(_bytes_of_each(stage, placement))


def _bytes_of_each(stage: Stage, placement: Placement) -> list[int]:
    """The same of every tensor that comes from DRAM, or goes there."""
    words = touched_words(stage)
    return [
        whole_bytes(words[tensor.name] * tensor.width)
        for tensor in stage.tensors
        if tensor.buffer not in placement.resident
    ]


def _dram_cycles(stage: Stage, machine: Machine, placement: Placement) -> float:
    """Cycles of DRAM for all words once: one after another, or side by side over separate ports."""
    dram: Dram = machine.part(machine.dram_name, Dram)
    each = _bytes_of_each(stage, placement)
    moved = sum(each) if dram.ports == "shared" else max(each, default=0)
    return moved / dram.bandwidth.bytes_per_cycle(machine.clock_hz)


def least_energy(stage: Stage, machine: Machine, placement: Placement = ALL_IN_DRAM) -> float:
    """pJ of the products, and of every word once at DRAM's port."""
    once = {machine.dram_name: bytes_once(stage, placement)}
    dtype = stage.dtype or machine.dtype
    return sum(energy_pj(machine, dtype, stage.operations, once).values())


def metrics_of(
    stage: Stage, machine: Machine, result: StageResult, placement: Placement = ALL_IN_DRAM
) -> dict[str, float]:
    """What no nest goes below, in cycles; and what this one comes to."""
    peak = machine.compute.peak_macs_per_cycle(stage.dtype or machine.dtype)
    return {
        "multipliers": stage.operations.multiplies / peak,
        "dram": _dram_cycles(stage, machine, placement),
        "energy": sum(result.energy_pj.values()),
        "dram bytes": float(result.dram_read_bytes + result.dram_write_bytes),
    }


def least_by_objective(
    stage: Stage, machine: Machine, placement: Placement = ALL_IN_DRAM
) -> dict[str, float]:
    """In the unit of every objective, as hwsim.choose.nests.MEASURES gives it of a run."""
    moved, energy = bytes_once(stage, placement), least_energy(stage, machine, placement)
    peak = machine.compute.peak_macs_per_cycle(stage.dtype or machine.dtype)
    cycles = max(stage.operations.multiplies / peak, _dram_cycles(stage, machine, placement))
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
