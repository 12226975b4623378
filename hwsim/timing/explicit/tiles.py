"""Explicit memories, step by step: which tiles come and go at every step of a nest's outer loops.

This walks the steps in time, as the DMA engine would, where hwsim.count.closed_form sums them in
closed form; the two agree to the word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

from hwsim.errors import TooLarge
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.tensor import Axis, Tensor

Ints = npt.NDArray[np.int64]
MOST_CODES = 1 << 60  # of rows as one number
MOST_WALKS_KEPT, MOST_STEPS_KEPT = 40, 50_000
LARGEST_TABLE = 50_000_000  # places, of eight bytes each
MOST_PARTS = 1_000_000  # that the steps of a stage are divided into
MOST_STEPS = 2_500_000  # about 1 GiB of bounds, tiles and events


@dataclass(frozen=True)
class Tiles:
    """The tiles of one tensor in one level, one after another.

    A tile is there between steps first[i] and last[i] inclusive.

    entering: words new in the tile. returning: those of them that carry an earlier partial sum
    (outputs). leaving: words of the tile that the next one lacks.
    """

    tensor: str
    level: str
    buffers: int
    first: Ints
    last: Ints
    entering: Ints
    returning: Ints
    leaving: Ints


_walked: dict[tuple[Nest, int], tuple[Steps, list[Tiles]]] = {}


@dataclass(frozen=True)
class Steps:
    """All steps of the loops outside the boundary: the chunk [lo, hi) of every dim at each."""

    lo: dict[str, Ints]
    hi: dict[str, Ints]

    @property
    def count(self) -> int:
        return len(next(iter(self.lo.values())))

    def lengths(self, dims: tuple[str, ...]) -> Ints:
        """Iterations of some dims together, at each step."""
        return np.asarray(
            prod((self.hi[dim] - self.lo[dim] for dim in dims), start=np.ones(self.count, np.int64))
        )


def walk_steps(nest: Nest, boundary: int) -> tuple[Steps, list[Tiles]]:
    """Every step outside item number `boundary`, and the tiles of every level there.

    Loops are the temporal ones only.

    What was walked lately is kept, as machines that differ in their DRAM share schedules. Raises
    TooLarge for more steps than there is memory for.
    """
    key = (nest, boundary)
    walked = _walked.pop(key, None) or _walk(nest, boundary)
    if walked[0].count <= MOST_STEPS_KEPT:
        _walked[key] = walked
        if len(_walked) > MOST_WALKS_KEPT:
            _walked.pop(next(iter(_walked)), None)
    return walked


def _walk(nest: Nest, boundary: int) -> tuple[Steps, list[Tiles]]:
    number = _steps_outside(nest, boundary)
    if number > MOST_STEPS:
        raise TooLarge(
            f"{nest.stage.name} ({nest.dataflow}): {number:.2g} steps of tiles; at most "
            f"{MOST_STEPS:.2g} are walked, "
            "so expected a smaller layer, or larger tiles (a larger array, larger memories)"
        )
    lo = {dim: np.zeros(1, np.int64) for dim, _ in nest.stage.bounds}
    hi = {dim: np.full(1, bound, np.int64) for dim, bound in nest.stage.bounds}
    origin: list[Ints] = []
    held: list[tuple[Hold, Steps]] = []
    for item in nest.items[:boundary]:
        if isinstance(item, Hold):
            held.append((item, Steps(dict(lo), dict(hi))))
            origin.append(np.arange(len(lo[nest.stage.bounds[0][0]])))
            continue
        rows = _advance(item, lo, hi)
        origin = [start[rows] for start in origin]
    steps = Steps(lo, hi)
    tiles = [
        _in_parts(_tiles(nest.stage.tensor(name), hold, then, start), hold, nest, steps)
        for (hold, then), start in zip(held[1:], origin[1:], strict=True)
        for name in hold.tensors
        if len(nest.chain(name)) > 1 and nest.chain(name)[0] != hold
    ]
    return steps, tiles


def _advance(loop: Loop, lo: dict[str, Ints], hi: dict[str, Ints]) -> Ints:
    """Unroll one loop in place; returns, for each new step, the step it was part of."""
    chunks = -(-(hi[loop.dim] - lo[loop.dim]) // loop.tile)
    rows = np.repeat(np.arange(len(chunks)), chunks)
    index = np.arange(len(rows)) - (np.cumsum(chunks) - chunks)[rows]
    for dim in lo:
        lo[dim], hi[dim] = lo[dim][rows], hi[dim][rows]
    lo[loop.dim] = lo[loop.dim] + index * loop.tile
    hi[loop.dim] = np.minimum(hi[loop.dim], lo[loop.dim] + loop.tile)
    return rows


def _tiles(tensor: Tensor, hold: Hold, steps: Steps, origin: Ints) -> Tiles:
    sizes, shared = _words(tensor, steps)
    if hold.halo == "refetch" and tensor.role != "output":
        shared = np.where((shared == sizes[1:]) & (shared == sizes[:-1]), shared, 0)
    entering = sizes - np.concatenate([[0], shared])
    leaving = sizes - np.concatenate([shared, [0]])
    begins = np.flatnonzero((entering > 0) | (np.arange(len(sizes)) == 0))
    ends = np.append(begins[1:] - 1, len(sizes) - 1)
    first = np.searchsorted(origin, begins, "left")
    last = np.searchsorted(origin, ends, "right") - 1
    again = (
        _revisited(tensor, steps)[begins]
        if tensor.role == "output"
        else np.zeros(len(begins), np.bool_)
    )
    gone = np.add.reduceat(leaving, begins)
    return Tiles(
        tensor.name,
        hold.level,
        hold.buffers,
        first,
        last,
        entering[begins],
        np.where(again, entering[begins], 0),
        gone,
    )


def _in_parts(tiles: Tiles, hold: Hold, nest: Nest, steps: Steps) -> Tiles:
    """Tiles of a level that are used as they arrive: one tile a part.

    A part is there from the step that first touches it to the last of the whole tile's.

    [tile 0, steps 0 to 5]    ->    [part, steps 0 to 5] [part, 2 to 5] [part, 4 to 5]
    """
    tensor = nest.stage.tensor(tiles.tensor)
    if not hold.parts or tensor.role == "output" or (tiles.first == tiles.last).all():
        return tiles
    of_step = np.searchsorted(tiles.first, np.arange(steps.count), "right") - 1
    touched = _first_touches(tensor, steps, of_step)
    tile = of_step[touched]
    part = touched // -(-steps.count // MOST_PARTS)  # all tensors' alike, as they share a port
    begins = np.flatnonzero(np.append(True, (np.diff(tile) != 0) | (np.diff(part) != 0)))
    whose = tile[begins]
    there = {dim: (steps.lo[dim][touched], steps.hi[dim][touched]) for dim in steps.lo}
    words = words_at(
        tensor,
        Steps({dim: at[0] for dim, at in there.items()}, {dim: at[1] for dim, at in there.items()}),
    )
    upto = np.cumsum(words)
    before = (upto - words)[np.searchsorted(tile, whose)]
    share = upto[np.append(begins[1:], len(tile)) - 1] - before
    whole = share[np.searchsorted(whose, whose, "right") - 1]
    arrived = np.where(whole > 0, share * tiles.entering[whose] // np.maximum(whole, 1), 0)
    last = np.append(np.diff(whose) != 0, True)
    entering = np.diff(np.append(0, arrived)) + np.append(0, np.where(last, arrived, 0)[:-1])
    return replace(
        tiles,
        buffers=tiles.buffers * int(np.bincount(whose).max()),
        first=touched[begins],
        last=tiles.last[whose],
        entering=entering,
        returning=np.zeros_like(entering),
        leaving=np.where(last, tiles.leaving[whose], 0),
    )


def _first_touches(tensor: Tensor, steps: Steps, tile: Ints) -> Ints:
    """The steps at which some part of their tile is touched for the first time."""
    place = tile.astype(np.int64)
    for dim in tensor.dims:
        low = steps.lo[dim]
        chunk = max(1, int(np.gcd.reduce(low)))
        place = place * (int(low.max()) // chunk + 1) + low // chunk
    most = int(place.max())
    if most >= LARGEST_TABLE:
        return np.sort(np.unique(place, return_index=True)[1])
    first = np.full(most + 1, -1, np.int64)
    first[place[::-1]] = np.arange(len(place) - 1, -1, -1)
    return np.sort(first[first >= 0])


def _revisited(tensor: Tensor, steps: Steps) -> npt.NDArray[np.bool_]:
    """Steps at which some dim that the output does not move along is past its beginning."""
    flags = np.zeros(steps.count, np.bool_)
    for dim, low in steps.lo.items():
        if dim not in tensor.dims:
            flags |= low > 0
    return flags


def _steps_outside(nest: Nest, boundary: int) -> int:
    left, number = dict(nest.stage.bounds), 1
    for item in nest.items[:boundary]:
        if isinstance(item, Loop):
            number *= -(-left[item.dim] // item.tile)
            left[item.dim] = min(left[item.dim], item.tile)
    return number


def words_at(tensor: Tensor, steps: Steps) -> Ints:
    """Distinct words of a tensor that every step touches."""
    return _words(tensor, steps)[0]


def _words(tensor: Tensor, steps: Steps) -> tuple[Ints, Ints]:
    """(words of the tile at each step, words it shares with the next step's)."""
    sizes, shared = np.ones(steps.count, np.int64), np.ones(max(steps.count - 1, 0), np.int64)
    for axis in tensor.axes:
        own, common = _axis_words(axis, steps)
        sizes, shared = sizes * own, shared * common
    return sizes, shared


def _axis_words(axis: Axis, steps: Steps) -> tuple[Ints, Ints]:
    chunks = [(steps.lo[dim], steps.hi[dim]) for dim in axis.dims]
    low = np.full(steps.count, axis.offset, np.int64)
    high = low + axis.span
    for (_, coefficient), (start, end) in zip(axis.terms, chunks, strict=True):
        low, high = low + coefficient * start, high + coefficient * (end - 1)
    if _gapless(axis, chunks):
        low, high = np.maximum(low, 0), np.minimum(high, axis.size)
        return np.maximum(high - low, 0), np.maximum(
            np.minimum(high[1:], high[:-1]) - np.maximum(low[1:], low[:-1]), 0
        )
    first, row_of = _distinct(chunks)
    rows = [
        tuple((int(start[step]), int(end[step])) for start, end in chunks)
        for step in first.tolist()
    ]
    own = np.array([len(_coordinates(axis, row)) for row in rows], np.int64)
    pairs = row_of[:-1] * len(rows) + row_of[1:]
    known, pair_of = np.unique(pairs, return_inverse=True)
    before, after = np.divmod(known, len(rows))
    common = [_common(axis, rows[a], rows[b]) for a, b in zip(before, after, strict=True)]
    return own[row_of], np.array(common, np.int64)[pair_of]


def _distinct(chunks: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """(a step of each distinct row of chunks, the number of every step's row)."""
    code, codes = np.zeros(len(chunks[0][0]), np.int64), 1
    for bound in (bound for chunk in chunks for bound in chunk):
        sizes = int(bound.max()) + 1
        if codes * sizes > MOST_CODES:
            known, code = np.unique(code, return_inverse=True)
            codes = len(known)
        code, codes = code * sizes + bound, codes * sizes
    _, first, row_of = np.unique(code, return_index=True, return_inverse=True)
    return first, row_of


def _gapless(axis: Axis, chunks: list[tuple[Ints, Ints]]) -> bool:
    """True when every chunk touches a run of coordinates.

    Each step is then no longer than the run it repeats.
    """
    repeats = [
        (coefficient, end - start)
        for (_, coefficient), (start, end) in zip(axis.terms, chunks, strict=True)
    ]
    repeats.append((axis.step, np.array([axis.extent], np.int64)))
    run = 1
    for coefficient, lengths in sorted(repeats, key=lambda repeat: repeat[0]):
        if coefficient > run and bool((lengths > 1).any()):
            return False
        run += coefficient * (int(lengths.min()) - 1)
    return True


@lru_cache(maxsize=1 << 16)
def _coordinates(axis: Axis, row: tuple[tuple[int, int], ...]) -> frozenset[int]:
    found = {axis.offset + step for step in range(0, axis.span, axis.step)}
    for (_, coefficient), (start, end) in zip(axis.terms, row, strict=True):
        found = {base + coefficient * value for base in found for value in range(start, end)}
    return frozenset(x for x in found if 0 <= x < axis.size)


@lru_cache(maxsize=1 << 16)
def _common(
    axis: Axis, row: tuple[tuple[int, int], ...], after: tuple[tuple[int, int], ...]
) -> int:
    return len(_coordinates(axis, row) & _coordinates(axis, after))
