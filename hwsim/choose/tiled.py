"""The lecture's tiled product on a machine with caches, by simulating the tiled loops.

    CPU, one core:                          GPU:

    for m step v1: for n step v2:           par m step v1, n step v2:   blocks
      for k step v3:                          for k step v3:            A and B in shared memory
        registers: the tiles, if they fit       par threads:            squares of C in registers
        else m, n, k one by one

It tells what every memory serves.
"""

from __future__ import annotations

from hwsim.algorithms import lower
from hwsim.choose.layer import simulate_layer
from hwsim.count.tiling import Tiled
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import Machine
from hwsim.describe.units import DTYPE_BYTES
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points, tiles
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import LayerResult

MOST_THREADS = 256
NAMES = ("A", "B", "C")


def run_tiled(tiled: Tiled, machine: Machine) -> LayerResult:
    """The tiled product on a CPU's core or a GPU.

    Raises HwsimError for a tile that the GPU's block cannot hold.
    """
    layer = GemmLayer(tiled.m, tiled.n, tiled.k, dtype=machine.dtype)
    plan = lower(layer, "direct")
    (stage,) = plan.stages
    items = (
        _on_blocks(tiled, stage, machine)
        if isinstance(machine.compute, StreamingMultiprocessor)
        else _on_core(tiled, machine)
    )
    nest = Nest(stage, drop_idle(stage, items), "tiled")
    return simulate_layer(layer, plan, plan, machine, nests={stage.name: nest})


def fits_registers(tiled: Tiled, machine: Machine) -> bool:
    """Do the tiles of A, B and C fit a core's registers together?"""
    return (
        tiled.footprint * max(4, DTYPE_BYTES[machine.dtype])
        <= machine.memories[machine.only("registers")].capacity
    )


def other_sizes(tiled: Tiled) -> list[Tiled]:
    """Tiles as deep as they are tall and wide, of 4, 8, 16 ... up to the whole product."""
    most, size, found = max(tiled.m, tiled.n, tiled.k), 4, []
    while size < 2 * most:
        tile = Tiled(
            tiled.m, tiled.n, tiled.k, *(min(size, d) for d in (tiled.m, tiled.n, tiled.k))
        )
        found += [tile] if tile not in found else []
        size *= 2
    return found


def _on_core(tiled: Tiled, machine: Machine) -> list[Loop | Hold]:
    outside: list[Loop | Hold] = [
        Hold(machine.dram_name, NAMES),
        Loop("m", tiled.v1),
        Loop("n", tiled.v2),
        Loop("k", tiled.v3),
    ]
    registers, inside = (
        Hold(machine.only("registers"), NAMES, halo="refetch"),
        points(("m", "n", "k")),
    )
    return (
        [*outside, registers, *inside]
        if fits_registers(tiled, machine)
        else [*outside, *inside, registers]
    )


def _on_blocks(tiled: Tiled, stage: Stage, machine: Machine) -> list[Loop | Hold]:
    sizes = {"m": tiled.v1, "n": tiled.v2, "k": tiled.v3}
    each = _square(tiled)
    return [
        Hold(machine.dram_name, NAMES),
        *tiles(sizes, ("m", "n"), "block"),
        Loop("k", tiled.v3),
        Hold(machine.only("scratchpad", "sm"), ("A", "B"), multicast=False),
        *tiles(each, ("m", "n"), "thread"),
        *points(("k",)),
        Hold(machine.only("registers"), NAMES, multicast=False),
        *points(("m", "n")),
    ]


def _square(tiled: Tiled) -> dict[str, int]:
    """A thread's outputs, as near to a square as leaves at most MOST_THREADS threads.

    So it reads the fewest operands.
    """
    count = -(-tiled.v1 * tiled.v2 // MOST_THREADS)
    shapes = [(m, -(-count // m)) for m in range(1, min(count, tiled.v1) + 1)]
    fitting = [(m, n) for m, n in shapes if n <= tiled.v2]
    m, n = min(fitting, key=lambda shape: (shape[0] * shape[1], sum(shape)))
    return {"m": m, "n": n}
