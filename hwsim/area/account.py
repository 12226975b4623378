"""mm2 of a machine, by part: what multiplies, and what remembers on the chip.

    arithmetic   multipliers and adders at 45 nm x the node's logic x BLOCK
    memory       bits x the node's cell / FILLED; below SMALL bytes, a flip-flop a bit

BLOCK is what a block of arithmetic takes beside its operations (placing, wires, pipelines), FILLED
the share of a buffer that is cells: the geometric means of TPU v1, TPU v4i and Eyeriss. Designs
that were left out are in `hwsim validate area`. Control, networks, interfaces and pads are not
counted: on TPU v1 they are a third of the chip, on a GPU or a CPU most of it. So a sum says which
of two machines of one kind and one node is larger, not what a die measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from hwsim.area.tables import CELL_UM2, FLIP_FLOP_UM2, LOGIC, at_node, mac_um2
from hwsim.describe.machine import Machine

BLOCK = 2.86  # TPU v1 4.1, TPU v4i 2.0, Eyeriss 2.8: see reference/area.yaml
FILLED = 0.241  # TPU v1 0.27, TPU v4i 0.26, Eyeriss 0.20
SMALL = 2048  # bytes of an instance that is built of flip-flops
MM2 = 1e-6  # a um2


@dataclass(frozen=True)
class Area:
    """mm2 by part, every instance of it together."""

    parts: Mapping[str, float]
    node_nm: float

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def area_of(machine: Machine) -> Area:
    """Of its multipliers and its memories on the chip."""
    found = {machine.compute_name: arithmetic_mm2(machine)}
    for name, memory in machine.memories.items():
        if memory.management != "backing":
            each = memory_mm2(memory.capacity, machine.process_nm)
            found[name] = each * memory.copies(machine.compute.units)
    return Area(found, machine.process_nm)


def arithmetic_mm2(machine: Machine) -> float:
    """The data type that takes most at its rate; the others share its multipliers."""
    compute = machine.compute
    most = max(compute.peak_macs_per_cycle(dtype) * mac_um2(dtype) for dtype in compute.dtypes)
    return most * _logic(machine.process_nm) * BLOCK * MM2


@cache
def _logic(node_nm: float) -> float:
    return at_node(LOGIC, node_nm)


@cache
def memory_mm2(capacity: int, node_nm: float) -> float:
    """One instance of so many bytes."""
    bits = 8 * capacity
    if capacity < SMALL:
        return bits * FLIP_FLOP_UM2 * _logic(node_nm) * MM2
    return bits * at_node(CELL_UM2, node_nm) / FILLED * MM2
