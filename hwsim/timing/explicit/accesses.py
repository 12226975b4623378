"""What every explicit level does in a nest: accesses and footprints in closed form."""

from __future__ import annotations

from math import ceil

from hwsim.describe.machine import Machine
from hwsim.describe.units import si, size_text, whole_bytes
from hwsim.errors import HwsimError
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Loop, Nest
from hwsim.parts.scratchpad import Scratchpad
from hwsim.results.result import Access, Accesses
from hwsim.timing import Footprint


def word_bytes(
    machine: Machine, nest: Nest, counts: NestCounts, level: str, name: str, accumulator_bytes: int
) -> float:
    """Bytes a word takes at a level.

    Accumulators and spilled partial sums of products are wider than finished outputs.
    """
    tensor = nest.stage.tensor(name)
    if tensor.role != "output" or nest.stage.view is None:
        return tensor.width
    spilled = nest.stage.reduction and counts.of(level, name).serves
    wide = max(accumulator_bytes, tensor.width) if spilled else tensor.width
    return machine.memories[level].word_bytes or wide


def port_words_bytes(
    machine: Machine, nest: Nest, counts: NestCounts, name: str, accumulator_bytes: int
) -> float:
    """Bytes a word of a tensor takes at DRAM's port.

    It is coded where the machine compresses it, but for partial sums.
    """
    width = word_bytes(machine, nest, counts, machine.dram_name, name, accumulator_bytes)
    tensor = nest.stage.tensor(name)
    summing = tensor.role == "output" and counts.of(machine.dram_name, name).serves
    return width if summing else width * tensor.coded


def busy_cycles(
    nest: Nest, machine: Machine, counts: NestCounts, name: str, accumulator_bytes: int
) -> float:
    """What one scratchpad's ports take over the whole stage, reads and writes side by side."""
    reads = writes = 0.0
    for tensor in nest.stage.tensors:
        traffic = counts.of(name, tensor.name)
        if traffic.reads or traffic.writes:
            width = word_bytes(machine, nest, counts, name, tensor.name, accumulator_bytes)
            reads += (traffic.serves + traffic.drains) * width
            writes += traffic.writes * width
    rate: float = machine.part(name, Scratchpad).bandwidth.bytes_per_cycle(machine.clock_hz)
    return max(reads, writes) / rate


def accesses(
    machine: Machine, nest: Nest, counts: NestCounts, levels: set[str], accumulator_bytes: int
) -> Accesses:
    """Reads and writes of the explicit `levels`, all instances."""
    found: Accesses = {}
    for (level, name), traffic in counts.traffic.items():
        if level in levels:
            width = word_bytes(machine, nest, counts, level, name, accumulator_bytes)
            moved: float = (
                port_words_bytes(machine, nest, counts, name, accumulator_bytes)
                if level == machine.dram_name
                else width
            )
            access = Access(
                traffic.reads,
                traffic.writes,
                ceil(traffic.reads * moved),
                ceil(traffic.writes * moved),
            )
            row, buffer = found.setdefault(level, {}), nest.stage.tensor(name).buffer
            row[buffer] = row.get(buffer, Access()) + access
    return found


def footprints(
    machine: Machine, nest: Nest, counts: NestCounts, accumulator_bytes: int, copies: dict[str, int]
) -> Footprint:
    """Peak bytes per part and tensor, buffers included.

    copies: instances that share one part (threads, blocks).

    Raises HwsimError naming the level that overflows, by how much, and for which tensors.
    """
    found: dict[str, dict[str, float]] = {}
    for hold in nest.holds:
        # cells of an array are no memory
        if hold.level == machine.dram_name or hold.level not in machine.memories:
            continue
        for name in hold.tensors:
            backing = nest.chain(name)[0] == hold
            peak = nest.stage.tensor(name).elements if backing else counts.of(hold.level, name).peak
            width = word_bytes(machine, nest, counts, hold.level, name, accumulator_bytes)
            whole = peak == counts.of(nest.holds[0].level, name).peak
            tiles = 1 if backing or whole else hold.buffers
            row, buffer = found.setdefault(hold.level, {}), nest.stage.tensor(name).buffer
            size = peak * width * tiles
            if hold.pieces > 1:
                size = ceil(size / hold.pieces)
            row[buffer] = row.get(buffer, 0) + size * copies.get(hold.level, 1)
    for level, tensors in found.items():
        _fits(machine, nest, level, tensors)
    return {
        level: {name: whole_bytes(size) for name, size in tensors.items()}
        for level, tensors in found.items()
    }


def comments(
    machine: Machine, nest: Nest, counts: NestCounts, accumulator_bytes: int
) -> dict[tuple[str, str], str]:
    """Beside each level and tensor: what one instance holds, what all read and write."""
    found = {}
    for (level, name), traffic in counts.traffic.items():
        if level not in machine.memories:
            continue
        width = word_bytes(machine, nest, counts, level, name, accumulator_bytes)
        found[level, name] = (
            f"{size_text(traffic.peak * width):>8}  read {si(traffic.reads)}, written "
            f"{si(traffic.writes)} words"
        )
    return found


def _fits(machine: Machine, nest: Nest, level: str, tensors: dict[str, float]) -> None:
    need, capacity = sum(tensors.values()), machine.memories[level].capacity
    if need > capacity:
        parts = ", ".join(f"{name} {size_text(size)}" for name, size in tensors.items())
        raise HwsimError(
            f"{machine.name}: {nest.stage.name} ({nest.dataflow}): {level} overflows by "
            f"{size_text(need - capacity)}: {parts}, of {size_text(capacity)}; "
            f"{_culprit(nest, level, tensors)}"
        )


def _culprit(nest: Nest, level: str, tensors: dict[str, float]) -> str:
    """The tensor that takes most, and the loop outside the level that leaves most of it."""
    worst = max(tensors, key=lambda name: tensors[name])
    tensor = next(tensor for tensor in nest.stage.tensors if tensor.buffer == worst)
    hold = next(hold for hold in nest.holds if hold.level == level and tensor.name in hold.tensors)
    left = {dim: bound for dim, bound in nest.stage.bounds if dim in tensor.dims}
    cut: dict[str, Loop] = {}
    for loop in nest.loops_above(hold):
        if loop.dim in left:
            left[loop.dim], cut[loop.dim] = min(left[loop.dim], loop.tile), loop
    longest = max(left, key=lambda dim: left[dim])
    if longest not in cut:
        return (
            f"most of it is {worst}: no loop outside {level} cuts its {longest} of {left[longest]}"
        )
    return (
        f"most of it is {worst}: the loop over {longest} outside {level} steps by {left[longest]}"
    )
