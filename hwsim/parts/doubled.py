"""What if one resource were twice as good? A machine, changed in one thing at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hwsim.describe.machine import Machine, Memory, Part
from hwsim.describe.units import Bandwidth
from hwsim.parts.core import Core
from hwsim.parts.dram import Dram

MULTIPLIERS, BANDWIDTH, PORTS, MEMORY, START = (
    "twice the multipliers",
    "twice the DRAM bandwidth",
    "twice the on-chip bandwidth",
    "twice the on-chip memory",
    "half the latency",
)


def doubled(machine: Machine) -> dict[str, Machine]:
    """{what is better: the machine with it}.

    Multipliers, DRAM bandwidth, the bandwidth of everything on the chip, the capacity of its
    scratchpads (where caches decide, of the largest), and what it takes to start (the machine
    itself, and a kernel's launch or DRAM's latency).
    """
    found = {}
    more = machine.compute.with_twice_the_units()
    if more is not None:
        found[MULTIPLIERS] = _with(machine, machine.compute_name, more)
    dram = machine.part(machine.dram_name, Dram)
    channels = dram.channels * 2 if dram.timing else dram.channels
    wider = replace(dram, bandwidth=_wide(dram.bandwidth), channels=channels)
    found[BANDWIDTH] = _with(machine, machine.dram_name, wider)
    on_chip = {name: part for name, part in machine.memories.items() if name != machine.dram_name}
    if on_chip:
        found[PORTS] = _wider_inside(machine)
        found[MEMORY] = _roomier(machine, on_chip)
    found[START] = _sooner(machine)
    return found


def _roomier(machine: Machine, on_chip: Mapping[str, Memory]) -> Machine:
    """Twice the room for tiles: every scratchpad, or the largest memory of a chip with caches."""
    several = machine.management == "explicit"
    largest = max(on_chip, key=lambda name: on_chip[name].capacity)
    for name in on_chip if several else [largest]:
        part: Any = machine.parts[name]
        machine = _with(machine, name, replace(part, capacity=part.capacity * 2))
    return machine


def _wider_inside(machine: Machine) -> Machine:
    """Every memory on the chip with twice its bandwidth; a core's load and store ports too."""
    for name, part in machine.parts.items():
        if name == machine.dram_name:
            continue
        changed: dict[str, Any] = {
            field: _wide(value)
            for field in ("bandwidth", "core_bandwidth")
            if isinstance(value := getattr(part, field, None), Bandwidth)
        }
        if isinstance(part, Core):
            changed = {"loads": part.loads * 2, "stores": part.stores * 2}
        if changed:
            spec: Any = part
            machine = _with(machine, name, replace(spec, **changed))
    return machine


def _wide(bandwidth: Bandwidth) -> Bandwidth:
    return Bandwidth(bandwidth.value * 2, bandwidth.per_cycle)


def _sooner(machine: Machine) -> Machine:
    if machine.start is not None:
        machine = replace(machine, start=machine.start.halved())
    compute = machine.compute.started_sooner()
    if compute is not None:
        return _with(machine, machine.compute_name, compute)
    dram = machine.part(machine.dram_name, Dram)
    return _with(machine, machine.dram_name, replace(dram, latency=dram.latency.halved()))


def _with(machine: Machine, name: str, part: Part) -> Machine:
    return replace(machine, parts={**machine.parts, name: part})
