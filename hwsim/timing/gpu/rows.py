"""A library's kernels of rows (softmax and norms): which one runs a stage, and in what blocks.

A row that is read twice comes from the DRAM again where the rows in flight are more than the L2
holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from hwsim.describe.machine import Machine
from hwsim.describe.row_kernels import RowFamily
from hwsim.ir.stage import Stage
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.timing.caches.traffic import LevelTraffic
from hwsim.timing.gpu.kernel_time import Chip

Traffic = dict[tuple[str, str], LevelTraffic]


@dataclass(frozen=True)
class RowKernel:
    """A kernel on the rows of a stage: rows of so many words, in blocks, so many on an SM."""

    name: str
    family: RowFamily
    words: int
    rows: int
    resident: int

    @property
    def blocks(self) -> int:
        return ceil(self.rows / self.family.rows)

    @property
    def registers(self) -> int:
        return self.family.registers_for(self.words)

    def before(self, sm: StreamingMultiprocessor, clock_hz: float) -> float:
        """Cycles from the end of the kernel before to the first block's start."""
        return sm.launch_cycles(clock_hz)

    def alone(self, clock_hz: float) -> float:
        """Cycles of a block that has an SM to itself."""
        steps = self.family.steps(self.words)
        return self.family.start.cycles(clock_hz) + steps * self.family.step.cycles(clock_hz)

    def taken(self, clock_hz: float) -> float:
        """Cycles of an SM that a block takes while others fill its gaps."""
        return self.family.block.cycles(clock_hz)


def row_kernel(stage: Stage, machine: Machine) -> RowKernel | None:
    """The library's kernel for a stage's rows; None where it has none."""
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor)
    if stage.rows is None or sm.row_library is None:
        return None
    words = stage.group(stage.rows.over)
    found = sm.row_library.kernel_for(stage.rows.operator, words)
    if found is None:
        return None
    name, family = found
    resident = Chip.of(machine).room.holding(family.threads, family.registers_for(words))
    return RowKernel(name, family, words, stage.iterations // words, max(1, resident))


def read_again(kernel: RowKernel, stage: Stage, traffic: Traffic, chip: Chip, l2: str) -> Traffic:
    """The traffic with the inputs' second reading, where rows are read twice."""
    if kernel.family.passes(kernel.words) == 1:
        return traffic
    row = kernel.words * sum(tensor.width for tensor in stage.inputs)
    on_sm = min(kernel.resident, ceil(kernel.blocks / chip.sm.sms))
    in_flight = on_sm * kernel.family.rows * row * min(chip.sm.sms, kernel.blocks)
    levels = (l2, "dram") if in_flight > chip.l2_bytes else (l2,)
    found = dict(traffic)
    for tensor in stage.inputs:
        for at in ((level, tensor.buffer) for level in levels):
            if at in found:
                found[at] = replace(found[at], reads=2 * found[at].reads)
    return found
