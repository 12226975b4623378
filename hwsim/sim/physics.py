"""What no machine can break, asserted on every run: a violation is a bug of a model, shown with its numbers."""

from __future__ import annotations

from hwsim.errors import PhysicsError
from hwsim.sim.result import LayerResult, StageResult
from hwsim.spec.machine import Machine
from hwsim.units import Bandwidth

TOLERANCE = 1e-9


def check_stage(stage: StageResult, machine: Machine) -> StageResult:
    """The stage itself, or PhysicsError with every broken law."""
    broken = []
    cycles = stage.cycles.total
    floor = stage.operations.multiplies / stage.peak_macs_per_cycle
    if cycles < floor * (1 - TOLERANCE):
        broken.append(f"{cycles:.0f} cycles for {stage.operations.multiplies} multiplications, peak {stage.peak_macs_per_cycle:g} a cycle")
    for name, tensors in stage.accesses.items():
        moved = sum(access.read_bytes + access.write_bytes for access in tensors.values())
        bandwidth = getattr(machine.parts[name], "bandwidth", None)
        if name == machine.dram_name and isinstance(bandwidth, Bandwidth):
            least = moved / bandwidth.bytes_per_cycle(machine.clock_hz)
            if cycles < least * (1 - TOLERANCE):
                broken.append(f"{cycles:.0f} cycles for {moved} bytes at {name}, which takes {least:.0f}")
        broken.extend(f"negative accesses of {tensor} at {name}: {access}" for tensor, access in tensors.items()
                      if min(access.reads, access.writes, access.read_bytes, access.write_bytes) < 0)
    for name, sizes in stage.footprint_bytes.items():
        if sum(sizes.values()) > machine.memories[name].capacity:
            broken.append(f"{sum(sizes.values())} bytes in {name}, which has {machine.memories[name].capacity}")
    broken.extend(f"negative stall {cause}: {time}" for cause, time in stage.cycles.stall.items() if time < 0)
    _raise(f"{machine.name}: {stage.name}", broken)
    return stage


def check_layer(layer: LayerResult, machine: Machine) -> LayerResult:
    """The layer itself, or PhysicsError: DRAM moves at least what must come and go."""
    broken = []
    sampled = any(stage.sampling for stage in layer.online)
    if not sampled and layer.dram_bytes < layer.compulsory_bytes:
        broken.append(f"{layer.dram_bytes} bytes at {machine.dram_name}, compulsory {layer.compulsory_bytes}")
    _raise(f"{machine.name}: {layer.name}", broken)
    return layer


def _raise(where: str, broken: list[str]) -> None:
    if broken:
        raise PhysicsError(f"{where}: a bug in the model: " + "; ".join(broken))
