"""What no machine can break, asserted on every run.

A violation is a bug of a model, shown with its numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

from hwsim.describe.machine import Machine, Memory
from hwsim.errors import PhysicsError
from hwsim.ir.note import Note
from hwsim.parts.cache import Cache, caches_of
from hwsim.results.result import Access, LayerResult, StageResult

TOLERANCE = 1e-9


def check_stage(stage: StageResult, machine: Machine) -> StageResult:
    """The stage itself, or PhysicsError with every broken law."""
    broken = []
    cycles = stage.cycles.total
    floor = stage.operations.multiplies / stage.peak_macs_per_cycle
    if cycles < floor * (1 - TOLERANCE):
        broken.append(
            f"{cycles:.0f} cycles for {stage.operations.multiplies} multiplications, peak "
            f"{stage.peak_macs_per_cycle:g} a cycle"
        )
    for name, tensors in stage.accesses.items():
        least = port_cycles(machine, name, tensors.values())
        if cycles < least * (1 - TOLERANCE):
            broken.append(f"{cycles:.0f} cycles for what moves at {name}, which takes {least:.0f}")
        broken.extend(
            f"negative accesses of {tensor} at {name}: {access}"
            for tensor, access in tensors.items()
            if min(access.reads, access.writes, access.read_bytes, access.write_bytes) < 0
        )
    for name, sizes in stage.footprint_bytes.items():
        if sum(sizes.values()) > machine.memories[name].capacity:
            broken.append(
                f"{sum(sizes.values())} bytes in {name}, which has "
                f"{machine.memories[name].capacity}"
            )
    broken.extend(
        f"negative stall {cause}: {time}" for cause, time in stage.cycles.stall.items() if time < 0
    )
    _raise(f"{machine.name}: {stage.name}: timing {machine.compute.timing!r}", broken)
    return stage


def port_cycles(machine: Machine, name: str, accesses: Iterable[Access]) -> float:
    """The least cycles that a memory's ports take; 0 where no bandwidth is stated.

    All instances share the work evenly.

    DRAM reads and writes through one port, scratchpads through one each. A cache's is the port
    towards the multipliers. An SM's shared memory gives a word to many threads at once, so only
    what is written there is a lower bound.
    """
    part = machine.memories[name]
    bandwidth = part.bandwidth
    if bandwidth is None:
        return 0.0
    rows = list(accesses)
    reads, writes = sum(row.read_bytes for row in rows), sum(row.write_bytes for row in rows)
    if name == machine.dram_name:
        moved = (
            reads + writes
            if part.ports == "shared"
            else max((row.read_bytes + row.write_bytes for row in rows), default=0)
        )
    elif isinstance(part, Cache):
        moved = reads
    else:
        moved = writes if part.per == "sm" else max(reads, writes)
    return moved / _instances(part, machine) / bandwidth.bytes_per_cycle(machine.clock_hz)


def _instances(part: Memory, machine: Machine) -> int:
    if isinstance(part, Cache):
        return part.copies(machine.compute.units)
    return 1 if part.per == "chip" else machine.compute.units


def check_layer(layer: LayerResult, machine: Machine) -> LayerResult:
    """The layer itself, or PhysicsError: DRAM moves at least what must come and go.

    Where a sample left lines untouched, what it moved is an estimate, and its stated error is
    allowed for.
    """
    broken = []
    sampled = [stage.sampling for stage in layer.online if stage.sampling]
    unsure = max((sampling.error for sampling in sampled), default=0.0)
    lines = sum(sampling.lines for sampling in sampled)
    left_out = lines * caches_of(machine)[-1][1].line if lines else 0
    if layer.dram_bytes < layer.compulsory_bytes * (1 - unsure) - left_out:
        broken.append(
            f"{layer.dram_bytes} bytes at {machine.dram_name}, compulsory {layer.compulsory_bytes}"
        )
    _raise(f"{machine.name}: {layer.name}", broken)
    return layer


def power_note(layer: LayerResult, machine: Machine) -> Note | None:
    """What to say of a layer that would draw more than the machine's stated power.

    None where none would.
    """
    if machine.power is None or not layer.seconds:
        return None
    watts = sum(layer.energy_pj.values()) * 1e-12 / layer.seconds
    if watts <= machine.power:
        return None
    return Note(
        f"{watts:.3g} W on average, more than the {machine.power:g} W of {machine.name}: its "
        f"energies are too high here"
    )


def _raise(where: str, broken: list[str]) -> None:
    if broken:
        raise PhysicsError(f"{where}: a bug in the model: " + "; ".join(broken))
