"""Time of blocks in waves, where no library's kernel says better.

Steps load a tile, meet at a barrier and compute; or the memories decide where they take longer.
"""

from __future__ import annotations

from math import ceil, prod

from hwsim.describe.machine import Machine
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Nest
from hwsim.parts.cache import Cache
from hwsim.parts.hand_written import Step
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import Cycles
from hwsim.timing.caches.traffic import LevelTraffic
from hwsim.timing.cpu.waits import memory_cycles
from hwsim.timing.gpu.by_hand import is_by_hand, step_of
from hwsim.timing.gpu.occupancy import Occupancy


def cycles_in_waves(
    nest: Nest,
    machine: Machine,
    sm: StreamingMultiprocessor,
    counts: NestCounts,
    room: Occupancy,
    dtype: str,
    traffic: dict[tuple[str, str], LevelTraffic],
) -> Cycles:
    """Blocks in waves, or the memories where they take longer."""
    compute, sharing, waiting = _wave_cycles(nest, machine, sm, counts, room, dtype)
    l2, dram = _memory(machine, traffic)
    inside = compute + sharing + waiting
    names = machine.only("scratchpad", "sm"), machine.only("cache"), machine.dram_name
    slowest, cause = max((inside, ""), (l2, names[1]), (dram, names[2]))
    stall = (
        {cause: slowest - compute}
        if cause
        else {names[0]: sharing, "latency and barriers": waiting}
    )
    stall["kernel launch"] = nest.stage.launches * sm.launch.cycles(machine.clock_hz)
    return Cycles(compute, {name: time for name, time in stall.items() if time > 0})


def _wave_cycles(
    nest: Nest,
    machine: Machine,
    sm: StreamingMultiprocessor,
    counts: NestCounts,
    room: Occupancy,
    dtype: str,
) -> tuple[float, float, float]:
    """(cycles of arithmetic, shared memory's beyond them, cycles in which latency shows).

    Arithmetic is the busiest SM's.

    A block's step loads a tile (L2 latency), stores it to shared memory, meets two barriers and
    computes. With b blocks on an SM a step of all of them takes max(b * work, alone): the others'
    work hides one's waiting. alone: what a block takes when its threads, one operation a cycle
    each, are all that runs.
    """
    level = machine.only("scratchpad", "sm")
    blocks = counts.instances[level]
    boundary = next(hold for hold in nest.holds if hold.level == level)
    steps = prod(nest.bound(loop) for loop in nest.loops_above(boundary) if loop.spatial is None)
    iterations = prod(_padded(nest, dim) for dim, _ in nest.stage.bounds) / blocks
    if is_by_hand(nest, sm):
        step = step_of(nest, machine, counts, room, boundary, steps, iterations, dtype)
    else:
        step = _step(nest, machine, sm, counts, room, steps, iterations, dtype)
    arithmetic, work = step.arithmetic, step.work
    resident = min(room.blocks, ceil(blocks / sm.sms))
    full, rest = divmod(blocks, resident * sm.sms)
    busy = sharing = waiting = 0.0
    for waves, on_sm in ((full, resident), (1 if rest else 0, ceil(rest / sm.sms))):
        busy += waves * steps * on_sm * arithmetic
        sharing += waves * steps * on_sm * (work - arithmetic)
        waiting += waves * steps * max(0.0, step.alone - on_sm * work)
    return busy, sharing, waiting


def _step(
    nest: Nest,
    machine: Machine,
    sm: StreamingMultiprocessor,
    counts: NestCounts,
    room: Occupancy,
    steps: int,
    iterations: float,
    dtype: str,
) -> Step:
    """A step of a block that does so many iterations in all.

    It takes arithmetic, or shared memory's traffic where that takes longer, and alone on its SM a
    tile's latency besides.
    """
    each, clock = nest.stage.per_iteration, machine.clock_hz
    tensor_cores = sm.on_tensor_cores(nest.stage)
    operations = iterations * (each.multiplies or max(1, each.vector_operations))
    rate = (
        sm.macs_per_cycle_per_sm(dtype) if tensor_cores else sm.vector_ops_per_cycle_per_sm(dtype)
    )
    arithmetic = operations / rate
    level = machine.only("scratchpad", "sm")
    blocks = counts.instances[level]
    shared: Scratchpad = machine.part(level, Scratchpad)
    moved = 0.0
    for tensor in nest.stage.tensors:
        traffic = counts.of(level, tensor.name)
        moved += (
            traffic.fills
            + traffic.updates
            + traffic.drains
            + _broadcast_reads(nest, tensor.name, traffic.serves, sm.warp)
        ) * tensor.width
    busy = max(arithmetic, moved / blocks / shared.bandwidth.bytes_per_cycle(clock))
    own = busy if tensor_cores else max(busy, operations / min(rate, room.threads))
    latency = (
        sm.l2_latency.cycles(clock) + sm.shared_latency.cycles(clock) + 2 * sm.barrier.cycles(clock)
    )
    return Step(arithmetic / steps, busy / steps, latency + own / steps)


def _padded(nest: Nest, dim: str) -> int:
    """Iterations of a dim with its block tile whole.

    Threads outside a ragged edge idle in step with the others.
    """
    extent = nest.stage.extents[dim]
    tile = next(
        (loop.tile for loop in nest.loops if loop.dim == dim and loop.spatial == "block"), extent
    )
    return -(-extent // tile) * tile


def _broadcast_reads(nest: Nest, name: str, serves: int, warp: int) -> float:
    """Words shared memory delivers.

    Threads of a warp that read the same word get it in one broadcast.
    """
    tensor = nest.stage.tensor(name)
    same, lanes = 1, warp
    for loop in reversed([loop for loop in nest.loops if loop.spatial == "thread"]):
        width = min(lanes, nest.bound(loop))
        same *= 1 if loop.dim in tensor.dims else width
        lanes = max(1, lanes // width)
    return serves / same


def _memory(machine: Machine, traffic: dict[tuple[str, str], LevelTraffic]) -> tuple[float, float]:
    """(cycles at the L2's bandwidth for every sector the SMs ask for, cycles at DRAM's)."""
    l2 = machine.only("cache")
    sectors = sum(row.reads + row.writes for (level, _), row in traffic.items() if level == l2)
    asked = sectors * machine.part(l2, Cache).line
    needed = memory_cycles(machine, traffic, 1.0, asked)
    return needed[l2], needed[machine.dram_name]
