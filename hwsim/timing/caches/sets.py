"""Implicit memories: set-associative caches, line by line.

Compiled with Numba. Plain caches are write-back, write-allocate, LRU or by another policy, neither
inclusive nor exclusive: a line evicted dirty is written to the next level. Lines may be fetched on
a write miss or not. What else a cache may do is in hwsim.timing.caches.hierarchy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.timing.caches.hierarchy import leave, load, missed, store
from hwsim.timing.caches.look_ups import (
    BY_DISTANCE,
    COPIES,
    DEPTH,
    EVENTS,
    FAR,
    FETCH,
    FIRST_EVENT,
    FOUND,
    IS_POWER,
    LAST_MISS,
    LINES_BESIDE,
    MISSES,
    OFFSET,
    OVERFLOWED,
    PLAIN,
    READS,
    REPEATS,
    ROOM,
    SETS,
    SHARING,
    USED,
    WAYS,
    WORDS,
    WRITEBACKS,
    WRITES,
    Ints,
    inline,
    jit,
    look_up_in,
    owner,
    window_of,
)
from hwsim.timing.caches.miss_kinds import HELD, asked


class Caches(NamedTuple):
    """The state of all caches, and where tensors lie.

    tags: all levels' contents, line * 2 + dirty or EMPTY, the lines of a set in order of use,
    youngest first, where the policy is LRU; then the policy's words.

    starts: each tensor's first line. line_shift: log2 of the bytes of a line. crowds: how soon sets
    of the first level miss again. groups[line % 64]: 0 where a line's set is not walked, else the
    window beyond a walk's own in which it is counted; empty where all sets are walked
    (hwsim.timing.caches.set_samples).
    """

    tags: npt.NDArray[np.int32]
    levels: Ints
    starts: Ints
    line_shift: int
    crowds: Ints
    groups: Ints


@inline
def _keep_event(tags: Any, events: int, asked: int, tensor: int) -> None:
    """Add to what the levels below are asked, see hwsim.timing.caches.warping."""
    used = tags[events + USED]
    if used == tags[events + ROOM]:
        tags[events + OVERFLOWED] = 1
        return
    place = events + FIRST_EVENT + 2 * used
    tags[place], tags[place + 1] = asked, tensor
    tags[events + USED] = used + 1


@jit
def write_back(
    tags: Any, levels: Any, starts: Any, level: int, slot: int, line: int, stats: Any, window: int
) -> None:
    """A dirty line leaves the level above: it lands in `level`, or in DRAM below the last."""
    last, dirty = len(levels), np.int64(1)
    while level < last:
        if levels[0, EVENTS] and level == levels[0, DEPTH]:
            _keep_event(tags, levels[0, EVENTS], line << 1 | 1, np.int64(0))
        stats[window, level, owner(starts, line), WRITES] += 1
        victim = look_up_in(levels, level, slot, tags, line, dirty)
        if victim < 0 or victim & 1 == 0:
            return
        line = victim >> 1
        stats[window, level, owner(starts, line), WRITEBACKS] += 1
        level += 1
    stats[window, last, owner(starts, line), WRITES] += 1


@inline
def _note_crowd(levels: Any, crowds: Any, slot: int, line: int, fills: int) -> None:
    """A miss of the first level: how many misses ago its set missed before."""
    sets = levels[0, SETS]
    copy = np.uintp(slot >> levels[0, SHARING])
    own = np.uintp(LAST_MISS + (line & (sets - 1) if levels[0, IS_POWER] else line % sets))
    number = crowds[copy, np.uintp(0)] + 1
    distance = np.uintp(BY_DISTANCE + min(number - crowds[copy, own], FAR))
    crowds[copy, distance] += fills
    crowds[copy, own] = crowds[copy, np.uintp(0)] = number


@inline
def touch(
    tags: Any,
    levels: Any,
    starts: Any,
    crowds: Any,
    line_shift: int,
    slot: int,
    line: int,
    write: int,
    tensor: int,
    stats: Any,
    window: int,
) -> None:
    """One load or store of a line.

    It is found in the nearest level that has it, and then in all before it. The caller counts it as
    a read or write of the first level.
    """
    if levels[0, PLAIN] or levels[0, REPEATS]:
        kind = HELD
        if levels[0, LINES_BESIDE]:
            kind = asked(tags, levels, np.int64(0), slot, line)
        victim = look_up_in(levels, np.int64(0), slot, tags, line, write)
        if victim != FOUND:
            _first_missed(
                tags,
                levels,
                starts,
                crowds,
                line_shift,
                slot,
                line,
                write,
                tensor,
                stats,
                window,
                victim,
                kind,
            )
    else:
        _touch_otherwise(
            tags, levels, starts, crowds, line_shift, slot, line, write, tensor, stats, window
        )


@jit
def _first_missed(
    tags: Any,
    levels: Any,
    starts: Any,
    crowds: Any,
    line_shift: int,
    slot: int,
    line: int,
    write: int,
    tensor: int,
    stats: Any,
    window: int,
    victim: int,
    kind: int,
) -> None:
    """The first level missed, of this kind, and `victim` left it."""
    if crowds.shape[1] > LAST_MISS:
        _note_crowd(levels, crowds, slot, line, 1 + (1 if victim >= 0 and victim & 1 else 0))
    if levels[0, PLAIN] and not levels[0, LINES_BESIDE]:
        _missed(tags, levels, starts, slot, line, write, tensor, stats, window, victim)
    else:
        missed(
            tags, levels, starts, slot, line, write, victim, kind, tensor, stats, window, line_shift
        )


@jit
def _touch_otherwise(
    tags: Any,
    levels: Any,
    starts: Any,
    crowds: Any,
    line_shift: int,
    slot: int,
    line: int,
    write: int,
    tensor: int,
    stats: Any,
    window: int,
) -> None:
    """A load or store where even a hit may do more than put its line first."""
    first = np.int64(0)
    if write:
        found = store(tags, levels, starts, slot, first, line, tensor, stats, window, line_shift)
    else:
        found = load(tags, levels, starts, slot, first, line, tensor, stats, window, line_shift)
    if found > 0 and crowds.shape[1] > LAST_MISS:
        _note_crowd(levels, crowds, slot, line, 1)


@inline
def _missed(
    tags: Any,
    levels: Any,
    starts: Any,
    slot: int,
    line: int,
    write: int,
    tensor: int,
    stats: Any,
    window: int,
    victim: int,
) -> None:
    """The first level missed, and `victim` left it: write back what is dirty, and look further."""
    first = np.int64(0)
    stats[window, first, tensor, MISSES] += 1
    if victim >= 0 and victim & 1:
        stats[window, first, owner(starts, victim >> 1), WRITEBACKS] += 1
        write_back(tags, levels, starts, first + 1, slot, victim >> 1, stats, window)
    if write and not levels[first, FETCH]:
        return
    ask(tags, levels, starts, first + 1, slot, line, tensor, stats, window)


@jit
def ask(
    tags: Any,
    levels: Any,
    starts: Any,
    level: int,
    slot: int,
    line: int,
    tensor: int,
    stats: Any,
    window: int,
) -> None:
    """Look for a line that is loaded from `level` on down to DRAM."""
    last, clean = len(levels), np.int64(0)
    while level < last:
        if levels[0, EVENTS] and level == levels[0, DEPTH]:
            _keep_event(tags, levels[0, EVENTS], line << 1, tensor)
        stats[window, level, tensor, READS] += 1
        victim = look_up_in(levels, level, slot, tags, line, clean)
        if victim == FOUND:
            return
        stats[window, level, tensor, MISSES] += 1
        if victim >= 0 and victim & 1:
            stats[window, level, owner(starts, victim >> 1), WRITEBACKS] += 1
            write_back(tags, levels, starts, level + 1, slot, victim >> 1, stats, window)
        level += 1
    stats[window, last, tensor, READS] += 1


@jit
def fill(caches: Any, first: int, last: int, stats: Any) -> None:
    """Load the lines from first on, up to last, for the first core."""
    zero = np.int64(0)
    tags, levels, starts, line_shift, crowds, groups = caches
    for line in range(first, last):
        window = window_of(groups, line, zero)
        if window >= 0:
            touch(tags, levels, starts, crowds, line_shift, zero, line, zero, zero, stats, window)


@jit
def flush(caches: Any, stats: Any) -> None:
    """Hand every dirty line down, first level first, until DRAM has them all.

    Copies of a line that several cores wrote to meet in the cache that these share. stats [1 and
    groups, level, tensor, kind].
    """
    zero = np.int64(0)
    tags, levels, starts, _, _, groups = caches
    for level in range(len(levels)):
        sets, ways, words = levels[level, SETS], levels[level, WAYS], levels[level, WORDS]
        for number in range(levels[level, COPIES] * sets):
            slot = number // sets << levels[level, SHARING]
            begin = levels[level, OFFSET] + number * words
            place = begin
            while place < begin + ways:
                dirty = np.int64(tags[place])
                place += 1
                if dirty >= 0 and dirty & 1:
                    tags[place - 1] &= ~1
                    window = window_of(groups, dirty >> 1, zero)
                    leave(tags, levels, starts, slot, np.int64(level), dirty, stats, window)
                    place = begin  # an inclusive level below may have taken lines out of this set
