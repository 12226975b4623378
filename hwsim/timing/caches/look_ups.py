"""One look-up of a line in one set of a cache, compiled with Numba.

Tables are plain integer arrays whose columns are named here: passing one array to a compiled
function is free, passing a structure of many is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.compiled import kernel
from hwsim.timing.caches.replacement import compiled_for_all

Ints = npt.NDArray[np.int64]

# stats[window, level (DRAM last), tensor, kind]
READS, WRITES, MISSES, WRITEBACKS, PREFETCHES, COLD, CAPACITY = 0, 1, 2, 3, 4, 5, 6
KINDS = 7
# levels[level]: where it starts in tags, its sets and ways, log2 of the units that share a copy,
# does a write miss fetch?, copies, are the sets a power of two? (64-bit division costs as much as
# the rest of a look-up), the policy's number, words of a set: its lines and what the policy keeps
OFFSET, SETS, WAYS, SHARING, FETCH, COPIES, IS_POWER, POLICY, WORDS = 0, 1, 2, 3, 4, 5, 6, 7, 8
# are all levels plain? do stores pass on? do store misses bring a line? which lines of other levels
# it has: NEITHER, INCLUSIVE or EXCLUSIVE; the prefetcher's number, where its first words are in
# tags, and how many it has; where in tags hwsim.timing.caches.miss_kinds begins, and for how many
# lines (0: kinds are not told apart)
PLAIN, THROUGH, ALLOCATE, INCLUSION, PREFETCHER, NOTES, NOTE_WORDS = 9, 10, 11, 12, 13, 14, 15
BESIDE, LINES_BESIDE = 16, 17
# does it change nothing to look up again, in the same order, lines that fit one set? where in tags
# what the levels below are asked is kept in order, 0 where it is not, and the first of these levels
# (hwsim.timing.caches.warping)
REPEATS, EVENTS, DEPTH = 18, 19, 20
# there: how many are kept, how many there is room for, was there one more? then line * 2 + is it
# written back?, and the tensor
USED, ROOM, OVERFLOWED, FIRST_EVENT = 0, 1, 2, 3
NEITHER, INCLUSIVE, EXCLUSIVE = 0, 1, 2
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


def part_of_a_kernel(function: Any) -> Any:
    """Compiled with the kernel that calls it, and cached with that alone."""
    import numba

    return numba.njit(forceinline=True, **_OPTIONS)(function)


_used, _filled, _room, left_by = compiled_for_all(part_of_a_kernel)


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
def set_of(levels: Any, level: int, slot: int, line: int) -> Any:
    sets = levels[level, SETS]
    index = line & (sets - 1) if levels[level, IS_POWER] else line % sets
    return np.uintp(
        levels[level, OFFSET]
        + ((slot >> levels[level, SHARING]) * sets + index) * levels[level, WORDS]
    )


@inline
def look_up_in(levels: Any, level: int, slot: int, tags: Any, line: int, dirty: int) -> int:
    """Look a line up in its set of a level."""
    first = set_of(levels, level, slot, line)
    return look_up_by(levels[level, POLICY], tags, first, levels[level, WAYS], line, dirty)


@inline
def window_of(groups: Any, line: int, window: int) -> int:
    """Where what happens to a line is counted, -1 where its set is not walked.

    groups: as of hwsim.timing.caches.sets.Caches.
    """
    if len(groups) == 0:
        return window
    group = groups[line & (len(groups) - 1)]
    return window + group if group else -1


@inline
def owner(starts: Any, line: int) -> int:
    tensor = 0
    for candidate in range(1, len(starts)):
        if line >= starts[candidate]:
            tensor = candidate
    return tensor


@inline
def place_of(tags: Any, levels: Any, slot: int, level: int, line: int) -> int:
    """Where a line stands in its set of a level, -1 where it does not."""
    first = np.int64(set_of(levels, level, slot, line))
    for place in range(first, first + levels[level, WAYS]):
        if tags[place] >> 1 == line:
            return place
    return -1
