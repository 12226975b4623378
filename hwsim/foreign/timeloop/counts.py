"""Timeloop's way of counting a nest, beside which the exact count (hwsim.count.closed_form) stands.

It differs from the exact count on purpose: it exists to read Timeloop 3.0.3's numbers
(reference/timeloop.json).

- Counts are per instance, of the instance at position 0.
- A tile that moves by the same step as last time, or after a whole refetch, fetches only its new
  part; any other move fetches the whole tile, a real overlap included.
- Outputs: updates = accumulations arriving; reads and fills are updates and entries less one first
  visit per word. Reading sums to send them outwards is not counted.
- Only neighbours with the very same tile share a read.
- Cycles: the largest over levels of traffic / bandwidth, at least the temporal steps; a ragged
  chunk takes as long as a whole one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod

import numpy as np
import numpy.typing as npt

from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.tensor import Axis, Tensor
from hwsim.ir.transform import temporal_steps

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """What Timeloop says of one tensor at one level: words, per instance."""

    tile_size: int
    instances: int
    reads: int
    updates: int
    fills: int

    @property
    def accesses(self) -> int:
        return self.reads + self.updates + self.fills


def count(nest: Nest) -> dict[tuple[str, str], Level]:
    """Levels by (level, tensor), in Timeloop's convention."""
    found: dict[tuple[str, str], Level] = {}
    for tensor in nest.stage.tensors:
        chain = nest.chain(tensor.name)
        entries = [_entries(nest, tensor, hold) for hold in chain[:-1]]
        for number, hold in enumerate(chain[:-1]):
            assert hold is not None
            inner = chain[number + 1]
            asked = _asked(
                nest, tensor, hold, inner, None if inner is None else entries[number + 1]
            )
            kept = _partition(nest, tensor, hold)
            outermost = number == 0
            if tensor.role == "output":
                level = Level(
                    _tile(nest, tensor, hold),
                    _instances(nest, hold),
                    asked - kept,
                    asked,
                    0 if outermost else entries[number] - kept,
                )
            else:
                level = Level(
                    _tile(nest, tensor, hold),
                    _instances(nest, hold),
                    asked,
                    0,
                    0 if outermost else entries[number],
                )
            found[hold.level, tensor.name] = level
    return found


def compute_cycles(nest: Nest) -> int:
    """Temporal steps, every chunk charged as if it were whole."""
    return prod(nest.bound(loop) for loop in nest.loops if loop.spatial is None)


def cycles(nest: Nest, bandwidths: Mapping[str, tuple[float | None, float | None]]) -> int:
    """The bandwidth roofline.

    bandwidths: (words read, words written) a cycle and instance of each level, None unlimited.
    """
    steps = compute_cycles(nest)
    longest = steps
    levels = count(nest)
    for name, (read, write) in bandwidths.items():
        own = [level for (level_name, _), level in levels.items() if level_name == name]
        reads, writes = (
            sum(level.reads for level in own),
            sum(level.updates + level.fills for level in own),
        )
        slowdown = min(
            [
                1.0,
                *(
                    rate * steps / words
                    for rate, words in ((read, reads), (write, writes))
                    if rate and words
                ),
            ]
        )
        longest = max(longest, ceil(round(steps / slowdown, 6)))
    return longest


def _instances(nest: Nest, hold: Hold | None) -> int:
    return nest.instances(nest.loops_above(hold))


def _tile(nest: Nest, tensor: Tensor, hold: Hold) -> int:
    """Words of the largest tile."""
    inside = dict(nest.stage.bounds)
    for loop in nest.loops_above(hold):
        inside[loop.dim] = min(inside[loop.dim], loop.tile)
    return prod(_reach(axis, inside) for axis in tensor.axes)


def _reach(axis: Axis, lengths: Mapping[str, int]) -> int:
    """Coordinates from the first to the last that chunks of these lengths touch, gaps included."""
    return axis.extent + sum(coefficient * (lengths[dim] - 1) for dim, coefficient in axis.terms)


