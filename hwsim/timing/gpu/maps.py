"""A library's kernels on feature maps: which one runs a stage, and in what blocks."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from hwsim.describe.machine import Machine
from hwsim.describe.map_kernels import MapFamily
from hwsim.ir.stage import Stage
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.timing.gpu.kernel_time import Chip

LETTERS = {"n": ("n",), "c": ("g", "c", "k"), "rows": ("p", "h"), "columns": ("q", "w")}


@dataclass(frozen=True)
class MapKernel:
    """A kernel on the maps of a stage.

    It has blocks of so many steps, so many on an SM, and taps of the window.
    """

    name: str
    family: MapFamily
    blocks: int
    steps: int
    taps: int
    resident: int

    def before(self, sm: StreamingMultiprocessor, clock_hz: float) -> float:
        """Cycles from the end of the kernel before to the first block's start."""
        family = self.family
        return family.calls * sm.gap_cycles(clock_hz) + family.start.cycles(clock_hz)

    @property
    def _work(self) -> float:
        """Steps, a step of more taps counting for more."""
        return self.steps * (1 + self.family.tap * self.taps)

    def alone(self, clock_hz: float) -> float:
        """Cycles of a block that has an SM to itself."""
        return self._work * self.family.step.cycles(clock_hz)

    def taken(self, clock_hz: float) -> float:
        """Cycles of an SM that a block takes while others fill its gaps."""
        return self._work * self.family.block.cycles(clock_hz)


def map_kernel(stage: Stage, machine: Machine) -> MapKernel | None:
    """The library's kernel for a stage's maps; None where it has none."""
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor)
    if stage.maps is None or sm.map_library is None:
        return None
    dtype, extents = stage.dtype or machine.dtype, stage.called_extents
    outputs = {
        axis: prod(extents.get(letter, 1) for letter in letters)
        for axis, letters in LETTERS.items()
    }
    taps = prod(extents.values()) // prod(outputs.values())
    found = sm.map_library.kernel_for(stage.maps.operator, dtype, stage.maps.layout, taps)
    if found is None:
        return None
    name, family = found
    blocks, steps = family.grid(outputs)
    resident = Chip.of(machine).room.holding(family.threads, family.registers)
    return MapKernel(name, family, blocks, steps, taps, max(1, resident))
