"""Iterations of a loop that only repeat each other, further on: counted, not looked up.

    state of the nearest levels before iteration t   = that before iteration t - p, shifted
    look-ups of iterations t, t + 1, ...             = those of t - p, t - p + 1, ..., shifted
    therefore what they ask of the levels below      = what was asked, shifted, again and again

A shift moves every line of a tensor by the same number of lines, by which its tile moves in p
iterations of the loop. p is such that these numbers are multiples of the sets of each level that is
compared, so that no line changes its set. Look-ups then meet shifted lines in the same sets and the
same order of use, and leave a shifted state: by induction all iterations up to the loop's last
whole one do. The levels that are compared are LRU and bring what they miss, whatever the levels
below do, so that they depend on nothing else. What those are asked is kept in order, and asked
again, shifted; they may do what they like. An iteration whose tile is not whole, or that reaches
over a tensor's edge, is walked.

Where iterations move tiles by a few bytes only, those that follow each other often touch the very
same lines: then p is 1 and nothing is shifted.

    for j:  for k:  c += A[i,k] * B[k,j]     16 words of every row of B share a line

All other strides of such a tensor are multiples of a grain, as lines are. An iteration's words lie
at the same place in all of the grains that it touches, so that they stay in their lines until they
leave that grain. It is so for all tensors that move, for this iteration and for the two before it,
whose last tile may be stored first.

Warping of cache simulations is Morelli and Reineke's (PLDI 2022), who compare whole hierarchies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hwsim.timing.caches.look_ups import (
    DEPTH,
    EVENTS,
    FIRST_EVENT,
    KINDS,
    OFFSET,
    OVERFLOWED,
    SETS,
    USED,
    WAYS,
    Ints,
    inline,
    jit,
    owner,
    window_of,
)
from hwsim.timing.caches.sets import ask, write_back
from hwsim.timing.caches.tables import AXES, EXTENT, SHIFT, SIZE, TERMS, WIDTH

# memory[loop]: is there a state to compare with? events before it, the loop's place, steps, work
# of three kinds, comparisons that failed in a row; iterations that were skipped in all
KNOWN, EVENTS_BEFORE, PLACE, STEPS, WORK, FAILED, SKIPPED = 0, 1, 2, 3, 4, 7, 8
COLUMNS = 9
MOST_FAILED = 16  # after which a loop is not compared any more


class Warps(NamedTuple):
    """Which loops are compared, and what is kept of each.

    on: is any? periods[loop]: p, 0 where it is not. shifts[loop, tensor]: lines of p iterations.
    grains[loop, tensor]: bytes of a grain, where iterations may touch the same lines, else 0.
    outside[loop, dim]: the innermost loop outside on a dim, -1 for none. tags[loop]: the state of
    the levels that are compared. counted[loop, window, level, tensor, kind]: what was counted so
    far.
    """

    on: bool
    periods: Ints
    shifts: Ints
    grains: Ints
    outside: Ints
    memory: Ints
    tags: Ints
    counted: Ints


def no_warps() -> Warps:
    """For walks that compare nothing."""
    none = np.zeros((1, 1), np.int64)
    rows = np.zeros((1, COLUMNS), np.int64)
    return Warps(False, none[0], none, none, none, rows, none, none[None, None, None])


def warps(
    periods: Ints,
    shifts: Ints,
    grains: Ints,
    outside: Ints,
    words: int,
    counts: tuple[int, ...],
) -> Warps:
    """Working memory; words: of the levels that are compared. counts: the shape of a walk's."""
    loops, _ = shifts.shape
    return Warps(
        True,
        periods,
        shifts,
        grains,
        outside,
        np.zeros((loops, COLUMNS), np.int64),
        np.zeros((loops, words), np.int64),
        np.zeros((loops, *counts), np.int64),
    )


@inline
def _moved(tag: int, starts: Any, shifts: Any, loop: int, times: int) -> int:
    """A line, with its dirty mark, so many periods of a loop later."""
    if tag < 0:
        return tag
    return tag + 2 * times * shifts[loop, owner(starts, tag >> 1)]


