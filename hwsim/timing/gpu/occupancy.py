"""How many blocks of a kernel an SM holds at a time, and what stops more."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

from hwsim.describe.kernels import Kernel
from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError
from hwsim.ir.attention import head_width, is_fused_attention
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Nest
from hwsim.parts.sm import GROUP, REGISTER_BYTES, THREAD, StreamingMultiprocessor
from hwsim.schedule.dataflows.fused_attention import WARP_QUERIES, shared_bytes, tile_of
from hwsim.timing.explicit.accesses import word_bytes
from hwsim.timing.gpu.kernel_time import Chip, product_of
from hwsim.timing.gpu.rows import RowKernel

ACCUMULATOR_BYTES = 4
# Dao, FlashAttention-2, github.com/Dao-AILab/flash-attention: 8 warps where rows are longer
WIDE_ROW = 128
HOLDERS = (THREAD, GROUP)  # who holds a tile in registers


@dataclass(frozen=True)
class Occupancy:
    """Blocks of a kernel on one SM at a time, and what stops more.

    holders: threads or tensor groups of a block.
    """

    blocks: int
    holders: int
    threads: int
    registers_per_thread: int
    shared_bytes: int
    limit: str


def room_for(nest: Nest, machine: Machine, counts: NestCounts, rows: RowKernel | None) -> Occupancy:
    """Blocks of whatever kernel runs the nest. Raises HwsimError when not even one fits."""
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor)
    if is_fused_attention(nest.stage):
        return _of_attention(nest, machine)
    if nest.stage.transformed is not None:
        return _of_fused_winograd(nest, machine, counts)
    if rows is not None:
        return _of_rows(rows)
    if nest.kernel is not None:
        return _of_kernel(nest, machine, nest.kernel)
    return occupancy(nest, machine, sm, counts)


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
    estimate = sm.working_registers + ceil(words[register_file] / REGISTER_BYTES / per_holder)
    registers = nest.code.registers or estimate
    room = (machine.memories[level].capacity for level in (register_file, shared))
    limits = sm.blocks_held(threads, registers, words[shared], *room)
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


def _of_kernel(nest: Nest, machine: Machine, kernel: Kernel) -> Occupancy:
    """Blocks of a library's kernel on an SM. Raises HwsimError when not even one fits."""
    widths = product_of(nest.stage).widths
    room, tile = Chip.of(machine).room, kernel.tile
    blocks = room.resident(tile, widths)
    if not blocks:
        raise HwsimError(
            f"a block of kernel {tile} takes {tile.threads} threads of {tile.registers} registers "
            f"and {tile.shared_bytes(widths)} bytes of shared memory, which do not fit an SM of "
            f"{machine.name}; expected a smaller tile, or fewer stages"
        )
    traits = kernel.traits
    holders = traits.multiplying(tile) if traits.unit == "tensor" else tile.threads
    return Occupancy(
        blocks, holders, tile.threads, tile.registers, tile.shared_bytes(widths), str(kernel)
    )


def _of_attention(nest: Nest, machine: Machine) -> Occupancy:
    """Two blocks of four warps, whose registers are all in use; one where shared memory has no
    room for two, or rows are long and eight warps have them.
    """
    sm, stage, room = machine.compute, nest.stage, Chip.of(machine).room
    assert isinstance(sm, StreamingMultiprocessor)
    tile = tile_of(stage, machine)
    shared = shared_bytes(stage, tile)
    by_registers = 2 if head_width(stage) <= WIDE_ROW else 1
    by_shared = max(1, room.shared_bytes // (shared + room.reserved_shared))
    limit = "registers" if by_registers <= by_shared else "shared memory"
    return Occupancy(
        min(by_registers, by_shared),
        ceil(tile[0] / WARP_QUERIES),
        sm.warp * (4 if by_registers == 2 else 8),
        255,  # of a thread: all that an SM has
        shared,
        limit,
    )


def _of_fused_winograd(nest: Nest, machine: Machine, counts: NestCounts) -> Occupancy:
    """Blocks of the library's fused Winograd kernel, whose sums are one at every point."""
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor) and sm.library is not None
    kernel, room = sm.library.winograd_fused, Chip.of(machine).room
    assert kernel is not None
    shared = machine.only("scratchpad", "sm")
    held = sum(
        _peak_bytes(machine, nest, counts, hold, name)
        for hold in nest.holds
        if hold.level == shared
        for name in hold.tensors
    )
    blocks = room.holding(kernel.threads, kernel.registers)
    if held:
        blocks = min(blocks, room.shared_bytes // (held + room.reserved_shared))
    if blocks < 1:
        raise HwsimError(
            f"{machine.name}: {nest.stage.name}: a block takes {held} bytes of shared memory and "
            f"{kernel.threads} threads of {kernel.registers} registers, which do not fit an SM"
        )
    return Occupancy(
        blocks, kernel.threads, kernel.threads, kernel.registers, held, "fused Winograd"
    )


def _of_rows(kernel: RowKernel) -> Occupancy:
    """Blocks of a kernel of rows on an SM; what they tell each other in shared memory is little."""
    threads = kernel.family.threads
    return Occupancy(kernel.resident, threads, threads, kernel.registers, 0, kernel.name)


def _peak_bytes(machine: Machine, nest: Nest, counts: NestCounts, hold: Hold, name: str) -> int:
    """Bytes of one block's (or thread's) tile; sums are kept in fp32 whatever the operands are."""
    width = word_bytes(machine, nest, counts, hold.level, name, ACCUMULATOR_BYTES)
    return ceil(counts.of(hold.level, name).peak * width * hold.buffers / hold.pieces)
