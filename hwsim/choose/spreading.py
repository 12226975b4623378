"""Maps copied to channels last on CPUs, where as they lie they crowd sets of the second cache.

    for c:                      256 channels of 32 x 32 words in NCHW begin 4 KiB apart: in few sets
      ... ifmap[c][y][x]        of any cache, which cannot keep what is used again

The copies are stages of their own and cost what they cost.
"""

from __future__ import annotations

import numpy as np

from hwsim.describe.machine import Machine
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.cache import Cache, caches_of
from hwsim.parts.core import Core
from hwsim.parts.dram import Dram
from hwsim.results.result import LayerResult
from hwsim.rewrite.layout import is_map, on_copies


def on_spread_maps(plan: Plan, machine: Machine, ran: LayerResult) -> Plan | None:
    """The plan on copies of the maps that crowd sets of a CPU core's second cache.

    None without such maps, or where copying them takes longer than their products lost in `ran`,
    the plan as it is. Maps whose layout somebody stated stay as they lie.
    """
    if not isinstance(machine.compute, Core) or plan.fused_over:
        return None
    (_, second) = (caches_of(machine) * 2)[1]
    copied: dict[str, list[Tensor]] = {}
    for stage, result in zip(plan.stages, ran.stages, strict=True):
        maps = [tensor for tensor in stage.tensors if is_map(tensor)]
        if stage.view is None or stage.offline or not any(_crowds(t, second) for t in maps):
            continue
        lost = result.cycles.total - result.cycles.compute
        if lost > _least_cycles_of_copies(stage, maps, machine):
            copied[stage.name] = maps
    return on_copies(plan, copied) if copied else None


def _crowds(tensor: Tensor, cache: Cache) -> bool:
    """Do the first words of all channels lie in fewer sets than have room for them?"""
    channels, apart = _channels(tensor), tensor.strides[-3] * tensor.width
    if tensor.stated or tensor.layout:
        return False
    lines = np.unique(np.arange(channels) * int(apart) // cache.line)
    return int(np.bincount(lines % cache.sets).max()) > cache.ways


def _channels(tensor: Tensor) -> int:
    return tensor.axes[-3].size


def _least_cycles_of_copies(stage: Stage, maps: list[Tensor], machine: Machine) -> float:
    """Until every map has been read and written once."""
    dram: Dram = machine.part(machine.dram_name, Dram)
    moved = 2 * sum(tensor.bytes for tensor in maps)
    return moved / dram.bandwidth.bytes_per_cycle(machine.clock_hz)
