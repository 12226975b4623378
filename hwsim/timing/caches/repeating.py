"""Which of a nest's loops may repeat themselves in the nearest caches, and how soon.

See hwsim.timing.caches.warping for why iterations of such a loop need not all be looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, lcm, prod

import numpy as np

from hwsim.ir.nest import Loop, Nest
from hwsim.timing.caches.look_ups import (
    DEPTH,
    EVENTS,
    FIRST_EVENT,
    LAST_MISS,
    LINES_BESIDE,
    PLAIN,
    POLICY,
    ROOM,
    SETS,
    WAYS,
    Ints,
)
from hwsim.timing.caches.sets import Caches
from hwsim.timing.caches.tables import (
    AXES,
    BASE,
    BLOCK,
    BLOCK_STRIDE,
    FAST,
    SIZE,
    STRIDE,
    TERMS,
    WIDTH,
)
from hwsim.timing.caches.warping import Warps, no_warps, warps

FEWEST_STEPS = 2048  # of an iteration, for a comparison to cost little beside it
FEWEST_IN_A_GRAIN = 6  # iterations, of which two are walked and two are compared
WORDS_A_STEP = 2  # of the compared levels' state, for each of its steps
MOST_EVENTS = 1 << 21


def compared_levels(state: Caches, tensor_bytes: int) -> int:
    """How many levels, from the first on, are compared; 0 where some may depend on those below.

    Plain levels depend on what is above them alone. A level repeats itself once it is full, so that
    one that holds half of all tensors is not compared, nor those below it.
    """
    levels = state.levels
    if not levels[:, PLAIN].all() or levels[0, LINES_BESIDE] or state.crowds.shape[1] > LAST_MISS:
        return 0
    line, depth = 1 << state.line_shift, 0
    for level in levels:
        small = 2 * int(level[SETS] * level[WAYS]) * line <= tensor_bytes
        if level[POLICY] or not (small or depth == 0):
            break
        depth += 1
    return depth


def repeating(
    nest: Nest,
    loops: tuple[Sequence[Loop], Sequence[int], int],
    tables: tuple[Ints, Ints],
    owners: Sequence[int],
    state: Caches,
    units: int,
    counts: tuple[int, ...],
) -> tuple[Warps, int]:
    """The loops that are worth comparing, with their periods and shifts, and how many levels are.

    loops: all, with the steps of each, and how many of them are outside recorded stretches. tables:
    the walk's tensors and axes. owners[tensor]: the number by which its lines are known. units:
    that run at a time; the turns that several take are not compared. counts: the shape of the
    walk's.
    """
    depth = compared_levels(state, sum(tensor.bytes for tensor in nest.stage.tensors))
    if units > 1 or depth == 0:
        return no_warps(), 0
    temporal, trips, first = loops
    dims = [dim for dim, _ in nest.stage.bounds]
    compared = state.levels[:depth]
    line = 1 << state.line_shift
    whole = lcm(*(line * int(sets) for sets in compared[:, SETS]))
    words = int((compared[:, SETS] * compared[:, WAYS]).sum())
    periods = np.zeros(max(first, 1), np.int64)
    shifts = np.zeros((max(first, 1), len(tables[0])), np.int64)
    grains = np.zeros((max(first, 1), len(tables[0])), np.int64)
    outside = np.full((max(first, 1), len(dims)), -1, np.int64)
    for number, loop in enumerate(temporal[:first]):
        for outer in range(number):
            outside[number, dims.index(temporal[outer].dim)] = outer
        if prod(trips[number + 1 :]) < max(FEWEST_STEPS, words // WORDS_A_STEP):
            continue
        moved = _bytes_moved(dims.index(loop.dim), loop.tile, tables, owners)
        if moved is None:
            continue
        period = lcm(*(whole // gcd(bytes_, whole) for bytes_ in moved.values()))
        same = _grains(dims.index(loop.dim), loop.tile, tables, line)
        if same is not None:
            periods[number], grains[number] = 1, same
        elif trips[number] > 2 * period:
            periods[number] = period
            for owner, bytes_ in moved.items():
                shifts[number, owner] = period * bytes_ // line
    if not periods.any():
        return no_warps(), 0
    return warps(periods, shifts, grains, outside, words, counts), depth


def _grains(dim: int, tile: int, tables: tuple[Ints, Ints], line: int) -> Ints | None:
    """The grain of every tensor that an iteration moves by a few bytes along its contiguous axis.

    None where some tensor moves otherwise, or leaves its grain within FEWEST_IN_A_GRAIN iterations.
    """
    tensors, axes = tables
    grains = np.zeros(len(tensors), np.int64)
    for number, tensor in enumerate(tensors):
        if not tensor[WIDTH]:
            continue
        for place, axis in enumerate(axes[number, : tensor[AXES]]):
            terms = axis[TERMS:].reshape(-1, 2)
            words = tile * int(terms[terms[:, 0] == dim, 1].sum())
            if words and (words < 0 or place != tensor[FAST]):
                return None
            if words:
                grain = _grain(tensor, axes[number], line)
                if FEWEST_IN_A_GRAIN * words * int(tensor[WIDTH]) > grain:
                    return None
                grains[number] = grain
    return grains


def _grain(tensor: Ints, axes: Ints, line: int) -> int:
    """What divides a line, and the way from any word to those beside it on all other axes."""
    strides = [
        int(axis[STRIDE])
        for place, axis in enumerate(axes[: tensor[AXES]])
        if place != tensor[FAST] and axis[SIZE] > 1
    ]
    fast = axes[tensor[FAST]]
    if tensor[BLOCK] < fast[SIZE]:
        strides += [int(tensor[BLOCK] * tensor[WIDTH]), int(tensor[BLOCK_STRIDE])]
    return gcd(line, int(tensor[BASE]), *strides)


def _bytes_moved(
    dim: int, tile: int, tables: tuple[Ints, Ints], owners: Sequence[int]
) -> dict[int, int] | None:
    """How far an iteration moves the tile of every tensor; None where that is not always as far."""
    tensors, axes = tables
    moved: dict[int, int] = {}
    for number, tensor in enumerate(tensors):
        if not tensor[WIDTH]:
            continue
        total = 0
        for place, axis in enumerate(axes[number]):
            terms = axis[TERMS:].reshape(-1, 2)
            words = tile * int(terms[terms[:, 0] == dim, 1].sum())
            if place != tensor[FAST]:
                total += words * max(0, int(axis[STRIDE]))
            elif tensor[BLOCK] >= axis[SIZE]:
                total += words * int(tensor[WIDTH])
            elif words % tensor[BLOCK] == 0:
                total += words // int(tensor[BLOCK]) * int(tensor[BLOCK_STRIDE])
            else:
                return None
        if moved.setdefault(owners[number], total) != total:
            return None
    return moved


def with_events(state: Caches, depth: int) -> Caches:
    """The caches with room behind them for what the levels from `depth` on are asked."""
    end = len(state.tags)
    room = np.zeros(FIRST_EVENT + 2 * MOST_EVENTS, state.tags.dtype)
    room[ROOM] = MOST_EVENTS
    levels = state.levels.copy()
    levels[0, EVENTS], levels[0, DEPTH] = end, depth
    return state._replace(tags=np.concatenate([state.tags, room]), levels=levels)
