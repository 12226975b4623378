"""Shared-memory tiled product for GPUs: a block computes a tile, a slice of k at a time.

    par m-tile, n-tile:              blocks, no two share anything but the L2
      for k-slice:                   copied to shared memory by all threads together
        par threads:                 a square of sums in each one's registers
          for k: sums += a * w

Loads that leave the SM: M N K (1/BN + 1/BM) words for tiles of BM x BN, as an H200 counts them
(reference/h200_tiled_gemm.json).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil, inf, prod

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.transform import drop_idle, points, split_group, tiles, whole_rows
from hwsim.parts.cache import Cache
from hwsim.parts.dram import Dram
from hwsim.parts.hand_written import HandWritten
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.sm import GROUP, THREAD, StreamingMultiprocessor
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow, tile_bytes
from hwsim.schedule.tile_lines import in_whole_lines


@dataclass(frozen=True)
class BlockTile:
    """A block's outputs BM x BN, its step BK, and TM x TN outputs a thread.

    BK is of the reduction; a tensor core group stands in a thread's place. whole_rows: BM covers a
    map's rows whole, whose words lie side by side, rather than the map in the fewest blocks.
    """

    bm: int
    bn: int
    bk: int
    tm: int
    tn: int
    whole_rows: bool = False


TILES = (
    BlockTile(256, 128, 8, 16, 8),
    BlockTile(128, 128, 8, 8, 8),
    BlockTile(128, 64, 8, 8, 4),
    BlockTile(64, 64, 16, 4, 4),
    BlockTile(64, 32, 16, 4, 2),
    BlockTile(32, 64, 16, 2, 4),
    BlockTile(32, 32, 16, 2, 2),
    BlockTile(16, 64, 16, 2, 2),
    BlockTile(8, 128, 16, 1, 4),
    BlockTile(1, 256, 16, 1, 1),
)
TENSOR_SHAPES = (
    (128, 256),
    (256, 128),
    (128, 128),
    (128, 64),
    (64, 128),
    (64, 64),
    (64, 32),
    (64, 16),
)
# of a block on tensor cores, where groups can hold so much: the largest of CUTLASS
BLOCK_THREADS = 256
TENSOR_SLICE = 64  # bytes of k a step: one shared-memory row of 16-byte chunks, times four


def block_tiles(
    stage: Stage, sm: StreamingMultiprocessor, tensor_cores: bool
) -> tuple[BlockTile, ...]:
    """The tiles to choose from.

    They are squares of sums a thread, or what groups of threads hold for the tensor cores: as many
    fragments, about as tall as wide, as leave a block BLOCK_THREADS.
    """
    if not tensor_cores:
        return TILES
    depth = max(8, stage.output.words_in(TENSOR_SLICE))
    return tuple(BlockTile(bm, bn, depth, *_fragments(bm, bn, sm)) for bm, bn in TENSOR_SHAPES)


def _fragments(bm: int, bn: int, sm: StreamingMultiprocessor) -> tuple[int, int]:
    """Rows and columns of sums that a group of threads holds of a block's bm x bn."""
    tm, tn = min(bm, sm.tensor_rows), min(bn, sm.tensor_cols)
    while ceil(bm / tm) * ceil(bn / tn) * sm.tensor_threads > BLOCK_THREADS:
        if tm >= bm and tn >= bn:
            break
        if tn >= bn or (tm < bm and tm <= tn):
            tm = min(bm, 2 * tm)
        else:
            tn = min(bn, 2 * tn)
    return tm, tn


class SharedTiled:
    """The tile is the one of TILES that finishes first, the largest among equals."""

    name = "shared-tiled"
    summary = "blocks of threads, tiles in shared memory, squares of sums in registers"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, StreamingMultiprocessor):
            return "it needs streaming multiprocessors"
        return None if stage.view is not None else "the stage is no matrix product"

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        view, sm = stage.view, machine.compute
        assert view is not None and isinstance(sm, StreamingMultiprocessor)
        tensor_cores = sm.on_tensor_cores(stage)
        fitting = [
            tile
            for shape in block_tiles(stage, sm, tensor_cores)
            for tile in _laid(stage, view, shape)
            if _shared_bytes(stage, view, tile) <= sm.shared_per_block
            and _registers(stage, view, tile, sm, tensor_cores) <= sm.max_registers_per_thread
        ]
        if not fitting:
            raise HwsimError(
                f"{machine.name}: no tile of {stage.name} fits {sm.shared_per_block} bytes of "
                f"shared memory and "
                f"{sm.max_registers_per_thread} registers a thread"
            )
        tile = min(fitting, key=_ranking(stage, view, machine))
        extents = dict(stage.bounds)
        sizes = _sizes(stage, view, tile)
        within = {**extents, **sizes}
        per_thread = {
            **split_group(view.m, within, tile.tm),
            **split_group(view.n, within, tile.tn),
        }
        names = tuple(tensor.name for tensor in stage.tensors)
        inputs = tuple(tensor.name for tensor in stage.inputs)
        taps = _taps(stage, view)
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *points(view.b, "block"),
            *tiles(sizes, view.m, "block"),
            *tiles(sizes, view.n, "block"),
            *tiles(sizes, view.k),
            Hold(machine.only("scratchpad", "sm"), inputs, multicast=False),
            *tiles(per_thread, (*view.m, *view.n), GROUP if tensor_cores else THREAD),
            *points((*view.k, *taps)),
            Hold(machine.only("registers"), names, multicast=False),
            *points((*view.m, *view.n)),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