@jit
def _repeats(tags: Any, levels: Any, starts: Any, known: Any, loop: int) -> bool:
    """Is the state of the compared levels the one that is known, a period later?"""
    word = 0
    for level in range(levels[0, DEPTH]):
        begin = levels[level, OFFSET]
        for place in range(begin, begin + levels[level, SETS] * levels[level, WAYS]):
            if tags[place] != _moved(known.tags[loop, word], starts, known.shifts, loop, 1):
                return False
            word += 1
    return True


@jit
def _remember(
    tags: Any,
    levels: Any,
    known: Any,
    loop: int,
    place: int,
    step: int,
    work: Any,
    stats: Any,
) -> None:
    """Keep the state of the compared levels, and all counts, for the iteration that begins."""
    events, word, alone = levels[0, EVENTS], 0, True
    for other in range(loop):
        alone = alone and not known.memory[other, KNOWN]
    if alone:
        tags[events + USED] = 0
    row = known.memory[loop]
    row[KNOWN], row[EVENTS_BEFORE], row[PLACE] = 1, tags[events + USED], place
    row[STEPS] = step
    for kind in range(3):
        row[WORK + kind] = work[kind]
    for window in range(stats.shape[0]):
        for level in range(stats.shape[1]):
            for tensor in range(stats.shape[2]):
                for kind in range(KINDS):
                    known.counted[loop, window, level, tensor, kind] = stats[
                        window, level, tensor, kind
                    ]
    for level in range(levels[0, DEPTH]):
        begin = levels[level, OFFSET]
        for old in range(begin, begin + levels[level, SETS] * levels[level, WAYS]):
            known.tags[loop, word] = tags[old]
            word += 1


