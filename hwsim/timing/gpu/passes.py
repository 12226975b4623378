"""Time of kernels whose blocks pass once over what they work on, in closed form.

    a block alone      what its threads' steps take
    n blocks on an SM  what is before + a block alone + (n - 1) of the root of the sum of squares of
        what it leaves idle    a block alone / blocks that an SM holds
        what it takes          the SM's own time, at least its arithmetic
        what it moves          through the slower of L2 and DRAM, at the SM's share

A root of squares stands between two limits: resources that never wait for each other would give
their largest, ones that always do their sum. The first blocks take no less than what they move.
"""

from __future__ import annotations

from math import ceil, hypot
from typing import Protocol

from hwsim.describe.machine import Machine
from hwsim.ir.stage import Stage
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import Cycles
from hwsim.timing.gpu.kernel_time import Chip, slower_port


class PassKernel(Protocol):
    """A kernel's blocks: how many, and how many an SM holds."""

    @property
    def blocks(self) -> int: ...
    @property
    def resident(self) -> int: ...
    def before(self, sm: StreamingMultiprocessor, clock_hz: float) -> float:
        """Cycles from the end of the kernel before to the first block's start."""

    def alone(self, clock_hz: float) -> float:
        """Cycles of a block that has an SM to itself."""

    def taken(self, clock_hz: float) -> float:
        """Cycles of an SM that a block takes while others fill its gaps."""


def pass_cycles(
    kernel: PassKernel, stage: Stage, machine: Machine, l2_bytes: float, dram_bytes: float
) -> Cycles:
    """One stage. l2_bytes, dram_bytes: what it moves through the L2 and the DRAM."""
    sm, chip, clock = machine.compute, Chip.of(machine), machine.clock_hz
    assert isinstance(sm, StreamingMultiprocessor)
    calls = stage.launches
    ideal = _operations(stage) / calls / sm.sms / sm.vector_ops_per_cycle_per_sm("fp32")
    moving, port = slower_port(machine, chip, l2_bytes / calls, dram_bytes / calls)
    share = sm.sms / kernel.blocks  # of the whole call, what a block is of its SM's work
    alone = max(kernel.alone(clock), ideal * share)
    idle, taken = alone / kernel.resident, max(kernel.taken(clock), ideal * share)
    further = ceil(kernel.blocks / sm.sms) - 1
    each = hypot(idle, taken, moving * share)
    first = max(alone, moving * min(1.0, share))
    inside = first + further * each
    at_port = first - alone + further * (moving * share) ** 2 / each
    waits = {port: at_port, "latency and barriers": inside - at_port}
    stalls = {name: cycles * (1 - ideal / inside) for name, cycles in waits.items()}
    stalls["kernel launch"] = kernel.before(sm, clock)
    waited = {name: calls * cycles for name, cycles in stalls.items() if cycles > 0}
    return Cycles(calls * ideal, waited)


def _operations(stage: Stage) -> float:
    return stage.iterations * max(1, stage.per_iteration.vector_operations)
