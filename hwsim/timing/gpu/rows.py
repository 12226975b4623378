"""Time of a library's kernels of rows (softmax and norms), in closed form.

    a block alone      start + its steps
    n blocks on an SM  launch + a block alone + (n - 1) of the root of the sum of squares of
        what it leaves idle    a block alone / blocks that an SM holds
        what it takes          the SM's own time, at least its arithmetic
        what it moves          through the slower of L2 and DRAM, at the SM's share

A root of squares stands between two limits: resources that never wait for each other would give
their largest, ones that always do their sum. The first blocks take no less than what they move. A
row that is read twice comes from the DRAM again where the rows in flight are more than the L2
holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, hypot

from hwsim.describe.machine import Machine
from hwsim.describe.row_kernels import RowFamily
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import Cycles
from hwsim.timing.caches.stream import LevelTraffic
from hwsim.timing.gpu.kernel_time import Chip, slower_port

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


def row_cycles(
    kernel: RowKernel, nest: Nest, machine: Machine, l2_bytes: float, dram_bytes: float
) -> Cycles:
    """One call. l2_bytes, dram_bytes: what it moves through the L2 and the DRAM."""
    sm, chip, family = machine.compute, Chip.of(machine), kernel.family
    assert isinstance(sm, StreamingMultiprocessor)
    clock = machine.clock_hz
    ideal = _operations(nest) / sm.sms / sm.vector_ops_per_cycle_per_sm("fp32")
    moving, port = slower_port(machine, chip, l2_bytes, dram_bytes)
    share = sm.sms / kernel.blocks  # of the whole call, what a block is of its SM's work
    steps = family.start.cycles(clock) + family.steps(kernel.words) * family.step.cycles(clock)
    alone = max(steps, ideal * share)
    idle, taken = alone / kernel.resident, max(family.block.cycles(clock), ideal * share)
    further = max(0.0, 1 / share - 1)
    each = hypot(idle, taken, moving * share)
    first = max(alone, moving * min(1.0, share))
    inside = first + further * each
    at_port = first - alone + further * (moving * share) ** 2 / each
    waits = {port: at_port, "latency and barriers": inside - at_port}
    stalls = {name: cycles * (1 - ideal / inside) for name, cycles in waits.items()}
    stalls["kernel launch"] = nest.stage.launches * sm.launch.cycles(clock)
    return Cycles(ideal, {name: cycles for name, cycles in stalls.items() if cycles > 0})


def _operations(nest: Nest) -> float:
    return nest.stage.iterations * max(1, nest.stage.per_iteration.vector_operations)