def _taps(stage: Stage, view: GemmView) -> tuple[str, ...]:
    """Dims outside the view: a direct convolution's taps."""
    viewed = (*view.m, *view.n, *view.k, *view.b)
    return tuple(dim for dim, _ in stage.bounds if dim not in viewed)


def _laid(stage: Stage, view: GemmView, tile: BlockTile) -> Iterator[BlockTile]:
    """A tile, and with whole rows where these are other blocks."""
    rows = replace(tile, whole_rows=True)
    yield tile
    if _sizes(stage, view, rows) != _sizes(stage, view, tile):
        yield rows


def _sizes(stage: Stage, view: GemmView, tile: BlockTile) -> dict[str, int]:
    extents = dict(stage.bounds)
    of_rows = whole_rows if tile.whole_rows else split_group
    slices = (*(dim for dim in view.k if dim != "c"), *(dim for dim in view.k if dim == "c"))
    return {
        **of_rows(view.m, extents, tile.bm),
        **split_group(view.n, extents, tile.bn),
        **split_group(slices, extents, tile.bk),
    }


def _slice(stage: Stage, view: GemmView, tile: BlockTile) -> dict[str, int]:
    """Iterations of a step; dims outside the view (a direct convolution's taps) whole."""
    whole = {dim: bound for dim, bound in stage.bounds if dim not in view.b}
    return {**whole, **_sizes(stage, view, tile)}


def _shared_bytes(stage: Stage, view: GemmView, tile: BlockTile) -> int:
    """Of a slice of both inputs."""
    sizes = _slice(stage, view, tile)
    return sum(tile_bytes(tensor, sizes) for tensor in stage.inputs)


def _bytes_of_lines(stage: Stage, view: GemmView, tile: BlockTile, line: int) -> float:
    """Bytes of the lines that a slice of both inputs comes in."""
    sizes = _slice(stage, view, tile)
    return sum(
        tile_bytes(tensor, sizes) * in_whole_lines(stage, tensor, sizes, line)
        for tensor in stage.inputs
    )


def _registers(
    stage: Stage, view: GemmView, tile: BlockTile, sm: StreamingMultiprocessor, tensor_cores: bool
) -> int:
    """Registers of a thread: its sums, its operands, and what a kernel needs beside.

    Sums are in 4 bytes or more; operands are a column and a row.
    """
    sizes, width = _sizes(stage, view, tile), stage.output.width
    m, n = min(tile.tm, _product(sizes, view.m)), min(tile.tn, _product(sizes, view.n))
    holders = sm.tensor_threads if tensor_cores else 1
    in_use = m * n * max(4, width) + (m + n) * width
    return sm.working_registers + ceil(in_use / (4 * holders))


def _ranking(
    stage: Stage, view: GemmView, machine: Machine
) -> Callable[[BlockTile], tuple[float, int]]:
    """What tiles are compared by: (cycles, minus the tile's size)."""
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor)
    if sm.on_tensor_cores(stage):
        rates = _Rates.of(machine, sm, stage)
        return lambda tile: _work(stage, view, tile, sm, rates)
    code = HandWritten.on(machine, stage.dtype or machine.dtype)
    register_file = machine.memories[machine.only("registers")].capacity
    shared = machine.memories[machine.only("scratchpad", "sm")].capacity
    l2 = machine.part(machine.only("cache"), Cache)
    dram = machine.part(machine.dram_name, Dram)
    l2_bandwidth, dram_bandwidth = (
        memory.bandwidth.bytes_per_cycle(machine.clock_hz) for memory in (l2, dram)
    )

    def cycles(tile: BlockTile) -> tuple[float, int]:
        threads = _threads(stage, view, tile)
        registers = _registers(stage, view, tile, sm, False)
        slices = _shared_bytes(stage, view, tile)
        held = min(sm.blocks_held(threads, registers, slices, register_file, shared).values())
        if held < 1:
            return inf, 0
        waves = _in_waves(stage, view, tile, code, threads, held)
        asked = _of_l2(stage, view, tile, l2)
        moved = asked if _overflows(stage, view, tile, l2, held * sm.sms) else 0
        ports = max(asked / l2_bandwidth, moved / dram_bandwidth)
        return max(waves, ports), -tile.bm * tile.bn

    return cycles


