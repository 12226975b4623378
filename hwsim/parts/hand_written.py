"""Time of a step of a kernel written by hand for CUDA cores.

Its blocks copy tiles to shared memory, and multiply out of it:

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
from math import ceil

from hwsim.describe.machine import Machine
from hwsim.parts.dram import Dram
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.sm import StreamingMultiprocessor

WORD_BYTES = 4  # of a thread's read of shared memory


@dataclass(frozen=True)
class Step:
    """Cycles of one block's step on its SM.

    arithmetic: of its products alone. work: of what it does at most, while other blocks fill its
    gaps. alone: from its start to its end.
    """

    arithmetic: float
    work: float
    alone: float


@dataclass(frozen=True)
class HandWritten:
    """An SM as hand-written code finds it.

    rate: products a cycle; shared: bytes a cycle of shared memory; latency: cycles of a load from
    DRAM.
    """

    sm: StreamingMultiprocessor
    clock_hz: float
    rate: float
    shared: float
    latency: float

    @classmethod
    def on(cls, machine: Machine, dtype: str) -> HandWritten:
        """Of a GPU. Raises HwsimError for a machine without shared memory."""
        sm, clock = machine.compute, machine.clock_hz
        assert isinstance(sm, StreamingMultiprocessor)
        shared = machine.part(machine.only("scratchpad", "sm"), Scratchpad)
        dram = machine.part(machine.dram_name, Dram)
        return cls(
            sm,
            clock,
            sm.macs_per_cycle_per_sm(dtype),
            shared.bandwidth.bytes_per_cycle(clock),
            dram.latency.cycles(clock),
        )

    def step(
        self,
        *,
        copied: float,
        read: float,
        products: float,
        threads: int,
        deep: int,
        overlapped: bool = False,
    ) -> Step:
        """A step of a block.

        copied: words to shared memory; read: words that its threads read there; deep: of the
        reduction; overlapped: the next tiles are copied meanwhile.
        """
        sm, clock = self.sm, self.clock_hz
        arithmetic = products / self.rate
        wavefronts = WORD_BYTES * (read + copied) / self.shared
        copying = copied * sm.copy_operations / self.rate
        issue = arithmetic + (read + 2 * copied) / self.rate + copying
        loads = copied / threads * sm.next_load.cycles(clock)
        read_latency = sm.shared_latency.cycles(clock)
        barriers = 2 * sm.barrier.cycles(clock) + read_latency
        loading = self.latency + loads + copying + barriers
        idle = max(1.0, self.rate / (ceil(threads / sm.warp) * sm.warp))
        computing = deep * read_latency + wavefronts + arithmetic * idle
        alone = max(loading, computing) if overlapped else loading + computing
        return Step(arithmetic, max(wavefronts, issue), alone)
