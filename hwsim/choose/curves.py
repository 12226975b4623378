"""DRAM traffic against the size of a buffer: the least that a layer moves with each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hwsim.choose.mappings import map_workload
from hwsim.describe.layer import DENSE
from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError, UnknownName
from hwsim.parts.scratchpad import Scratchpad
from hwsim.schedule.mapper import Options

SMALLER, LARGER = 6, 3  # powers of two below and above the size that the machine has


@dataclass(frozen=True)
class Point:
    """One size of a buffer, and the least DRAM traffic with it.

    capacity: of the buffer, in bytes. dram_bytes: the least found; None where nothing fits. gap:
    how much less the optimum could be, as a share; proven: not at all.
    """

    capacity: int
    dram_bytes: int | None
    gap: float = 0.0
    proven: bool = True


def buffer_curve(
    network: Workload,
    machine: Machine,
    memory: str,
    algorithm: str = "direct",
    options: Options | None = None,
    seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Point, ...]:
    """DRAM traffic by the size of a buffer, from 1/64 to 8 times the machine's own.

    Sizes go by powers of two. It is of all layers that multiply together, equal ones once, as dense
    ones.

    Raises UnknownName for a memory that is no scratchpad of the machine, HwsimError where no size
    fits.
    """
    pads = [name for name, part in machine.memories.items() if isinstance(part, Scratchpad)]
    if memory not in pads:
        raise UnknownName("scratchpad", memory, pads)
    part = machine.part(memory, Scratchpad)
    sizes = [part.capacity >> power for power in range(SMALLER, 0, -1)]
    sizes += [part.capacity << power for power in range(LARGER + 1)]
    dense, options = network.with_density(DENSE), options or Options()
    points = []
    reason: HwsimError | None = None
    for number, size in enumerate(size for size in sizes if size):
        sized = replace(machine, parts={**machine.parts, memory: replace(part, capacity=size)})
        try:
            found = map_workload(dense, sized, "dram", algorithm, options, seconds, None)
        except HwsimError as error:
            reason = error
            points.append(Point(size, None))
        else:
            moved = sum(
                stage.simulated.dram_read_bytes + stage.simulated.dram_write_bytes
                for stage in found.stages
            )
            gap = max(stage.found.gap for stage in found.stages)
            proven = all(stage.found.optimal for stage in found.stages)
            points.append(Point(size, moved, gap, proven))
        if progress is not None:
            progress(number + 1, len(sizes))
    if reason is not None and all(point.dram_bytes is None for point in points):
        raise reason
    return tuple(points)
