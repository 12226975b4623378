"""GPU timing: thread blocks on SMs in waves, shared-memory tiles explicit, L2 as a cache, DRAM
behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, prod

from hwsim.count.closed_form import count
from hwsim.describe.kernels import Kernel
from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError
from hwsim.ir.attention import head_width, is_fused_attention
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Nest
from hwsim.parts.cache import Cache
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.sm import GROUP, THREAD, StreamingMultiprocessor
from hwsim.results.result import Access, Cycles
from hwsim.schedule.dataflows.fused_attention import tile_of
from hwsim.schedule.dataflows.shared_tiled import WORKING_REGISTERS
from hwsim.timing import Run
from hwsim.timing.caches.stream import ImplicitChain, LevelTraffic, Walkers, run_stream
from hwsim.timing.cpu.cores import cache_accesses, fidelity, with_flush
from hwsim.timing.cpu.waits import memory_cycles
from hwsim.timing.explicit.accesses import accesses, footprints, word_bytes
from hwsim.timing.gpu.attention import attention_cycles
from hwsim.timing.gpu.kernel_time import (
    INTAKE,
    L2,
    SHARED,
    Chip,
    operands,
    passes_of,
    product_of,
    time_of,
)
from hwsim.timing.gpu.l2 import L2Buffers
from hwsim.timing.gpu.rows import RowKernel, read_again, row_cycles, row_kernel

STEPS_EXACT = 4_000_000
REGISTER_BYTES = 4
ACCUMULATOR_BYTES = 4
WARP = 32
WAITS = "waves of blocks"
HOLDERS = (THREAD, GROUP)  # who holds a tile in registers


@dataclass(frozen=True)
class Occupancy:
    """Blocks of a kernel on one SM at a time, and what stops more. holders: threads or tensor
    groups of a block."""

    blocks: int
    holders: int
    threads: int
    registers_per_thread: int
    shared_bytes: int
    limit: str


def run_on_blocks(
    nest: Nest, machine: Machine, dtype: str, chain: ImplicitChain | L2Buffers, last: bool
) -> Run:
    """One stage in waves; last: the layer ends here, and what the L2 holds dirty is written out."""
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor)
    counts = count(nest)
    shared, registers = machine.only("scratchpad", "sm"), machine.only("registers")
    boundary = next(hold for hold in nest.holds if hold.level == shared)
    kernel = nest.kernel
    rows = row_kernel(nest.stage, machine)
    if is_fused_attention(nest.stage):
        room = _of_attention(nest)
    elif rows is not None:
        room = _of_rows(rows)
    elif kernel is None:
        room = occupancy(nest, machine, sm, counts)
    else:
        room = _of_kernel(nest, machine, kernel)
    sampling = None
    if isinstance(chain, L2Buffers):
        traffic = chain.run(nest, counts, boundary, _passes(nest, machine, kernel), last)
        how = "L2 in closed form"
    else:
        walkers = Walkers(sm.sms * room.blocks, 1, 16, STEPS_EXACT)
        stream = run_stream(nest, boundary, frozenset({"block"}), chain, walkers)
        traffic, sampling = with_flush(stream.traffic, chain, last), stream.sampling
        how = fidelity("L2", sampling)
    if rows is not None:
        traffic = read_again(rows, nest.stage, traffic, Chip.of(machine), chain.names[-1])
    elif kernel is not None:
        traffic = _shared_by_clusters(nest, traffic, chain.names[-1], kernel)
    dram_bytes = chain.line * sum(
        row.reads + row.writes for (level, _), row in traffic.items() if level == "dram"
    )
    if is_fused_attention(nest.stage):
        cycles = attention_cycles(nest, machine, dtype, dram_bytes)
        how = f"attention in closed form; {how}"
    elif rows is not None:
        cycles = row_cycles(rows, nest, machine, dram_bytes)
        how = f"rows in closed form; {how}"
    elif kernel is None:
        cycles = _plain_cycles(nest, machine, sm, counts, room, dtype, traffic)
    else:
        cycles = kernel_cycles(nest, machine, dtype, kernel, traffic, chain.line)
    per_sm = {
        shared: min(room.blocks, ceil(counts.instances[shared] / sm.sms)),
        registers: room.holders,
    }
    per_sm[registers] *= per_sm[shared]
    found = accesses(machine, nest, counts, {shared, registers}, ACCUMULATOR_BYTES)
    if sm.on_tensor_cores(nest.stage):
        found[registers] = _of_tensor_cores(nest, sm, found[registers])
    found.update(cache_accesses(machine, traffic, chain.line))
    return Run(
        nest,
        cycles,
        found,
        footprints(machine, nest, counts, ACCUMULATOR_BYTES, per_sm),
        f"blocks in waves ({room.blocks} a SM, {room.limit}); {how}",
        sampling=sampling,
    )


def _passes(nest: Nest, machine: Machine, kernel: Kernel | None) -> dict[str, float]:
    """How often a product's operands come from the DRAM."""
    if kernel is None:
        return {}
    a, b = operands(nest.stage)
    often = passes_of(product_of(nest.stage), kernel, Chip.of(machine))
    return dict(zip((a.name, b.name), often, strict=True))


