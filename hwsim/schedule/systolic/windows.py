"""Words that come with the tiles of a tensor whose windows overlap, or reach into padding.

for r: for s:                 3 x 3 taps outside of a tile: its words come nine times
  [tile of p x q places]
for p in bands:               3 x 3 taps inside: a band has two rows of the one before, which
  [tile of p + 2 rows]        stay where bands follow each other
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

from hwsim.describe.machine import Role
from hwsim.ir.tensor import Axis
from hwsim.parts.systolic import SystolicArray
from hwsim.schedule.systolic.problem import Box, Group, Problem

Floats = npt.NDArray[np.float64]
MOST_TILES = 1 << 16  # of an axis, that are looked at one by one


def words_coming(problem: Problem, role: Role, whole: float, most: int) -> tuple[Floats, Floats]:
    """Words of all tiles of a tensor, and the share of them that have any.

    Both [which, size, size], by the sizes of its two groups; which: of these the one that moves it
    innermost, so that what two neighbours share stays. whole: words of the tensor.
    """
    tensor, extents = problem.tensor(role), dict(problem.stage.bounds)
    one, two = (problem.groups[number] for number in problem.moves(tensor))
    found, filled = np.full((2, most, most), whole), np.ones((2, most, most))
    for axis in tensor.axes:
        if not _is_window(axis, extents):
            continue
        wholes = tuple(extents[dim] for dim in axis.dims)
        alone, _ = _axis_words(axis, wholes, wholes, "")
        own = np.ix_((0, 1), range(len(one.sizes)), range(len(two.sizes)))
        words, shares = _of_sizes(axis, wholes, one, two)
        found[own] *= words / alone if alone else 0.0
        filled[own] *= shares
    return found, filled


def words_fed(problem: Problem, role: Role, whole: float) -> float:
    """Words of a tensor that pass into the array when all its folds have run once.

    A systolic array takes a word for every place where it is used; PEs keep what neighbours share.
    """
    tensor, extents = problem.tensor(role), dict(problem.stage.bounds)
    if role == "output" or not isinstance(problem.machine.compute, SystolicArray):
        return whole
    for axis in tensor.axes:
        if _is_window(axis, extents):
            wholes = tuple(extents[dim] for dim in axis.dims)
            once, _ = _axis_words(axis, wholes, wholes, "")
            each, _ = _axis_words(axis, wholes, (1,) * len(wholes), "")
            whole *= each / once if once else 0.0
    return whole


def _is_window(axis: Axis, extents: Box) -> bool:
    """May tiles along an axis overlap, or reach into padding?"""
    running = [dim for dim in axis.dims if extents[dim] > 1]
    return len(running) > 1 or axis.offset < 0 or axis.extent > 1


def _of_sizes(axis: Axis, wholes: tuple[int, ...], one: Group, two: Group) -> tuple[Floats, Floats]:
    """`_axis_words` for all sizes of both groups, [which, size, size]; those alike once."""
    found = np.ones((2, 2, len(one.sizes), len(two.sizes)))
    for which in range(2):
        rows, row_of = _alike(axis, one, which == 0)
        columns, column_of = _alike(axis, two, which == 1)
        table = np.empty((2, len(rows), len(columns)))
        for row, (first, kept) in enumerate(rows):
            for column, (second, other) in enumerate(columns):
                sizes = zip(first, second, wholes, strict=True)
                tile = tuple(mine or theirs or whole for mine, theirs, whole in sizes)
                table[:, row, column] = _axis_words(axis, wholes, tile, kept or other)
        found[:, which] = table[:, row_of][:, :, column_of]
    return found[0], found[1]


def _alike(
    axis: Axis, group: Group, innermost: bool
) -> tuple[list[tuple[tuple[int, ...], str]], list[int]]:
    """The different sizes of a group along an axis, and which of them each of its sizes is.

    Each (tile of the axis' dims, 0 for those of others; the dim along which tiles share words, ''
    where another group's loop is the innermost).
    """
    keys = []
    for size in group.sizes:
        kept = _innermost(group, size) if innermost else ""
        tile = tuple(size.get(dim, 0) for dim in axis.dims)
        keys.append((tile, kept if kept in axis.dims else ""))
    different = list(dict.fromkeys(keys))
    return different, [different.index(key) for key in keys]


def _innermost(group: Group, tile: Box) -> str:
    """The innermost dim of a group that is cut, '' for none."""
    cut = (dim for dim in reversed(group.dims) if tile[dim] < group.whole[dim])
    return next(cut, "")


@lru_cache(maxsize=1 << 16)
def _axis_words(
    axis: Axis, wholes: tuple[int, ...], tile: tuple[int, ...], kept: str
) -> tuple[float, float]:
    """Coordinates of all tiles along an axis, less those that neighbours along `kept` share.

    And the share of the tiles that have any. wholes, tile: of the axis' dims. Of very many tiles
    all count as whole ones, without padding.
    """
    tiles = prod(-(-whole // size) for whole, size in zip(wholes, tile, strict=True))
    if tiles > MOST_TILES:
        return _of_whole_tiles(axis, wholes, tile, kept, tiles), 1.0
    low = np.full((1,) * len(tile), float(axis.offset))
    high, cover = low + axis.span, np.full_like(low, axis.extent)
    for place, ((_, coefficient), size) in enumerate(zip(axis.terms, tile, strict=True)):
        starts = np.arange(0, wholes[place], size)
        ends = np.minimum(starts + size, wholes[place])
        shape = [1] * len(tile)
        shape[place] = -1
        low = low + (coefficient * starts).reshape(shape)
        high = high + (coefficient * (ends - 1)).reshape(shape)
        cover = cover * (ends - starts).reshape(shape)
    gapless = (high - low <= cover).all()
    low, high = np.maximum(low, 0), np.minimum(high, axis.size)
    words = np.minimum(np.maximum(high - low, 0), cover)
    if kept in axis.dims and gapless:
        along = axis.dims.index(kept)
        low, high = np.moveaxis(low, along, 0), np.moveaxis(high, along, 0)
        shared = np.minimum(high[1:], high[:-1]) - np.maximum(low[1:], low[:-1])
        np.moveaxis(words, along, 0)[1:] -= np.maximum(shared, 0)
    return float(words.sum()), float((words > 0).mean())


def _of_whole_tiles(
    axis: Axis, wholes: tuple[int, ...], tile: tuple[int, ...], kept: str, tiles: int
) -> float:
    """Coordinates of so many tiles, none of which meets an edge."""
    sizes = dict(zip(axis.dims, tile, strict=True))
    reach = axis.span + sum(steps * (sizes[dim] - 1) for dim, steps in axis.terms)
    words = min(reach, axis.extent * prod(tile))
    if kept not in sizes or words < reach:
        return float(words * tiles)
    shared = max(0, reach - dict(axis.terms)[kept] * sizes[kept])
    along = -(-wholes[axis.dims.index(kept)] // sizes[kept])
    return float(words * tiles - shared * (along - 1) * (tiles // along))