def _partition(nest: Nest, tensor: Tensor, hold: Hold) -> int:
    """Words that one instance sees in the whole run."""
    share = dict(nest.stage.bounds)
    for loop in nest.loops_above(hold):
        if loop.spatial is not None:
            share[loop.dim] = -(-share[loop.dim] // nest.bound(loop))
    return prod(_reach(axis, share) for axis in tensor.axes)


def _entries(nest: Nest, tensor: Tensor, hold: Hold | None) -> int:
    """Words that come into the first instance, under the rule of equal steps."""
    low, length = _walk(nest, hold)
    starts = np.stack(
        [
            np.asarray(sum(coefficient * low[dim] for dim, coefficient in axis.terms), np.int64)
            + np.zeros_like(next(iter(low.values())))
            for axis in tensor.axes
        ]
    )
    sizes = np.stack(
        [
            np.asarray(
                axis.extent
                + sum(coefficient * (length[dim] - 1) for dim, coefficient in axis.terms),
                np.int64,
            )
            + np.zeros_like(starts[0])
            for axis in tensor.axes
        ]
    )
    if starts.shape[1] == 1:
        return int(sizes.prod(axis=0)[0])
    moved = np.flatnonzero(
        (np.diff(starts, axis=1) != 0).any(axis=0) | (np.diff(sizes, axis=1) != 0).any(axis=0)
    )
    step = starts[:, moved + 1] - starts[:, moved]
    ends = starts + sizes
    shared = np.maximum(
        np.minimum(ends[:, moved + 1], ends[:, moved])
        - np.maximum(starts[:, moved + 1], starts[:, moved]),
        0,
    )
    whole = sizes[:, moved + 1].prod(axis=0)
    first = int(sizes[:, 0].prod())
    return first + int((whole - np.where(_credited(step), shared.prod(axis=0), 0)).sum())


def _credited(step: Ints) -> npt.NDArray[np.bool_]:
    """Moves that keep their overlap: like the one before, or right after a whole refetch.

    A change of step refetches and forgets; so in a run of changes every second one is kept.
    """
    number = np.arange(step.shape[1])
    changed = np.zeros(step.shape[1], np.bool_)
    changed[1:] = (step[:, 1:] != step[:, :-1]).any(axis=0)
    last_same = np.maximum.accumulate(np.where(changed, -1, number))
    return np.asarray((number - last_same) % 2 == 0)


def _walk(nest: Nest, hold: Hold | None) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Start and length of every dim's chunk at each temporal step outside a level.

    They are those at position 0 of the spatial loops.
    """
    low = {dim: np.zeros(1, np.int64) for dim, _ in nest.stage.bounds}
    length = {dim: np.full(1, bound, np.int64) for dim, bound in nest.stage.bounds}
    for loop in nest.loops_above(hold):
        if loop.spatial is None:
            chunks = -(-length[loop.dim] // loop.tile)
            rows = np.repeat(np.arange(len(chunks)), chunks)
            index = np.arange(len(rows)) - (np.cumsum(chunks) - chunks)[rows]
            for dim in low:
                low[dim], length[dim] = low[dim][rows], length[dim][rows]
            low[loop.dim] = low[loop.dim] + index * loop.tile
            length[loop.dim] = np.minimum(length[loop.dim] - index * loop.tile, loop.tile)
        else:
            length[loop.dim] = np.minimum(length[loop.dim], loop.tile)
    return low, length


def _asked(nest: Nest, tensor: Tensor, hold: Hold, inner: Hold | None, entries: int | None) -> int:
    """Words that one instance serves (or takes in), read once for neighbours with the same tile."""
    between = [
        loop
        for loop in nest.loops_above(inner)[len(nest.loops_above(hold)) :]
        if loop.spatial is not None
    ]
    distinct = _distinct(nest, tensor, between)
    return (_first_steps(nest) if entries is None else entries) * distinct


def _first_steps(nest: Nest) -> int:
    """Iterations that the instance at position 0 does.

    Its ragged chunks count at their real size, its neighbours' as its own.
    """
    return prod(
        temporal_steps(
            bound,
            tuple((loop.tile, loop.spatial is not None) for loop in nest.loops if loop.dim == dim),
        )
        for dim, bound in nest.stage.bounds
    )


def _distinct(nest: Nest, tensor: Tensor, loops: list[Loop]) -> int:
    """Different tiles of a tensor over the positions of spatial loops."""
    starts = [np.zeros(1, np.int64) for _ in tensor.axes]
    for loop in loops:
        places = np.arange(nest.bound(loop), dtype=np.int64) * loop.tile
        for number, axis in enumerate(tensor.axes):
            weight = dict(axis.terms).get(loop.dim, 0)
            starts[number] = (starts[number][:, None] + weight * places[None, :]).ravel()
    table = np.stack(starts) if starts else np.zeros((1, 1), np.int64)
    return int(np.unique(table, axis=1).shape[1])
