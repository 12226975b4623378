"""Traces of accesses through caches, in hwsim's own convention and in pycachesim's.

hwsim's: what the caches of a machine do (hwsim.timing.caches.sets and hierarchy). pycachesim's, as
its version 0.3.1 behaves: a store that misses loads its line first, and counts as that load; the
line that leaves is stored to the next level in the same way; a store that hits does not count as a
use. Cachegrind's is in hwsim.timing.caches.programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwsim.compiled import about_to_run
from hwsim.describe.prefetchers import NONE
from hwsim.errors import HwsimError
from hwsim.parts.cache import Cache
from hwsim.timing.caches.look_ups import (
    CAPACITY,
    COLD,
    KINDS,
    LINES_BESIDE,
    MISSES,
    PREFETCHES,
    READS,
    WAYS,
    WRITEBACKS,
    WRITES,
    Ints,
    inline,
    jit,
    place_of,
    set_of,
)
from hwsim.timing.caches.pages import Pages
from hwsim.timing.caches.sets import touch
from hwsim.timing.caches.state import empty_caches, with_more_lines

# what is to be done next, with a level and a line
LOAD, STORE, PUT, MARK = 0, 1, 2, 3
# counts[level (memory last), kind] of pycachesim
LOADS, STORES, HITS, MISSED, EVICTED = 0, 1, 2, 3, 4
MOST_TO_DO = 8  # of these at a time, for each level


class Hierarchy:
    """Caches as a machine has them, one core's.

    by_kind: misses are told apart by kind. Raises HwsimError for prefetchers beside it: they go by
    distances between pages, which are then renumbered.
    """

    def __init__(self, levels: Sequence[Cache], by_kind: bool = False) -> None:
        ahead = {cache.prefetcher for cache in levels} - {NONE}
        if by_kind and ahead:
            raise HwsimError(
                f"{', '.join(sorted(ahead))}: kinds of misses of a trace are told apart without "
                f"prefetchers; expected none"
            )
        self._named = [(f"level {number + 1}", cache) for number, cache in enumerate(levels)]
        self._pages = Pages(levels) if by_kind else None
        self._caches = empty_caches(self._named, 1, [0], np.int64, 1 if by_kind else 0)
        self._stats = np.zeros((1, len(levels) + 1, 1, KINDS), np.int64)

    def replay(self, addresses: Sequence[int], sizes: Sequence[int], writes: Sequence[int]) -> None:
        """First byte, bytes, and whether it is a store, of every access in order."""
        about_to_run(_replay)
        accesses = _arrays(addresses, sizes, writes)
        if self._pages is not None:
            accesses = self._in_known_pages(self._pages, *accesses)
        _replay(*accesses, self._caches, self._stats)

    def _in_known_pages(
        self, pages: Pages, addresses: Ints, sizes: Ints, writes: Ints
    ) -> tuple[Ints, ...]:
        """The accesses line by line, in renumbered pages, and room for these."""
        shift = self._caches.line_shift
        first, last = addresses >> shift, addresses + sizes - 1 >> shift
        often = last - first + 1
        begins = np.repeat(np.cumsum(often) - often, often)
        lines = np.repeat(first, often) + np.arange(often.sum()) - begins
        found = pages.renumbered(lines << shift)
        room, needed = int(self._caches.levels[0, LINES_BESIDE]), pages.end >> shift
        if needed > room:
            self._caches = with_more_lines(self._caches, self._named, max(needed, 2 * room))
        return found, np.ones_like(found), np.repeat(writes, often)

    def counts(self) -> list[dict[str, int]]:
        """Lines of every level: loads and stores of it, misses, lines fetched ahead, and lines
        that it handed down; misses by kind where they are told apart."""
        kinds = {
            "loads": READS,
            "stores": WRITES,
            "misses": MISSES,
            "prefetches": PREFETCHES,
            "evicted": WRITEBACKS,
        }
        levels = self._stats[0, :-1, 0]
        found = [{name: int(row[kind]) for name, kind in kinds.items()} for row in levels]
        for counts, row in zip(found, levels, strict=True):
            if self._pages is not None:
                cold, capacity = int(row[COLD]), int(row[CAPACITY])
                conflict = counts["misses"] - cold - capacity
                counts |= {"cold": cold, "capacity": capacity, "conflict": conflict}
        return found


class Pycachesim:
    """LRU caches that write back what they allocate, counted as pycachesim counts."""

    def __init__(self, levels: Sequence[Cache]) -> None:
        if any(cache.policy != "lru" for cache in levels):
            raise HwsimError("pycachesim's convention is known for lru; expected no other policy")
        named = [(f"level {number + 1}", cache) for number, cache in enumerate(levels)]
        self._caches = empty_caches(named, 1, [0], np.int64)
        self._counts = np.zeros((len(levels) + 1, 5), np.int64)

    def replay(self, addresses: Sequence[int], sizes: Sequence[int], writes: Sequence[int]) -> None:
        """First byte, bytes, and whether it is a store, of every access in order."""
        about_to_run(_replay_pycachesim)
        room = np.zeros((MOST_TO_DO * len(self._counts), 3), np.int64)
        tags, levels, _, shift, _, _ = self._caches
        arrays = _arrays(addresses, sizes, writes)
        _replay_pycachesim(*arrays, tags, levels, shift, room, self._counts)

    def counts(self) -> list[dict[str, int]]:
        """Lines that hit, missed and were evicted, of every level."""
        kinds = {"hits": HITS, "misses": MISSED, "evicted": EVICTED}
        levels = self._counts[:-1]
        return [{name: int(row[kind]) for name, kind in kinds.items()} for row in levels]


def _arrays(*columns: Sequence[int]) -> tuple[Ints, ...]:
    return tuple(np.array(column, np.int64) for column in columns)


@jit
def _replay(addresses: Any, sizes: Any, writes: Any, caches: Any, stats: Any) -> None:
    tags, levels, starts, shift, crowds, _ = caches
    zero = np.int64(0)
    for number in range(len(addresses)):
        last = addresses[number] + sizes[number] - 1 >> shift
        write = writes[number]
        for line in range(addresses[number] >> shift, last + 1):
            stats[0, 0, 0, WRITES if write else READS] += 1
            touch(tags, levels, starts, crowds, shift, zero, line, write, zero, stats, zero)


@jit
def _replay_pycachesim(
    addresses: Any,
    sizes: Any,
    writes: Any,
    tags: Any,
    levels: Any,
    shift: int,
    room: Any,
    counts: Any,
) -> None:
    """What is to be done is kept in a list, the next thing last: loads before what waits for them.

    room: of the list. counts: see above.
    """
    for number in range(len(addresses)):
        last = addresses[number] + sizes[number] - 1 >> shift
        for line in range(addresses[number] >> shift, last + 1):
            _do(STORE if writes[number] else LOAD, line, tags, levels, room, counts)


@jit
def _do(what: int, line: int, tags: Any, levels: Any, room: Any, counts: Any) -> None:
    """A load or store of the first level, and all that follows from it."""
    left = _add(room, 0, what, 0, line)
    while left > 0:
        left -= 1
        what, level, line = room[left, 0], room[left, 1], room[left, 2]
        if what in (LOAD, STORE):
            counts[level, what] += 1
        if level == len(levels):
            continue
        place = place_of(tags, levels, 0, level, line)
        if what == LOAD and place >= 0:
            counts[level, HITS] += 1
            _to_the_front(tags, levels, level, line, place)
        elif what == LOAD:
            counts[level, MISSED] += 1
            left = _add(room, left, PUT, level, line)
            left = _add(room, left, LOAD, level + 1, line)
        elif what == PUT:
            end = np.int64(set_of(levels, level, 0, line)) + levels[level, WAYS] - 1
            victim = tags[end]
            tags[end] = line << 1
            _to_the_front(tags, levels, level, line, end)
            if victim >= 0 and victim & 1:
                counts[level, EVICTED] += 1
                left = _add(room, left, STORE, level + 1, victim >> 1)
        elif place >= 0:
            tags[place] |= 1
        elif what == STORE:
            left = _add(room, left, MARK, level, line)
            left = _add(room, left, LOAD, level, line)


@inline
def _add(room: Any, left: int, what: int, level: int, line: int) -> int:
    room[left, 0], room[left, 1], room[left, 2] = what, level, line
    return left + 1


@inline
def _to_the_front(tags: Any, levels: Any, level: int, line: int, place: int) -> None:
    """Places are in order of use, the youngest first."""
    tag, first = tags[place], np.int64(set_of(levels, level, 0, line))
    for other in range(place, first, -1):
        tags[other] = tags[other - 1]
    tags[first] = tag