def _plain_cycles(
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


def kernel_cycles(
    nest: Nest,
    machine: Machine,
    dtype: str,
    kernel: Kernel,
    traffic: dict[tuple[str, str], LevelTraffic],
    line: int,
) -> Cycles:
    """A library's kernel in closed form (hwsim.timing.gpu.kernel_time), but for what the L2 and the
    DRAM move, which was simulated.

    A resource's stall is what would be saved if it took no time; what is left, nobody removes
    alone: barriers, results that leave, SMs that idle behind the last wave, and other resources
    that are nearly as slow.
    """
    chip = Chip.of(machine)
    l2, dram = machine.only("cache"), machine.dram_name
    moved = {
        level: round(
            line * sum(row.reads + row.writes for (at, _), row in traffic.items() if at == level)
        )
        for level in (l2, "dram")
    }
    product, dtype = product_of(nest.stage), nest.stage.dtype or dtype
    parts = nest.stage.launches
    times = time_of(product, dtype, kernel, chip, moved["dram"] // parts)
    compute = float(times.arithmetic[0]) * parts
    slowest = max(times.limits, key=lambda name: float(times.limits[name][0]))
    others = time_of(product, dtype, kernel, chip, moved["dram"] // parts, without=slowest)
    inside, relieved = (
        float(found.body[0] + found.epilogue[0]) * parts for found in (times, others)
    )
    memories = {dram: float(times.moving[0]) * parts, l2: moved[l2] / chip.l2_bandwidth}
    names = {SHARED: machine.only("scratchpad", "sm"), L2: l2, INTAKE: l2}
    taken = sorted([(inside, names.get(slowest, slowest)), *((t, n) for n, t in memories.items())])
    (second, _), (longest, cause) = taken[-2:]
    second = max(compute, second, relieved if longest == inside else 0.0)
    stall = {
        cause: longest - second,
        WAITS: second - compute,
        "kernel launch": times.gap * parts,
        "fill and drain": float(times.prologue[0]) * parts,
        "adding a split's parts": float(times.adding[0]) * parts,
    }
    return Cycles(compute, {name: time for name, time in stall.items() if time > 0})


def _of_kernel(nest: Nest, machine: Machine, kernel: Kernel) -> Occupancy:
    """Blocks of a library's kernel on an SM. Raises HwsimError when not even one fits."""
    width = product_of(nest.stage).width
    room, tile = Chip.of(machine).room, kernel.tile
    blocks = room.resident(tile, width)
    if not blocks:
        raise HwsimError(
            f"{machine.name}: {nest.stage.name}: a block of kernel {tile} takes {tile.threads} "
            f"threads of {tile.registers} registers and {tile.shared_bytes(width)} bytes of shared "
            f"memory, which do not fit an SM"
        )
    traits = kernel.traits
    holders = traits.multiplying(tile) if traits.unit == "tensor" else tile.threads
    return Occupancy(
        blocks, holders, tile.threads, tile.registers, tile.shared_bytes(width), str(kernel)
    )


def _shared_by_clusters(
    nest: Nest, traffic: dict[tuple[str, str], LevelTraffic], l2: str, kernel: Kernel
) -> dict[tuple[str, str], LevelTraffic]:
    """Blocks of a cluster load what they share once: an operand is asked for by one of those along
    the other's dims."""
    view = nest.stage.view
    assert view is not None
    found = dict(traffic)
    for tensor in nest.stage.inputs:
        along_n = tensor.dims.isdisjoint(view.n)
        together = kernel.cluster[1] if along_n else kernel.cluster[0]
        row = found.get((l2, tensor.buffer))
        if row is not None and together > 1:
            reads = max(row.misses, row.reads / together)
            found[l2, tensor.buffer] = replace(row, reads=reads)
    return found


def _of_tensor_cores(
    nest: Nest, sm: StreamingMultiprocessor, registers: dict[str, Access]
) -> dict[str, Access]:
    """Tensor cores take operands from shared memory; a register's sum is read and written once an
    instruction, not once a product."""
    output = nest.stage.output
    deep = max(1, sm.tensor_depth // output.width)
    sums = registers[output.buffer]
    reads, writes = ceil(sums.reads / deep), ceil(sums.writes / deep)
    wide = sums.write_bytes // max(sums.writes, 1)
    return {output.buffer: Access(reads, writes, reads * wide, writes * wide)}


def _of_attention(nest: Nest) -> Occupancy:
    """Two blocks of four warps, whose registers are all in use; queries and a tile of keys and of
    values in shared memory."""
    queries, keys = tile_of(nest.stage)
    row = head_width(nest.stage) * nest.stage.output.width
    registers = 255  # of a thread: with two blocks' threads, all that an SM has
    return Occupancy(2, queries, WARP * 4, registers, (queries + 2 * keys) * row, "registers")


def _of_rows(kernel: RowKernel) -> Occupancy:
    """Blocks of a kernel of rows on an SM; what they tell each other in shared memory is little."""
    family = kernel.family
    return Occupancy(
        kernel.resident, family.threads, family.threads, kernel.registers, 0, kernel.name
    )


def occupancy(
    nest: Nest, machine: Machine, sm: StreamingMultiprocessor, counts: NestCounts
) -> Occupancy:
    """Blocks an SM holds: the least of what threads, registers, shared memory and slots allow.

    Raises HwsimError when not even one block fits.
    """
    holders = prod(nest.bound(loop) for loop in nest.loops if loop.spatial in HOLDERS) * max(
        hold.pieces for hold in nest.holds
    )
    per_holder = sm.tensor_threads if sm.on_tensor_cores(nest.stage) else 1
    threads = holders * per_holder
    warps = ceil(threads / WARP) * WARP
    register_file, shared = machine.only("registers"), machine.only("scratchpad", "sm")
    words = {
        level: sum(
            _peak_bytes(machine, nest, counts, hold, name)
            for hold in nest.holds
            if hold.level == level
            for name in hold.tensors
        )
        for level in (register_file, shared)
    }
    registers = WORKING_REGISTERS + ceil(words[register_file] / REGISTER_BYTES / per_holder)
    limits = {
        "slots": sm.max_blocks,
        "threads": sm.max_threads // warps,
        "registers": machine.memories[register_file].capacity
        // (registers * REGISTER_BYTES * warps),
    }
    if words[shared]:
        limits["shared memory"] = machine.memories[shared].capacity // words[shared]
    limit = min(limits, key=lambda name: limits[name])
    if (
        limits[limit] < 1
        or threads > sm.max_threads_per_block
        or registers > sm.max_registers_per_thread
    ):
        raise HwsimError(
            f"{machine.name}: {nest.stage.name}: a block of {threads} threads, {registers} "
            f"registers each and "
            f"{words[shared]} bytes of shared memory does not fit an SM ({limit})"
        )
    return Occupancy(limits[limit], holders, threads, registers, words[shared], limit)


def _peak_bytes(machine: Machine, nest: Nest, counts: NestCounts, hold: Hold, name: str) -> int:
    """Bytes of one block's (or thread's) tile; sums are kept in fp32 whatever the operands are."""
    width = word_bytes(machine, nest, counts, hold.level, name, ACCUMULATOR_BYTES)
    return -(-counts.of(hold.level, name).peak * width * hold.buffers // hold.pieces)


def _wave_cycles(
    nest: Nest,
    machine: Machine,
    sm: StreamingMultiprocessor,
    counts: NestCounts,
    room: Occupancy,
    dtype: str,
) -> tuple[float, float, float]:
    """(cycles of arithmetic on the busiest SM, what its shared memory takes beyond them, cycles in
    which latency is not hidden).

    A block's step loads a tile (L2 latency), stores it to shared memory, meets two barriers and
    computes. With b blocks on an SM a step of all of them takes max(b * work, latency + alone): the
    others' work hides one's waiting. alone: a block's own work when its threads, one operation a
    cycle each, are all that runs.
    """
    level = machine.only("scratchpad", "sm")
    blocks = counts.instances[level]
    boundary = next(hold for hold in nest.holds if hold.level == level)
    steps = prod(nest.bound(loop) for loop in nest.loops_above(boundary) if loop.spatial is None)
    arithmetic, work, alone = (
        cycles / steps
        for cycles in _block_cycles(nest, machine, sm, counts, blocks, room.threads, dtype)
    )
    clock = machine.clock_hz
    latency = (
        sm.l2_latency.cycles(clock) + sm.shared_latency.cycles(clock) + 2 * sm.barrier.cycles(clock)
    )
    resident = min(room.blocks, ceil(blocks / sm.sms))
    full, rest = divmod(blocks, resident * sm.sms)
    busy = sharing = waiting = 0.0
    for waves, on_sm in ((full, resident), (1 if rest else 0, ceil(rest / sm.sms))):
        busy += waves * steps * on_sm * arithmetic
        sharing += waves * steps * on_sm * (work - arithmetic)
        waiting += waves * steps * max(0.0, latency + alone - on_sm * work)
    return busy, sharing, waiting


def _block_cycles(
    nest: Nest,
    machine: Machine,
    sm: StreamingMultiprocessor,
    counts: NestCounts,
    blocks: int,
    threads: int,
    dtype: str,
) -> tuple[float, float, float]:
    """What one whole block takes of its SM: cycles of arithmetic, of arithmetic or shared memory
    traffic, and what it takes alone."""
    iterations = prod(_padded(nest, dim) for dim, _ in nest.stage.bounds) / blocks
    each = nest.stage.per_iteration
    tensor_cores = sm.on_tensor_cores(nest.stage)
    operations = iterations * (each.multiplies or max(1, each.vector_operations))
    rate = (
        sm.macs_per_cycle_per_sm(dtype) if tensor_cores else sm.vector_ops_per_cycle_per_sm(dtype)
    )
    arithmetic = operations / rate
    level = machine.only("scratchpad", "sm")
    shared: Scratchpad = machine.part(level, Scratchpad)
    moved = 0.0
    for tensor in nest.stage.tensors:
        traffic = counts.of(level, tensor.name)
        moved += (
            traffic.fills
            + traffic.updates
            + traffic.drains
            + _broadcast_reads(nest, tensor.name, traffic.serves)
        ) * tensor.width
    busy = max(arithmetic, moved / blocks / shared.bandwidth.bytes_per_cycle(machine.clock_hz))
    return arithmetic, busy, busy if tensor_cores else max(busy, operations / min(rate, threads))


def _padded(nest: Nest, dim: str) -> int:
    """Iterations of a dim with its block tile whole: threads outside a ragged edge idle in step
    with the others."""
    extent = nest.stage.extents[dim]
    tile = next(
        (loop.tile for loop in nest.loops if loop.dim == dim and loop.spatial == "block"), extent
    )
    return -(-extent // tile) * tile


def _broadcast_reads(nest: Nest, name: str, serves: int) -> float:
    """Words shared memory delivers: threads of a warp that read the same word get it in one
    broadcast."""
    tensor = nest.stage.tensor(name)
    same, lanes = 1, WARP
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
    needed = memory_cycles(machine, traffic, 1, asked)
    return needed[l2], needed[machine.dram_name]
