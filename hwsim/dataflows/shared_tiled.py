"""Shared-memory tiled product for GPUs: a block computes a tile of the output, a slice of k at a time.

    par m-tile, n-tile:              blocks, no two share anything but the L2
      for k-slice:                   copied to shared memory by all threads together
        par threads:                 a square of sums in each one's registers
          for k: sums += a * w

Loads that leave the SM: M N K (1/BN + 1/BM) words for tiles of BM x BN, as an H200 counts them
(reference/h200_tiled_gemm.json).
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.dataflows import DATAFLOWS, Dataflow, Placement, tile_bytes
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.transform import drop_idle, points, split_group, tiles
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.spec.machine import Machine


@dataclass(frozen=True)
class BlockTile:
    """A block's BM x BN outputs, BK of the reduction at a time, TM x TN outputs a thread."""

    bm: int
    bn: int
    bk: int
    tm: int
    tn: int

    @property
    def threads(self) -> int:
        return self.bm // self.tm * (self.bn // self.tn)


TILES = (BlockTile(256, 128, 8, 16, 8), BlockTile(128, 128, 8, 8, 8), BlockTile(128, 64, 8, 8, 4), BlockTile(64, 64, 16, 4, 4),
         BlockTile(64, 32, 16, 4, 2), BlockTile(32, 64, 16, 2, 4), BlockTile(32, 32, 16, 2, 2), BlockTile(16, 64, 16, 2, 2),
         BlockTile(8, 128, 16, 1, 4), BlockTile(1, 256, 16, 1, 1))


class SharedTiled:
    """The tile is the one of TILES whose waves of blocks finish first, the largest among equals."""

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
        fitting = [tile for tile in TILES if _shared_bytes(stage, view, tile) <= sm.shared_per_block]
        if not fitting:
            raise HwsimError(f"{machine.name}: no tile of {stage.name} fits {sm.shared_per_block} bytes of shared memory")
        tile = min(fitting, key=lambda tile: _work(stage, view, tile, sm))
        extents = dict(stage.bounds)
        sizes = _sizes(stage, view, tile)
        within = {**extents, **sizes}
        per_thread = {**split_group(view.m, within, tile.tm), **split_group(view.n, within, tile.tn)}
        names = tuple(tensor.name for tensor in stage.tensors)
        inputs = tuple(tensor.name for tensor in stage.inputs)
        taps = tuple(dim for dim, _ in stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b))
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *points(view.b, "block"),
            *tiles(sizes, view.m, "block"),
            *tiles(sizes, view.n, "block"),
            *tiles(sizes, view.k),
            Hold("shared", inputs, multicast=False),
            *tiles(per_thread, (*view.m, *view.n), "thread"),
            *points((*view.k, *taps)),
            Hold("registers", names, multicast=False),
            *points((*view.m, *view.n)),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


def _sizes(stage: Stage, view: GemmView, tile: BlockTile) -> dict[str, int]:
    extents = dict(stage.bounds)
    slices = (*(dim for dim in view.k if dim != "c"), *(dim for dim in view.k if dim == "c"))
    return {**split_group(view.m, extents, tile.bm), **split_group(view.n, extents, tile.bn),
            **split_group(slices, extents, tile.bk)}


def _shared_bytes(stage: Stage, view: GemmView, tile: BlockTile) -> int:
    """A slice of both inputs; dims outside the view (a direct convolution's taps) whole."""
    whole = {dim: bound for dim, bound in stage.bounds if dim not in view.b}
    sizes = {**whole, **_sizes(stage, view, tile)}
    return sum(tile_bytes(tensor, sizes) for tensor in stage.inputs)


def _work(stage: Stage, view: GemmView, tile: BlockTile, sm: StreamingMultiprocessor) -> tuple[int, int]:
    """(time of all waves in multiply-accumulates of one SM, minus the tile's size)."""
    extents, sizes = dict(stage.bounds), _sizes(stage, view, tile)
    blocks = stage.group(view.b)
    for dim in (*view.m, *view.n):
        blocks *= -(-extents[dim] // sizes[dim])
    per_sm = -(-blocks // sm.sms)
    return per_sm * max(tile.bm * tile.bn, 128 * 8), -tile.bm * tile.bn


DATAFLOWS.register("shared-tiled")(_flow := SharedTiled())
_checked: Dataflow = _flow
