"""The state of a chain of caches, as the compiled look-ups want it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwsim.describe import prefetchers
from hwsim.describe.policies import LRU, POLICIES, names
from hwsim.describe.prefetchers import NONE, PREFETCHERS
from hwsim.describe.units import si
from hwsim.errors import HwsimError
from hwsim.parts.cache import Cache, faults_of_chain
from hwsim.timing.caches.look_ups import (
    BESIDE,
    EMPTY,
    FAR,
    LAST_MISS,
    LINES_BESIDE,
    NEITHER,
    OFFSET,
    SHARED_BY_ALL,
    Ints,
)
from hwsim.timing.caches.miss_kinds import parts_of, words_beside
from hwsim.timing.caches.sets import Caches

MOST_BESIDE = 1 << 28  # words for kinds of misses
NOTHING_KEPT = (0, 0)  # EVENTS and DEPTH
ALL_SETS: Ints = np.zeros(0, np.int64)
INCLUSIONS = ("neither", "inclusive", "exclusive")  # by NEITHER, INCLUSIVE, EXCLUSIVE
Chain = Sequence[tuple[str, Cache]]  # the first level first


def log2_of(value: int) -> int:
    """log2 of a power of two."""
    return value.bit_length() - 1


def one_line(caches: Chain) -> int:
    """The bytes of a line, the same in all. Raises HwsimError where they differ."""
    lines = {cache.line for _, cache in caches}
    if len(lines) != 1:
        raise HwsimError(
            f"caches with lines of {sorted(lines)} bytes; expected one line size along the chain"
        )
    return lines.pop()


def _checked_line(caches: Chain) -> int:
    """The bytes of a line of caches that go together. Raises HwsimError for others."""
    line = one_line(caches)
    for name, what in faults_of_chain(caches):
        raise HwsimError(f"{name}: {what}")
    return line


def empty_caches(
    caches: Chain,
    units: int,
    starts: Sequence[int],
    words: Any,
    told_apart: int = 0,
    groups: Ints = ALL_SETS,
) -> Caches:
    """Empty caches of so many cores.

    starts: the first byte of every tensor. words: NumPy's type of a line's number and its dirty
    bit. told_apart: lines, from the first on, whose misses are told apart by kind; 0 for none.
    groups: of the sets that are walked, as of Caches.
    Raises HwsimError for caches that do not go together, or kinds that take too much memory.
    """
    line = _checked_line(caches)
    rows, offset = [], 0
    plain = all(_is_plain(cache) for _, cache in caches)
    taken_out = any(cache.inclusion == "inclusive" for _, cache in caches[1:])
    beside = words_beside(told_apart) if told_apart else 0
    if beside * sum(cache.copies(units) for _, cache in caches) > MOST_BESIDE:
        raise HwsimError(
            f"{si(told_apart)} lines on {units} cores are too many to tell misses apart by kind; "
            f"expected fewer cores (--cores), or a smaller layer"
        )
    for _, cache in caches:
        copies = cache.copies(units)
        own = cache.ways + POLICIES[cache.policy].words(cache.ways)
        notes, noted = offset + copies * cache.sets * own, _notes(cache, max(1, len(starts)))
        places = (offset, notes, noted)
        of_all = (int(plain), told_apart, int(_may_repeat(cache) and not taken_out))
        rows.append(_row(cache, copies, own, places, of_all))
        offset = notes + copies * (noted + beside)
    return Caches(
        np.full(offset, EMPTY, words),
        np.array(rows, np.int64),
        np.array([start // line for start in starts], np.int64),
        log2_of(line),
        _no_crowds(caches[0][1], units),
        groups,
    )


def _row(
    cache: Cache, copies: int, own: int, places: tuple[int, int, int], of_all: tuple[int, int, int]
) -> list[int]:
    """A level's columns (hwsim.timing.caches.look_ups).

    own: words of a set. places: of its sets and its prefetcher's words, and how many these are.
    of_all: PLAIN, LINES_BESIDE and REPEATS.
    """
    offset, notes, noted = places
    plain, told_apart, repeats = of_all
    return [
        offset,
        cache.sets,
        cache.ways,
        log2_of(cache.sharers) if cache.sharers else SHARED_BY_ALL,
        int(cache.write_fetch),
        copies,
        int(cache.sets & (cache.sets - 1) == 0),
        names().index(cache.policy),
        own,
        plain,
        int(cache.writes == "through"),
        int(cache.write_allocate),
        INCLUSIONS.index(cache.inclusion),
        prefetchers.names().index(cache.prefetcher),
        notes,
        noted,
        notes + copies * noted,
        told_apart,
        repeats,
        *NOTHING_KEPT,
    ]


def _no_crowds(first: Cache, units: int) -> Ints:
    """How soon sets of the first level miss again, before anything does."""
    watched = first.sets if first.set_busy else 0
    crowds = np.zeros((first.copies(units), LAST_MISS + watched), np.int64)
    crowds[:, LAST_MISS:] = -FAR
    return crowds


def with_more_lines(before: Caches, caches: Chain, told_apart: int) -> Caches:
    """One core's caches with room for more lines whose misses are told apart; all else stays."""
    after = empty_caches(caches, 1, [0], before.tags.dtype, told_apart)
    for old, new in zip(before.levels, after.levels, strict=True):
        known = int(old[LINES_BESIDE])
        contents = slice(old[OFFSET], old[BESIDE]), slice(new[OFFSET], new[BESIDE])
        pieces = [
            contents,
            *zip(
                parts_of(old[BESIDE], known, known),
                parts_of(new[BESIDE], told_apart, known),
                strict=True,
            ),
        ]
        for source, target in pieces:
            after.tags[target] = before.tags[source]
    return after._replace(crowds=before.crowds)


def _may_repeat(cache: Cache) -> bool:
    """Does looking up the same few lines again, in the same order, change nothing?

    So it is where lines are in order of use, and nothing but a miss goes on to another level. It
    holds for a fully associative cache beside it, too (hwsim.timing.caches.miss_kinds). It does not
    where an inclusive level below takes lines out of it.
    """
    others = (cache.policy, cache.writes, cache.write_allocate, cache.prefetcher)
    return others == (LRU, "back", True, NONE)


def _is_plain(cache: Cache) -> bool:
    """Does it write back what it allocates, and nothing else (hwsim.timing.caches.sets)?"""
    others = (cache.writes, cache.write_allocate, cache.inclusion, cache.prefetcher)
    return others == ("back", True, INCLUSIONS[NEITHER], NONE)


def _notes(cache: Cache, streams: int) -> int:
    """Words that its prefetcher keeps."""
    return 0 if cache.prefetcher == NONE else PREFETCHERS[cache.prefetcher].words(streams)
