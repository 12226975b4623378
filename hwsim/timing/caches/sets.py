"""Implicit memories: set-associative caches, line by line.

Compiled with Numba. Caches are write-back, write-allocate, LRU or by another policy, neither
inclusive nor exclusive: a line evicted dirty is written to the next level. Lines may be fetched on
a write miss or not.

Tables are plain integer arrays whose columns are named here: passing one array to a compiled
function is free, passing a structure of many is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.compiled import kernel
from hwsim.timing.caches.replacement import compiled_for_all

Ints = npt.NDArray[np.int64]

# stats[window, level (DRAM last), tensor, kind]
READS, WRITES, MISSES, WRITEBACKS = 0, 1, 2, 3
# levels[level]: where it starts in tags, its sets and ways, log2 of the units that share a copy,
# does a write miss fetch?, copies, are the sets a power of two? (64-bit division costs as much as
# the rest of a look-up), the policy's number, words of a set: its lines and what the policy keeps
OFFSET, SETS, WAYS, SHARING, FETCH, COPIES, IS_POWER, POLICY, WORDS = 0, 1, 2, 3, 4, 5, 6, 7, 8
SHARED_BY_ALL = 62
# crowds[copy of the first level]: its misses so far; how often a set was filled again after so many
# misses (the last column: FAR or more), a dirty line that left counting as a fill; for each set the
# number of its last miss
FAR, BY_DISTANCE = 16, 1
LAST_MISS = BY_DISTANCE + FAR + 1
EMPTY, FOUND = -1, -2

# Without Numba's run time (_nrt) no array is reference-counted, which otherwise takes most of the
# time of functions as small as these; in return nothing may be allocated inside them.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
jit: Any = kernel(**_OPTIONS)
inline: Any = kernel(forceinline=True, **_OPTIONS)


def _part_of_a_kernel(function: Any) -> Any:
    """Compiled with the kernel that calls it, and cached with that alone."""
    import numba

    return numba.njit(forceinline=True, **_OPTIONS)(function)


_used, _filled, _room = compiled_for_all(_part_of_a_kernel)


class Caches(NamedTuple):
    """The state of all caches, and where tensors lie.

    tags: all levels' contents, line * 2 + dirty or EMPTY, the lines of a set in order of use,
    youngest first, where the policy is LRU; then the policy's words.

    starts: each tensor's first line. line_shift: log2 of the bytes of a line. crowds: how soon sets
    of the first level miss again.
    """

    tags: npt.NDArray[np.int32]
    levels: Ints
    starts: Ints
    line_shift: int
    crowds: Ints


@inline
def look_up(tags: Any, first: Any, ways: int, line: int, dirty: int) -> int:
    """Look a line up in one set and make it the youngest.

    A set's places hold its lines in order of use.

    Returns FOUND, or what had to leave: the oldest, line * 2 + dirty, EMPTY if the set had room.
    Places are unsigned: a signed index costs a test for counting from the end.
    """
    moving = tags[first]
    if moving >> 1 == line:
        tags[first] = moving | dirty
        return FOUND
    for place in range(first + np.uintp(1), first + np.uintp(ways)):
        tag = tags[place]
        tags[place] = moving
        if tag >> 1 == line:
            tags[first] = tag | dirty
            return FOUND
        moving = tag
    tags[first] = line << 1 | dirty
    return int(moving)


@jit
def _look_up_in_place(policy: int, tags: Any, first: int, ways: int, line: int, dirty: int) -> int:
    """The same where the order of use is not what decides: lines keep their places."""
    empty = -1
    for place in range(first, first + ways):
        tag = tags[place]
        if tag >> 1 == line:
            tags[place] = tag | dirty
            _used(policy, tags, first, ways, place)
            return FOUND
        if tag == EMPTY and empty < 0:
            empty = place
    place = empty if empty >= 0 else _room(policy, tags, first, ways)
    victim = int(tags[place])
    tags[place] = line << 1 | dirty
    _filled(policy, tags, first, ways, place)
    return victim


@inline
def look_up_by(policy: int, tags: Any, first: Any, ways: int, line: int, dirty: int) -> int:
    """Look a line up in one set by the policy of this number."""
    if policy == 0:
        return int(look_up(tags, np.uintp(first), ways, line, dirty))
    return int(_look_up_in_place(policy, tags, np.int64(first), ways, line, dirty))


@inline
def _set_of(levels: Any, level: int, slot: int, line: int) -> Any:
    sets = levels[level, SETS]
    index = line & (sets - 1) if levels[level, IS_POWER] else line % sets
    return np.uintp(
        levels[level, OFFSET]
        + ((slot >> levels[level, SHARING]) * sets + index) * levels[level, WORDS]
    )


@inline
def _look_up_in(levels: Any, level: int, slot: int, tags: Any, line: int, dirty: int) -> int:
    """Look a line up in its set of a level."""
    first = _set_of(levels, level, slot, line)
    return look_up_by(levels[level, POLICY], tags, first, levels[level, WAYS], line, dirty)


@inline
def _owner(starts: Any, line: int) -> int:
    tensor = 0
    for candidate in range(1, len(starts)):
        if line >= starts[candidate]:
            tensor = candidate
    return tensor


@jit
def _write_back(
    tags: Any, levels: Any, starts: Any, level: int, slot: int, line: int, stats: Any, window: int
) -> None:
    """A dirty line leaves the level above: it lands in `level`, or in DRAM below the last."""
    last, dirty = len(levels), np.int64(1)
    while level < last:
        stats[window, level, _owner(starts, line), WRITES] += 1
        victim = _look_up_in(levels, level, slot, tags, line, dirty)
        if victim < 0 or victim & 1 == 0:
            return
        line = victim >> 1
        stats[window, level, _owner(starts, line), WRITEBACKS] += 1
        level += 1
    stats[window, last, _owner(starts, line), WRITES] += 1


@inline
def _note_crowd(levels: Any, crowds: Any, slot: int, line: int, fills: int) -> None:
    """A miss of the first level: how many misses ago its set missed before."""
    copy, sets = slot >> levels[0, SHARING], levels[0, SETS]
    index = LAST_MISS + (line & (sets - 1) if levels[0, IS_POWER] else line % sets)
    number = crowds[copy, 0] + 1
    distance = min(number - crowds[copy, index], FAR)
    crowds[copy, BY_DISTANCE + distance] += fills
    crowds[copy, index] = crowds[copy, 0] = number


@inline
def touch(
    tags: Any,
    levels: Any,
    starts: Any,
    crowds: Any,
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
    victim = _look_up_in(levels, np.int64(0), slot, tags, line, write)
    if victim != FOUND:
        _missed(tags, levels, starts, crowds, slot, line, write, tensor, stats, window, victim)


@inline
def _missed(
    tags: Any,
    levels: Any,
    starts: Any,
    crowds: Any,
    slot: int,
    line: int,
    write: int,
    tensor: int,
    stats: Any,
    window: int,
    victim: int,
) -> None:
    """The first level missed, and `victim` left it: look further, and write back what is dirty."""
    last, level = len(levels), np.int64(0)
    dirty = write
    if crowds.shape[1] > LAST_MISS:
        _note_crowd(levels, crowds, slot, line, 1 + (1 if victim >= 0 and victim & 1 else 0))
    while True:
        stats[window, level, tensor, MISSES] += 1
        if victim >= 0 and victim & 1:
            stats[window, level, _owner(starts, victim >> 1), WRITEBACKS] += 1
            _write_back(tags, levels, starts, level + 1, slot, victim >> 1, stats, window)
        if write and not levels[level, FETCH]:
            return
        dirty = write = 0
        level += 1
        if level == last:
            break
        stats[window, level, tensor, READS] += 1
        victim = _look_up_in(levels, level, slot, tags, line, dirty)
        if victim == FOUND:
            return
    stats[window, last, tensor, READS] += 1


@jit
def flush(caches: Any, stats: Any) -> None:
    """Write every dirty line down to DRAM, first level first; lines stay, clean.

    stats [1, level, tensor, kind].
    """
    window = np.int64(0)
    tags, levels, starts, _, _ = caches
    for level in range(len(levels)):
        sets, ways, words = levels[level, SETS], levels[level, WAYS], levels[level, WORDS]
        for number in range(levels[level, COPIES] * sets):
            slot = number // sets << levels[level, SHARING]
            begin = levels[level, OFFSET] + number * words
            for place in range(begin, begin + ways):
                if tags[place] >= 0 and tags[place] & 1:
                    line = tags[place] >> 1
                    tags[place] &= ~1
                    stats[window, level, _owner(starts, line), WRITEBACKS] += 1
                    _write_back(tags, levels, starts, level + 1, slot, line, stats, window)
