"""The lecture's tiled product on a machine with caches, by simulating the tiled loops.

    CPU, one core:                          GPU:

    for m step v1: for n step v2:           par m step v1, n step v2:   blocks
      for k step v3:                          for k step v3:            A and B in shared memory
        registers: the tiles, if they fit       par threads:            squares of C in registers
        else m, n, k one by one

It tells what every memory serves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from hwsim.algorithms import lower
from hwsim.choose.layer import simulate_layer
from hwsim.count.tiling import Tiled, best_tiles
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import Machine
from hwsim.describe.units import DTYPE_BYTES, si, words_in
from hwsim.errors import HwsimError, UnknownName
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points, tiles
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import LayerResult

MOST_THREADS = 256
MOST_STEPS, MOST_STEPS_OF_BLOCKS = 150_000_000, 10**11  # simulated in some seconds
NAMES = ("A", "B", "C")


def run_tiled(tiled: Tiled, machine: Machine) -> LayerResult:
    """The tiled product on a CPU's core or a GPU.

    Raises HwsimError for a tile that the GPU's block cannot hold.
    """
    layer = GemmLayer(tiled.m, tiled.n, tiled.k, dtype=machine.dtype)
    plan, nest = lower(layer, "direct"), _nest_of(tiled, machine)
    return simulate_layer(layer, plan, plan, machine, nests={nest.stage.name: nest})


def _nest_of(tiled: Tiled, machine: Machine) -> Nest:
    layer = GemmLayer(tiled.m, tiled.n, tiled.k, dtype=machine.dtype)
    (stage,) = lower(layer, "direct").stages
    items = (
        _on_blocks(tiled, stage, machine)
        if isinstance(machine.compute, StreamingMultiprocessor)
        else _on_core(tiled, machine)
    )
    return Nest(stage, drop_idle(stage, items), "tiled")


def fits_registers(tiled: Tiled, machine: Machine) -> bool:
    """Do the tiles of A, B and C fit a core's registers together?"""
    return (
        tiled.footprint * max(4, DTYPE_BYTES[machine.dtype])
        <= machine.memories[machine.only("registers")].capacity
    )


def memory_for(machine: Machine, name: str | None) -> tuple[str, int]:
    """(memory, bytes) that tiles must fit: the named one, else the largest explicit memory on chip.

    Raises UnknownName, or HwsimError for a cache, which nobody can place tiles in.
    """
    explicit = {
        part: memory for part, memory in machine.memories.items() if memory.management == "explicit"
    }
    if name is None:
        chosen = max(explicit, key=lambda part: explicit[part].capacity)
        return chosen, explicit[chosen].capacity
    if name not in machine.memories:
        raise UnknownName(f"memory of {machine.name}", name, explicit)
    if name not in explicit:
        raise HwsimError(
            f"{machine.name}: {name} is {machine.memories[name].management}; expected one of "
            f"{', '.join(explicit)}"
        )
    return name, explicit[name].capacity


@dataclass(frozen=True)
class Room:
    """What tiles must fit. sum_words: that a word of C takes while it is summed."""

    memory: str
    capacity: int
    words: int
    sum_words: int

    def share(self, tiled: Tiled) -> float:
        """Of the memory that the tiles fill."""
        sums = tiled.v1 * tiled.v2
        return (tiled.footprint + (self.sum_words - 1) * sums) / self.words


def room_on(machine: Machine, memory: str | None) -> Room:
    """The room for tiles in a memory. Raises as memory_for.

    Sums on an accelerator are as wide as its accumulators.
    """
    level, capacity = memory_for(machine, memory)
    wide = machine.compute.accumulator_bytes if machine.management == "explicit" else 1
    sum_words = ceil(wide / DTYPE_BYTES[machine.dtype])
    return Room(level, capacity, words_in(capacity, machine.dtype), max(1, sum_words))


def best_on(tiled: Tiled, machine: Machine, room: Room) -> Tiled:
    """The tiles of the fewest words in that the machine runs.

    On a GPU a block's tiles of A and B must fit the shared memory, too.
    """
    words = room.words
    best = best_tiles(tiled.m, tiled.n, tiled.k, words, room.sum_words)
    while words > 3 and not _is_a_block(best, machine):
        words = words * 7 // 8
        best = best_tiles(tiled.m, tiled.n, tiled.k, words, room.sum_words)
    return best


