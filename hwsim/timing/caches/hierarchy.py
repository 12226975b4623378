"""Caches that do more than write back what they allocate, compiled with Numba.

    write-through   a store passes on to the next level; lines are never dirty
    no allocation   a store that misses passes by
    inclusive       has every line of the levels above: what leaves it leaves them
    exclusive       has what left the level above, clean or dirty; a hit moves the line up again,
                    and what another core's caches above it have comes from there
    prefetcher      brings lines before they are asked for (hwsim.describe.prefetchers)

What arrives at a level is a load, a store or a line that left the level above:

    load(level):   found, or brought from below; what had to leave goes down
    store(level):  a load that makes the line dirty, or passes on, or both
    leave(level):  a line goes down, as far as somebody keeps it
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.describe.prefetchers import PAGE
from hwsim.timing.caches.look_ups import (
    ALLOCATE,
    COPIES,
    EMPTY,
    EXCLUSIVE,
    FETCH,
    FOUND,
    INCLUSION,
    INCLUSIVE,
    LINES_BESIDE,
    MISSES,
    NOTE_WORDS,
    NOTES,
    POLICY,
    PREFETCHER,
    PREFETCHES,
    READS,
    SHARING,
    THROUGH,
    WAYS,
    WRITEBACKS,
    WRITES,
    inline,
    jit,
    left_by,
    look_up_in,
    owner,
    part_of_a_kernel,
    place_of,
    set_of,
)
from hwsim.timing.caches.miss_kinds import HELD, asked, passed, taken
from hwsim.timing.caches.prefetching import compiled_for_all

UNKNOWN = -3  # in place of what left a level
_ahead = compiled_for_all(part_of_a_kernel)


@jit
def load(
    tags: Any,
    levels: Any,
    starts: Any,
    slot: int,
    level: int,
    line: int,
    tensor: int,
    stats: Any,
    window: int,
    line_shift: int,
) -> int:
    """A load of a line; returns the level that had it.

    The caller counts it as a read of `level`.
    """
    found = _bring(
        tags, levels, starts, slot, level, line, 0, 1, MISSES, tensor, stats, window, UNKNOWN, HELD
    )
    _prefetch(
        tags, levels, starts, slot, level, found, line, found, tensor, stats, window, line_shift
    )
    return int(found)


@jit
def missed(
    tags: Any,
    levels: Any,
    starts: Any,
    slot: int,
    line: int,
    write: int,
    victim: int,
    kind: int,
    tensor: int,
    stats: Any,
    window: int,
    line_shift: int,
) -> int:
    """What follows a load or store that the first level missed, where it allocates and has no
    prefetcher; `victim` left it, and the miss is of this kind. Returns the level that had the line.
    """
    level, fetch = np.int64(0), np.int64(levels[0, FETCH] if write else 1)
    found = _bring(
        tags,
        levels,
        starts,
        slot,
        level,
        line,
        write,
        fetch,
        MISSES,
        tensor,
        stats,
        window,
        victim,
        kind,
    )
    below, asked_last = np.int64(1), found if fetch else level
    _prefetch(
        tags,
        levels,
        starts,
        slot,
        below,
        asked_last,
        line,
        found,
        tensor,
        stats,
        window,
        line_shift,
    )
    return int(found)


@jit
def store(
    tags: Any,
    levels: Any,
    starts: Any,
    slot: int,
    level: int,
    line: int,
    tensor: int,
    stats: Any,
    window: int,
    line_shift: int,
) -> int:
    """A store to a line; returns the level that had it, the number of levels for DRAM.

    The caller counts it as a write of `level`.
    """
    last, first = len(levels), -1
    while level < last:
        through = levels[level, THROUGH]
        if levels[level, ALLOCATE] or place_of(tags, levels, slot, level, line) >= 0:
            dirty, fetch = 0 if through else 1, levels[level, FETCH]
            found = _bring(
                tags,
                levels,
                starts,
                slot,
                level,
                line,
                dirty,
                fetch,
                MISSES,
                tensor,
                stats,
                window,
                UNKNOWN,
                HELD,
            )
            asked = found if fetch else level
            _prefetch(
                tags,
                levels,
                starts,
                slot,
                level,
                asked,
                line,
                found,
                tensor,
                stats,
                window,
                line_shift,
            )
            first = found if first < 0 else first
            if not through:
                return int(first)
        else:
            kind = passed(tags, levels, level, slot, line) if levels[level, LINES_BESIDE] else HELD
            _count_miss(stats, window, level, tensor, kind)
        level += 1
        stats[window, level, tensor, WRITES] += 1
    return int(last if first < 0 else first)


@jit
def _bring(
    tags: Any,
    levels: Any,
    starts: Any,
    slot: int,
    level: int,
    line: int,
    dirty: int,
    fetch: int,
    counts: int,
    tensor: int,
    stats: Any,
    window: int,
    victim: int,
    kind: int,
) -> int:
    """Put a line into a level, and into all that are asked for it on the way down.

    counts: as what it counts that the level lacks it: MISSES, or PREFETCHES where nobody waits.
    fetch: is it loaded from below then? victim, kind: what left the first level for it, and the
    kind of the miss; UNKNOWN and HELD where it was not looked up yet. Returns the level that had
    it, or that was not asked for it.
    """
    last = len(levels)
    while True:
        if victim == UNKNOWN:
            if levels[level, LINES_BESIDE]:
                kind = asked(tags, levels, level, slot, line)
            victim = look_up_in(levels, level, slot, tags, line, dirty)
            if victim == FOUND:
                return level
        if counts == MISSES:
            _count_miss(stats, window, level, tensor, kind)
        else:
            stats[window, level, tensor, counts] += 1
        below = level + 1
        if fetch and below < last and levels[below, INCLUSION] == EXCLUSIVE:
            # the line makes room for the one that takes its place
            stats[window, below, tensor, READS] += 1
            kind = taken(tags, levels, below, slot, line) if levels[below, LINES_BESIDE] else HELD
            tag = take_out(tags, levels, slot, below, line)
            leave(tags, levels, starts, slot, level, victim, stats, window)
            if tag >= 0:
                if tag & 1:
                    tags[place_of(tags, levels, slot, level, line)] |= 1
                return below
            if _a_peer_has(tags, levels, slot, below, line):
                return below
            _count_miss(stats, window, below, tensor, kind)
            below += 1
        else:
            leave(tags, levels, starts, slot, level, victim, stats, window)
        if not fetch:
            return below
        stats[window, below, tensor, READS] += 1
        if below == last:
            return last
        level, dirty, counts, victim, kind = below, 0, MISSES, UNKNOWN, HELD


@jit
def leave(
    tags: Any, levels: Any, starts: Any, slot: int, level: int, victim: int, stats: Any, window: int
) -> None:
    """What left a level, line * 2 + dirty, goes down; nothing for EMPTY."""
    last = len(levels)
    while victim >= 0:
        line, dirty = victim >> 1, victim & 1
        tensor = owner(starts, line)
        if levels[level, INCLUSION] == INCLUSIVE:
            dirty |= _withdraw(tags, levels, starts, slot, level, line, stats, window)
        below = level + 1
        kept = below < last and levels[below, INCLUSION] == EXCLUSIVE
        if not dirty and not kept:
            return
        stats[window, level, tensor, WRITEBACKS] += 1
        stats[window, below, tensor, WRITES] += 1
        if below == last:
            return
        passes = not kept and not levels[below, ALLOCATE]
        level = below
        if passes and place_of(tags, levels, slot, below, line) < 0:
            victim = line << 1 | dirty
        else:
            if levels[below, LINES_BESIDE]:
                asked(tags, levels, below, slot, line)
            victim = look_up_in(levels, below, slot, tags, line, dirty)


@inline
def _count_miss(stats: Any, window: int, level: int, tensor: int, kind: int) -> None:
    """kind: COLD, CAPACITY, or HELD where it is a conflict, or kinds are not told apart."""
    stats[window, level, tensor, MISSES] += 1
    if kind != HELD:
        stats[window, level, tensor, kind] += 1


@jit
def _a_peer_has(tags: Any, levels: Any, slot: int, level: int, line: int) -> bool:
    """Does a cache of another core have a line, above the same exclusive one?

    That one knows, and the line comes from there. It stays there too.
    """
    group = slot >> levels[level, SHARING]
    for upper in range(level):
        for copy in range(levels[upper, COPIES]):
            other = copy << levels[upper, SHARING]
            if other >> levels[level, SHARING] != group or copy == slot >> levels[upper, SHARING]:
                continue
            if place_of(tags, levels, other, np.int64(upper), line) >= 0:
                return True
    return False


@jit
def _withdraw(
    tags: Any, levels: Any, starts: Any, slot: int, level: int, line: int, stats: Any, window: int
) -> int:
    """Take a line out of every cache above one that has to have it; was it dirty there?"""
    dirty, group = 0, slot >> levels[level, SHARING]
    for upper in range(level):
        for copy in range(levels[upper, COPIES]):
            other = copy << levels[upper, SHARING]
            if other >> levels[level, SHARING] == group:
                tag = take_out(tags, levels, other, np.int64(upper), line)
                if tag >= 0 and tag & 1:
                    stats[window, upper, owner(starts, line), WRITEBACKS] += 1
                    dirty = 1
    return dirty


@jit
def _prefetch(
    tags: Any,
    levels: Any,
    starts: Any,
    slot: int,
    level: int,
    asked: int,
    line: int,
    found: int,
    tensor: int,
    stats: Any,
    window: int,
    line_shift: int,
) -> None:
    """Every level that was asked, from `level` to `asked`, may bring another line.

    found: the level that had this one.
    """
    for at in range(level, min(asked + 1, len(levels))):
        prefetcher = levels[at, PREFETCHER]
        if prefetcher == 0:
            continue
        copy = slot >> levels[at, SHARING]
        first = levels[at, NOTES] + copy * levels[at, NOTE_WORDS]
        other = _ahead(prefetcher, tags, first, tensor, line, 1 if at < found else 0)
        lines = PAGE >> line_shift
        if other < 0 or other // lines != line // lines:
            continue
        if place_of(tags, levels, slot, at, other) < 0:
            _bring(
                tags,
                levels,
                starts,
                slot,
                at,
                other,
                0,
                1,
                PREFETCHES,
                tensor,
                stats,
                window,
                UNKNOWN,
                HELD,
            )


@jit
def take_out(tags: Any, levels: Any, slot: int, level: int, line: int) -> int:
    """Take a line out of its set of a level; its tag, EMPTY where it is not there."""
    place = place_of(tags, levels, slot, level, line)
    if place < 0:
        return EMPTY
    tag = int(tags[place])
    if levels[level, POLICY] == 0:  # places are in order of use: those behind it move up
        end = np.int64(set_of(levels, level, slot, line)) + levels[level, WAYS] - 1
        for other in range(place, end):
            tags[other] = tags[other + 1]
        place = end
    tags[place] = EMPTY
    first = np.int64(set_of(levels, level, slot, line))
    left_by(levels[level, POLICY], tags, first, levels[level, WAYS], place)
    return tag
