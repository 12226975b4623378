"""The tile of sums of a product that has fewer filters than a vector register has sums.

for k:  sums[vectors][filters] += a[vectors] * w[filters]      vectors along the pixels of a row, or
                                                               along groups that lie side by side
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from math import prod

from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.tensor import Tensor
from hwsim.ir.transform import split_group
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
    filters = split_group(view.n, extents, max(1, core.vector_registers - 2))
    whole = {**dict.fromkeys((*view.b, *view.m), 1), **filters}
    beside = [dim for dim in view.b if all(_together(tensor, dim) for tensor in stage.tensors)]
    for along in (_longest_row(stage, view.m), *beside):
        row = _longest_row(stage, [dim for dim in view.m if dim != along])
        most_rows = min(extents[row], core.vector_registers) if row else 1
        for vectors in range(1, -(-extents[along] // lanes) + 1):
            wide = {**whole, along: min(extents[along], vectors * lanes)}
            tiles = [{**wide, row: rows} if row else wide for rows in range(1, most_rows + 1)]
            fitting = list(takewhile(partial(_fits, view, core, lanes, along), tiles))
            if vectors > 1 and not fitting:
                break
            yield from ((along, tile) for tile in fitting or tiles[:1])


def _longest_row(stage: Stage, dims: Sequence[str]) -> str:
    """The innermost dim of more than one iteration, or the innermost; empty without dims."""
    longer = [dim for dim in dims if stage.extents[dim] > 1]
    return (longer or ["", *dims])[-1]


def _fits(view: GemmView, core: Core, lanes: int, along: str, tile: Mapping[str, int]) -> bool:
    """Do the sums of a tile, its activations and its filters fit the vector registers?"""
    filters = prod(tile[dim] for dim in view.n)
    activations = -(-tile[along] // lanes) * prod(tile[dim] for dim in view.m if dim != along)
    words = filters if along in view.m else filters * tile[along]
    return activations * (filters + 1) + -(-words // lanes) <= core.vector_registers


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