def _is_a_block(tiled: Tiled, machine: Machine) -> bool:
    """Has an SM room for a block of these tiles? True on other machines, and where none is run."""
    from hwsim.count.closed_form import count
    from hwsim.timing.gpu.occupancy import room_for

    steps = tiled.m * tiled.n * tiled.k
    if machine.management != "mixed" or steps > MOST_STEPS_OF_BLOCKS:
        return True
    nest = _nest_of(tiled, machine)
    try:
        room_for(nest, machine, count(nest), None)
    except HwsimError:
        return False
    return True


def memories_of(machine: Machine) -> list[str]:
    """Its memories from the nearest to DRAM, registers left out."""
    chain = machine.chain("activation")[::-1]
    return [part for part in chain if machine.memories[part].kind != "registers"]


def simulated(tiled: Tiled, machine: Machine) -> LayerResult | str:
    """The tiles run on the machine, or why they are not."""
    steps = (
        tiled.m * tiled.n * tiled.k
        if machine.management == "mixed" or not fits_registers(tiled, machine)
        else (tiled.m * tiled.n * tiled.k // (tiled.v1 * tiled.v2 * tiled.v3))
    )
    most = MOST_STEPS if machine.management == "implicit" else MOST_STEPS_OF_BLOCKS
    if steps > most:
        return f"not simulated, as it takes {si(steps)} steps and {si(most)} are the most"
    try:
        return run_tiled(tiled, machine)
    except HwsimError as error:
        return f"not simulated: {error}"


def reads_of(run: LayerResult, level: str) -> int:
    """Words or lines that a memory was read for."""
    (stage,) = run.online
    return sum(access.reads for access in stage.accesses.get(level, {}).values())


@dataclass(frozen=True)
class Tried:
    """Tiles of several sizes, simulated on a machine with caches.

    memory, words: what tiles may fit, and its words. levels: the memories behind it to DRAM.
    """

    machine: Machine
    memory: str
    words: int
    levels: list[str]
    runs: list[tuple[Tiled, LayerResult | str]]

    @property
    def columns(self) -> list[str]:
        """What tiles are compared by."""
        return [*self.levels[1:], "time"]

    def best_by(self) -> dict[str, Tiled]:
        """The tiles of the least time, and of the fewest reads of each memory but the nearest."""
        done = [(tiled, run) for tiled, run in self.runs if not isinstance(run, str)]
        values = [self.values(run) for _, run in done]
        columns = dict(zip(self.columns, zip(*values, strict=True), strict=bool(done)))
        return {name: done[column.index(min(column))][0] for name, column in columns.items()}

    def values(self, run: LayerResult) -> list[float]:
        """Of a run, by columns."""
        return [*(float(reads_of(run, level)) for level in self.levels[1:]), run.seconds]


def try_sizes(
    tiled: Tiled,
    machine: Machine,
    memory: str | None,
    progress: Callable[[int, int], None] | None = None,
) -> Tried:
    """These tiles, the best by the formula, and tiles of other sizes on a machine with caches.

    progress(done, total) is called after each. Raises HwsimError for a machine without caches.
    """
    if machine.management == "explicit":
        raise HwsimError(
            f"--search on {machine.name}, which has no caches; expected a CPU or a GPU, or --sweep"
        )
    room = room_on(machine, memory)
    best = best_on(tiled, machine, room)
    sizes = list(dict.fromkeys([tiled, best, *_other_sizes(tiled)]))
    runs = []
    for done, size in enumerate(sorted(sizes, key=lambda each: each.footprint), 1):
        runs.append((size, simulated(size, machine)))
        if progress is not None:
            progress(done, len(sizes))
    levels = [part for part in memories_of(machine) if part != room.memory]
    return Tried(machine, room.memory, room.words, levels, runs)


def _other_sizes(tiled: Tiled) -> list[Tiled]:
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
