"""The tile of sums of a product that has fewer filters than a vector register has sums.

for k:  sums[vectors][filters] += a[vectors] * w[filters]      vectors along the pixels of a row, or
                                                               along groups that lie side by side
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.core import Core

Tile = dict[str, int]


@dataclass(frozen=True)
class NarrowTile:
    """Iterations by dim, and for a value of k the cycles that it takes and the loads."""

    sizes: Tile
    cycles: float
    loads: int


def narrow_tiles(stage: Stage, view: GemmView, core: Core, lanes: int) -> list[NarrowTile]:
    """Tiles that the registers hold, of those that together take least first.

    Among equals those that load least. lanes: sums of a vector register.
    """
    found = [_timed(stage, core, lanes, *found) for found in _tiles(stage, view, core, lanes)]

    def in_all(tile: NarrowTile) -> tuple[float, float]:
        tiles = prod(-(-stage.extents[dim] // size) for dim, size in tile.sizes.items())
        return tiles * tile.cycles, tiles * tile.loads

    return sorted(found, key=in_all)


def _tiles(stage: Stage, view: GemmView, core: Core, lanes: int) -> Iterator[tuple[str, Tile]]:
    """(the dim that vectors run along, iterations by dim) of all tiles that the registers hold."""
    extents = stage.extents
    ones = dict.fromkeys((*view.b, *view.m, *view.n), 1)
    filters = [dim for dim in view.n if extents[dim] > 1]
    inner = max(view.m, key=lambda dim: (extents[dim] > 1, view.m.index(dim)))
    beside = [dim for dim in view.b if all(_together(tensor, dim) for tensor in stage.tensors)]
    for along in (inner, *beside):
        others = [dim for dim in view.m if dim != along and extents[dim] > 1]
        rows = others[-1:]
        sizes = [range(1, min(extents[dim], core.vector_registers) + 1) for dim in rows]
        for wide in range(1, -(-extents[along] // lanes) + 1):
            for high in sizes[0] if sizes else (1,):
                tile = {
                    **ones,
                    **dict.fromkeys(rows, high),
                    along: min(extents[along], wide * lanes),
                    **{dim: extents[dim] for dim in filters},
                }
                vectors = wide * high
                needed = vectors * prod(tile[dim] for dim in view.n) + vectors
                if wide * high == 1 or needed + 1 <= core.vector_registers:
                    yield along, tile
                else:
                    break


def _together(tensor: Tensor, dim: str) -> bool:
    """Do neighbours along a dim lie side by side?"""
    return tensor.words_apart(dim) == 1


def _timed(stage: Stage, core: Core, lanes: int, along: str, tile: Tile) -> NarrowTile:
    """A tile with vectors along a dim: the slowest of multiply-adds, loads and instructions."""
    vectors = -(-tile[along] // lanes)
    loads = sums = 0
    for tensor in stage.tensors:
        moved = prod(tile[dim] for dim in tile if dim in tensor.dims and dim != along)
        each = 1
        if along in tensor.dims:
            each = vectors if _together(tensor, along) else tile[along]
        if tensor.role == "output":
            sums = vectors * moved
        else:
            loads += each * moved
    begun = (sums + loads) / core.issue if core.issue else 0.0
    cycles = max(sums / core.fma_ports, core.fma_latency, loads / core.loads, begun)
    return NarrowTile(tile, cycles, loads)