@jit
def _inside(
    known: Any,
    loop: int,
    dim: int,
    tile: int,
    tensors: Any,
    axes: Any,
    unit: Any,
    lo: Any,
    hi: Any,
    most: int,
) -> int:
    """Iterations from the next on, up to `most`, that reach over no tensor's edge.

    -1 where those of the last period, or the one before, did.
    """
    period = known.periods[loop]
    for tensor in range(len(tensors)):
        for axis in range(max(0, tensors[tensor, AXES])):
            low, step = axes[tensor, axis, SHIFT], 0
            high = low + axes[tensor, axis, EXTENT]
            for term in range(TERMS, axes.shape[2], 2):
                own, coefficient = axes[tensor, axis, term], axes[tensor, axis, term + 1]
                if own < 0:
                    break
                if own == dim:
                    step = coefficient * tile
                    low += coefficient * lo[loop]
                    high += coefficient * (lo[loop] + tile - 1)
                else:
                    outer = known.outside[loop, own]
                    low += coefficient * (unit[own, 0] if outer < 0 else lo[outer])
                    high += coefficient * ((unit[own, 1] if outer < 0 else hi[outer]) - 1)
            if step > 0:
                if low - (period + 1) * step < 0:
                    return -1
                most = min(most, 1 + (axes[tensor, axis, SIZE] - high) // step)
                if known.grains[loop, tensor]:
                    most = min(most, _in_a_grain(known, loop, tensor, tensors, low, high, step))
    return most


@inline
def _in_a_grain(
    known: Any, loop: int, tensor: int, tensors: Any, low: int, high: int, step: int
) -> int:
    """Iterations from the next on whose words stay in their grains.

    They reach from coordinate low up to high along the contiguous axis, and move by step. -1 where
    those of the last two did not stay there.
    """
    grain, width = known.grains[loop, tensor], tensors[tensor, WIDTH]
    first = (low * width) % grain
    if first < 2 * step * width:
        return -1
    return int(1 + (grain - first - (high - low) * width) // (step * width))


@jit
def warp(
    tags: Any,
    levels: Any,
    starts: Any,
    known: Any,
    loop: int,
    dim: int,
    tile: int,
    end: int,
    tensors: Any,
    axes: Any,
    unit: Any,
    lo: Any,
    hi: Any,
    step: int,
    steps: Any,
    work: Any,
    stats: Any,
    window: int,
    groups: Any,
    slot: int,
) -> int:
    """An iteration of `loop` begins: skip it and those after it that repeat. Returns how many.

    Counts and states are brought forward. end: where the loop's range ends.
    """
    row, period = known.memory[loop], known.periods[loop]
    for inner in range(loop + 1, len(known.periods)):
        known.memory[inner, KNOWN] = 0
    if period == 0 or row[FAILED] >= MOST_FAILED:
        return 0
    events = levels[0, EVENTS]
    if tags[events + OVERFLOWED]:
        _forget_longest(tags, known, events)
        return 0
    if row[KNOWN] and lo[loop] - row[PLACE] < period * tile:
        return 0
    left = (end - lo[loop]) // tile
    if row[KNOWN] and left >= period and lo[loop] - row[PLACE] == period * tile:
        possible = _inside(known, loop, dim, tile, tensors, axes, unit, lo, hi, left)
        if possible >= period and _repeats(tags, levels, starts, known, loop):
            times = possible // period
            _bring_forward(
                tags,
                levels,
                starts,
                known,
                loop,
                times,
                step,
                steps,
                work,
                stats,
                window,
                groups,
                slot,
            )
            row[KNOWN] = row[FAILED] = 0
            row[SKIPPED] += times * period
            return int(times * period)
        row[FAILED] += 1
    if left > period:
        _remember(tags, levels, known, loop, lo[loop], step, work, stats)
    else:
        row[KNOWN] = 0
    return 0


@inline
def _forget_longest(tags: Any, known: Any, events: int) -> None:
    """More was missed than there is room for: the outermost loop that waits is given up."""
    given_up = False
    for loop in range(len(known.periods)):
        if known.memory[loop, KNOWN] and not given_up:
            known.periods[loop] = 0
            given_up = True
        known.memory[loop, KNOWN] = 0
    tags[events + USED] = tags[events + OVERFLOWED] = 0


@jit
def _bring_forward(
    tags: Any,
    levels: Any,
    starts: Any,
    known: Any,
    loop: int,
    times: int,
    step: int,
    steps: Any,
    work: Any,
    stats: Any,
    window: int,
    groups: Any,
    slot: int,
) -> None:
    """Counts and states as they are so many periods later."""
    row, events = known.memory[loop], levels[0, EVENTS]
    steps[window] += times * (step - row[STEPS])
    for kind in range(3):
        work[kind] += times * (work[kind] - row[WORK + kind])
    _count_again(levels, known, loop, times, stats)
    first, last = row[EVENTS_BEFORE], np.int64(tags[events + USED])
    for later in range(1, times + 1):
        for event in range(first, last):
            place = events + FIRST_EVENT + 2 * event
            asked = _moved(np.int64(tags[place]), starts, known.shifts, loop, later)
            line, tensor = asked >> 1, np.int64(tags[place + 1])
            own = window_of(groups, line, window)
            if asked & 1:
                write_back(tags, levels, starts, levels[0, DEPTH], slot, line, stats, own)
            else:
                ask(tags, levels, starts, levels[0, DEPTH], slot, line, tensor, stats, own)
    for level in range(levels[0, DEPTH]):
        begin = levels[level, OFFSET]
        for place in range(begin, begin + levels[level, SETS] * levels[level, WAYS]):
            tags[place] = _moved(np.int64(tags[place]), starts, known.shifts, loop, times)


@inline
def _count_again(levels: Any, known: Any, loop: int, times: int, stats: Any) -> None:
    """What the compared levels counted in a period, so many times more; DRAM too below them all."""
    depth = levels[0, DEPTH]
    for window in range(stats.shape[0]):
        for level in range(depth + 1 if depth == len(levels) else depth):
            for tensor in range(stats.shape[2]):
                for kind in range(KINDS):
                    since = stats[window, level, tensor, kind]
                    since -= known.counted[loop, window, level, tensor, kind]
                    stats[window, level, tensor, kind] += times * since
