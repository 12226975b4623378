"""GPU timing: thread blocks on SMs in waves, shared memory explicit, L2 a cache."""

from __future__ import annotations

from math import ceil

from hwsim.count.closed_form import count
from hwsim.describe.machine import Machine
from hwsim.ir.attention import is_fused_attention
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Transformed
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import Access, CacheLines, Cycles
from hwsim.timing import Footprint, Run
from hwsim.timing.caches.batches import Walkers
from hwsim.timing.caches.chain import ImplicitChain
from hwsim.timing.caches.stream import run_stream
from hwsim.timing.cpu.cores import cache_accesses, cache_lines, fidelity, with_flush
from hwsim.timing.explicit.accesses import accesses, footprints
from hwsim.timing.gpu.attention import attention_cycles
from hwsim.timing.gpu.kernel_time import Chip
from hwsim.timing.gpu.l2 import L2Buffers, handed_over
from hwsim.timing.gpu.library import (
    kernel_cycles,
    parts_of_sums,
    passes,
    shared_by_clusters,
)
from hwsim.timing.gpu.maps import map_kernel
from hwsim.timing.gpu.occupancy import ACCUMULATOR_BYTES, Occupancy, room_for
from hwsim.timing.gpu.passes import pass_cycles
from hwsim.timing.gpu.rows import read_again, row_kernel
from hwsim.timing.gpu.waves import cycles_in_waves
from hwsim.timing.gpu.winograd import winograd_cycles

STEPS_EXACT = 4_000_000


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
    room = room_for(nest, machine, counts, rows)
    footprint = _footprint(nest, machine, counts, room)  # before the L2 knows of what does not fit
    lines, sampling = CacheLines(), None
    if isinstance(chain, L2Buffers):
        often = passes(nest, machine, boundary, room.blocks)
        traffic, how = chain.run(nest, counts, boundary, often, last), "L2 in closed form"
    else:
        walkers = Walkers(sm.sms * room.blocks, 1, 16, STEPS_EXACT)
        stream = run_stream(nest, boundary, frozenset({"block"}), chain, walkers)
        traffic, sampling = with_flush(stream.traffic, chain, last), stream.sampling
        how, lines = fidelity("L2", sampling), cache_lines(traffic, chain)
    if rows is not None:
        traffic = read_again(rows, nest.stage, traffic, Chip.of(machine), chain.names[-1])
    elif kernel is not None:
        traffic = shared_by_clusters(nest, traffic, chain.names[-1], kernel)
    l2_bytes, dram_bytes = (
        chain.line * sum(row.reads + row.writes for (at, _), row in traffic.items() if at == level)
        for level in (chain.names[-1], "dram")
    )
    shares: dict[str, float] = {}
    closed = _in_closed_form(nest, machine, dtype, room, l2_bytes, dram_bytes)
    if closed is not None:
        what, cycles = closed
        how = f"{what} in closed form; {how}"
    elif kernel is None:
        cycles = cycles_in_waves(nest, machine, sm, counts, room, dtype, traffic)
    else:
        shares = handed_over(nest, boundary, traffic, chain.names[-1], chain.line)
        cycles = kernel_cycles(nest, machine, dtype, kernel, traffic, chain.line, shares)
        # their time is in the kernel's already
        of_chip = Chip.of(machine)
        traffic = {
            **traffic,
            **parts_of_sums(nest, kernel, of_chip, chain.names[-1], chain.line),
        }
    found = accesses(machine, nest, counts, {shared, registers}, ACCUMULATOR_BYTES)
    found[registers] = _of_registers(nest, sm, found[registers])
    found.update(cache_accesses(machine, traffic, chain.line, shares))
    return Run(
        nest,
        cycles,
        found,
        footprint,
        f"blocks in waves ({room.blocks} a SM, {room.limit}); {how}",
        sampling=sampling,
        lines=lines,
    )


def _footprint(nest: Nest, machine: Machine, counts: NestCounts, room: Occupancy) -> Footprint:
    """What an SM holds of all its blocks. Raises HwsimError for what does not fit."""
    shared, registers = machine.only("scratchpad", "sm"), machine.only("registers")
    there = min(room.blocks, ceil(counts.instances[shared] / machine.compute.units))
    per_sm = {shared: there, registers: room.holders * there}
    return footprints(machine, nest, counts, ACCUMULATOR_BYTES, per_sm)


def _in_closed_form(
    nest: Nest, machine: Machine, dtype: str, room: Occupancy, l2_bytes: float, dram_bytes: float
) -> tuple[str, Cycles] | None:
    """What a kernel that is no product is called, and its cycles; None for products."""
    rows, maps = row_kernel(nest.stage, machine), map_kernel(nest.stage, machine)
    if nest.stage.transformed is not None:
        cycles = winograd_cycles(nest, machine, room.blocks, l2_bytes, dram_bytes)
        return "Winograd", cycles
    if is_fused_attention(nest.stage):
        return "attention", attention_cycles(nest, machine, dtype, l2_bytes, dram_bytes)
    if rows is not None:
        return "rows", pass_cycles(rows, nest.stage, machine, l2_bytes, dram_bytes)
    if maps is not None:
        return maps.name, pass_cycles(maps, nest.stage, machine, l2_bytes, dram_bytes)
    return None


def _of_registers(
    nest: Nest, sm: StreamingMultiprocessor, counted: dict[str, Access]
) -> dict[str, Access]:
    """Register accesses as the unit that multiplies makes them."""
    if nest.stage.transformed is not None:
        return _of_points(nest, nest.stage.transformed, counted)
    if is_fused_attention(nest.stage) and sm.uses_tensor_cores(nest.stage.dtype):
        return _of_scores_too(nest, _of_tensor_cores(nest, sm, counted))
    return _of_tensor_cores(nest, sm, counted) if sm.on_tensor_cores(nest.stage) else counted


def _of_scores_too(nest: Nest, registers: dict[str, Access]) -> dict[str, Access]:
    """Register accesses of two products, scores and sums, from those of the sums."""
    sums = registers[nest.stage.output.buffer]
    return {nest.stage.output.buffer: Access(*(2 * number for number in vars(sums).values()))}


def _of_points(
    nest: Nest, transformed: Transformed, registers: dict[str, Access]
) -> dict[str, Access]:
    """Register accesses where every point has a sum, of which outputs are made at the end."""
    output = nest.stage.output
    sums, more = registers[output.buffer], transformed.points / transformed.outputs
    wider = Access(*(ceil(number * more) for number in vars(sums).values()))
    return {**registers, output.buffer: wider}


def _of_tensor_cores(
    nest: Nest, sm: StreamingMultiprocessor, registers: dict[str, Access]
) -> dict[str, Access]:
    """Register accesses under tensor cores, which take operands from shared memory.

    A register's sum is read and written once an instruction, not once a product.
    """
    output = nest.stage.output
    deep = max(1, output.words_in(sm.tensor_depth))
    sums = registers[output.buffer]
    reads, writes = ceil(sums.reads / deep), ceil(sums.writes / deep)
    wide = sums.write_bytes // max(sums.writes, 1)
    return {output.buffer: Access(reads, writes, reads * wide, writes * wide)}
