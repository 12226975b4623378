"""The steps of a nest outside its registers: who takes them, how many, and how long they are.

for c (cores):           a unit each, with its chunk of every dim
  for i, tile 4:         a trip for every 4 of the unit's chunk
    for j, tile 8:       a step: a tile of 4 x 8
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwsim.ir.nest import Loop, Nest
from hwsim.timing.caches.look_ups import Ints

LONGEST_STRETCH = 1024  # steps that are recorded together at most


def units_of(nest: Nest, spatial: list[Loop]) -> Ints:
    """[unit, dim, 2]: the chunk of every dim that each unit walks.

    Units without work are left out.
    """
    dims = [dim for dim, _ in nest.stage.bounds]
    chunks = np.array([[(0, bound) for _, bound in nest.stage.bounds]], np.int64)
    for loop in spatial:
        ways, dim = nest.bound(loop), dims.index(loop.dim)
        chunks = np.repeat(chunks, ways, axis=0)
        start = chunks[:, dim, 0] + np.tile(np.arange(ways), len(chunks) // ways) * loop.tile
        chunks[:, dim, 1] = np.minimum(chunks[:, dim, 1], start + loop.tile)
        chunks[:, dim, 0] = start
    return np.ascontiguousarray(chunks[(chunks[:, :, 1] > chunks[:, :, 0]).all(axis=1)])


def cut_long(temporal: list[Loop]) -> list[Loop]:
    """The same steps in order, the innermost loop in pieces of at most LONGEST_STRETCH steps."""
    return (
        [*temporal[:-1], Loop(temporal[-1].dim, temporal[-1].tile * LONGEST_STRETCH), temporal[-1]]
        if temporal
        else []
    )


def trips_of(nest: Nest, temporal: list[Loop], units: Ints) -> list[int]:
    """The most steps that each loop takes in one pass."""
    longest = (units[:, :, 1] - units[:, :, 0]).max(axis=0)
    left = {dim: int(longest[number]) for number, (dim, _) in enumerate(nest.stage.bounds)}
    trips = []
    for loop in temporal:
        trips.append(-(-left[loop.dim] // loop.tile))
        left[loop.dim] = min(left[loop.dim], loop.tile)
    return trips


def entries_of(trips: list[int]) -> int:
    """How often a loop begins, at most."""
    begun, entries = 1, 0
    for trip in trips:
        if trip > 1:
            entries += begun
            begun *= trip
    return entries


def chunk_sizes(nest: Nest, temporal: list[Loop], units: Ints) -> dict[str, int]:
    """The longest tile of every dim at the boundary."""
    longest = (units[:, :, 1] - units[:, :, 0]).max(axis=0)
    sizes = {dim: int(longest[number]) for number, (dim, _) in enumerate(nest.stage.bounds)}
    for loop in temporal:
        sizes[loop.dim] = min(sizes[loop.dim], loop.tile)
    return sizes


def unit_steps(nest: Nest, temporal: list[Loop], units: Ints) -> Ints:
    """Steps of every unit: the product over dims of the chunks its loops make."""
    return _over_chunks(nest, temporal, units, {dim: _one for dim, _ in nest.stage.bounds})


def vector_iterations(
    nest: Nest, temporal: list[Loop], units: Ints, vector_dim: int, lanes: int
) -> Ints:
    """Executions of the statement by every unit, a vector of one dim at a time.

    A chunk's last vector may not be full.
    """
    worth = {
        dim: (lambda length: -(-length // lanes)) if number == vector_dim else _itself
        for number, (dim, _) in enumerate(nest.stage.bounds)
    }
    return _over_chunks(nest, temporal, units, worth)


def _one(length: int) -> int:
    return 1


def _itself(length: int) -> int:
    return length


def _over_chunks(
    nest: Nest, temporal: list[Loop], units: Ints, worth: dict[str, Callable[[int], int]]
) -> Ints:
    """For every unit the product over dims of the sum of worth(length).

    The sum is over the innermost chunks that its loops make.
    """

    def chunks(length: int, tiles: list[int], value: Callable[[int], int]) -> int:
        if not tiles:
            return value(length)
        whole, rest = divmod(length, tiles[0])
        return whole * chunks(tiles[0], tiles[1:], value) + (
            chunks(rest, tiles[1:], value) if rest else 0
        )

    totals = np.ones(len(units), np.int64)
    for number, (dim, _) in enumerate(nest.stage.bounds):
        tiles = [loop.tile for loop in temporal if loop.dim == dim]
        lengths, where = np.unique(units[:, number, 1] - units[:, number, 0], return_inverse=True)
        totals *= np.array(
            [chunks(int(length), tiles, worth[dim]) for length in lengths], np.int64
        )[where]
    return totals
