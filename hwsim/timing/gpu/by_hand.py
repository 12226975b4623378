"""Time of a step of a kernel written by hand for CUDA cores: blocks copy tiles to shared memory,
and multiply out of it.

    for step:
      for word of the thread's share of the tiles:     next_load after the load before
        load, store to shared memory                   copy_operations: addresses and bounds
      barrier                                          the last load's latency, from DRAM
      for k of the tile:                               a read of shared memory's latency
        read a column and a row of operands            a wavefront a cycle, of a warp each
        multiply                                       as many warps as there are cores for
      barrier

One block does these one after another; the blocks that an SM holds fill each other's gaps, until
either the wavefronts or the instructions take all of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

from hwsim.describe.machine import Machine
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Nest
from hwsim.parts.dram import Dram
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.timing.gpu.kernel_time import WARP
from hwsim.timing.gpu.l2 import tile_sizes
from hwsim.timing.gpu.occupancy import Occupancy

WORD_BYTES = 4  # of a thread's read of shared memory


@dataclass(frozen=True)
class Step:
    """Cycles of one block's step on its SM. arithmetic: of its products alone. work: of what it
    does at most, while other blocks fill its gaps. alone: from its start to its end."""

    arithmetic: float
    work: float
    alone: float


def is_by_hand(nest: Nest, sm: StreamingMultiprocessor) -> bool:
    """Products on CUDA cores that no kernel of a library computes."""
    multiplies = nest.stage.per_iteration.multiplies > 0 and nest.stage.view is not None
    return multiplies and nest.kernel is None and not sm.on_tensor_cores(nest.stage)


def step_of(
    nest: Nest,
    machine: Machine,
    counts: NestCounts,
    room: Occupancy,
    boundary: Hold,
    steps: int,
    products: float,
    dtype: str,
) -> Step:
    """A step of a block. steps: of each block; products: of a block, idle threads' among them."""
    sm, level = machine.compute, machine.only("scratchpad", "sm")
    assert isinstance(sm, StreamingMultiprocessor)
    clock, blocks = machine.clock_hz, counts.instances[level]
    shared, dram = machine.part(level, Scratchpad), machine.part(machine.dram_name, Dram)
    each = blocks * steps
    copied = sum(counts.of(level, name).fills for name in boundary.tensors) / each
    read = sum(counts.of(level, tensor.name).serves for tensor in nest.stage.inputs) / each
    rate = sm.macs_per_cycle_per_sm(dtype)
    arithmetic = products / steps / rate
    wavefronts = WORD_BYTES * (read + copied) / shared.bandwidth.bytes_per_cycle(clock)
    copying = copied * sm.copy_operations / rate
    issue = arithmetic + (read + 2 * copied) / rate + copying
    loads = copied / room.threads * sm.next_load.cycles(clock)
    barriers = 2 * sm.barrier.cycles(clock) + sm.shared_latency.cycles(clock)
    loading = dram.latency.cycles(clock) + loads + copying + barriers
    deep = _reduction(nest, boundary) * sm.shared_latency.cycles(clock)
    idle = max(1.0, rate / (ceil(room.threads / WARP) * WARP))
    computing = deep + wavefronts + arithmetic * idle
    alone = max(loading, computing) if boundary.buffers > 1 else loading + computing
    return Step(arithmetic, max(wavefronts, issue), alone)


def _reduction(nest: Nest, boundary: Hold) -> int:
    """Steps along the reduction of a tile."""
    sizes, view = tile_sizes(nest, boundary), nest.stage.view
    assert view is not None
    return prod(sizes[dim] for dim in view.k)