def _of_l2(stage: Stage, view: GemmView, tile: BlockTile, l2: Cache) -> float:
    """Bytes of the lines that all blocks ask the L2 for."""
    sizes = _sizes(stage, view, tile)
    steps = ceil(stage.group(view.k) / _product(sizes, view.k))
    return _blocks(stage, view, sizes) * steps * _bytes_of_lines(stage, view, tile, l2.line)


def _overflows(stage: Stage, view: GemmView, tile: BlockTile, l2: Cache, at_a_time: int) -> bool:
    """Are the lines of one step of all blocks in flight more than the L2 holds?

    Then a line is gone before a neighbour reads the rest of it.
    """
    blocks = min(at_a_time, _blocks(stage, view, _sizes(stage, view, tile)))
    in_flight = blocks * _bytes_of_lines(stage, view, tile, l2.line)
    return min(in_flight, sum(tensor.bytes for tensor in stage.inputs)) > l2.capacity


def _in_waves(
    stage: Stage, view: GemmView, tile: BlockTile, code: HandWritten, threads: int, held: int
) -> float:
    """Cycles of all blocks, so many at a time on an SM."""
    sizes = _sizes(stage, view, tile)
    m, n, k = (_product(sizes, dims) for dims in (view.m, view.n, view.k))
    deep = k * stage.group(_taps(stage, view))
    step = code.step(
        copied=_shared_bytes(stage, view, tile) / stage.output.width,
        read=threads * (min(m, tile.tm) + min(n, tile.tn)) * deep,
        products=m * n * deep,
        threads=threads,
        deep=deep,
    )
    steps = ceil(stage.group(view.k) / k)
    full, rest = divmod(_blocks(stage, view, sizes), held * code.sm.sms)
    whole = full * max(held * step.work, step.alone)
    last = max(ceil(rest / code.sm.sms) * step.work, step.alone) if rest else 0.0
    return steps * (whole + last)


def _threads(stage: Stage, view: GemmView, tile: BlockTile) -> int:
    """Threads of a block, or groups of them."""
    sizes = _sizes(stage, view, tile)
    m, n = (_product(sizes, dims) for dims in (view.m, view.n))
    return ceil(m / min(m, tile.tm)) * ceil(n / min(n, tile.tn))


def _blocks(stage: Stage, view: GemmView, sizes: dict[str, int]) -> int:
    extents = dict(stage.bounds)
    dims = (*view.m, *view.n)
    return stage.group(view.b) * prod(ceil(extents[dim] / sizes[dim]) for dim in dims)


@dataclass(frozen=True)
class _Rates:
    """A cycle: an SM's multiply-accumulates and shared memory's bytes, the L2's bytes in lines."""

    macs: float
    shared: float
    l2: float
    line: int

    @classmethod
    def of(cls, machine: Machine, sm: StreamingMultiprocessor, stage: Stage) -> _Rates:
        macs = sm.macs_per_cycle_per_sm(stage.dtype or machine.dtype)
        shared = machine.part(machine.only("scratchpad", "sm"), Scratchpad)
        l2 = machine.part(machine.only("cache"), Cache)
        return cls(
            macs,
            shared.bandwidth.bytes_per_cycle(machine.clock_hz),
            l2.bandwidth.bytes_per_cycle(machine.clock_hz),
            l2.line,
        )


def _work(
    stage: Stage, view: GemmView, tile: BlockTile, sm: StreamingMultiprocessor, rates: _Rates
) -> tuple[float, int]:
    """(cycles of a step of k in all waves, minus the tile's size).

    The cycles are of the slowest of arithmetic, shared memory and L2.
    """
    sizes, width = _sizes(stage, view, tile), stage.output.width
    m, n, k = (_product(sizes, dims) for dims in (view.m, view.n, view.k))
    holders = _threads(stage, view, tile)
    fetched = _bytes_of_lines(stage, view, tile, rates.line) / k
    read = holders * (min(m, tile.tm) + min(n, tile.tn)) * width
    blocks = _blocks(stage, view, sizes)
    at_a_time = min(blocks, sm.sms)
    step = max(m * n / rates.macs, read / rates.shared, at_a_time * fetched / rates.l2)
    return ceil(blocks / sm.sms) * step, -tile.bm * tile.bn


def _product(sizes: dict[str, int], dims: tuple[str, ...]) -> int:
    return prod(sizes[dim] for dim in dims)


DATAFLOWS.register("shared-tiled")(_flow := SharedTiled())
_checked: Dataflow = _flow
