"""Why a line misses: beside each cache one of the same size that any line may lie anywhere in.

    cold       nobody asked this cache for the line before
    capacity   the other one, fully associative and LRU, has lost the line too
    conflict   it has the line: too many used lines meet in one set, or the policy chose badly

As Dinero IV tells them, miss by miss (Hill, "Aspects of Cache Memory and Instruction Buffer
Performance", 1987, has the kinds). A cache that is exclusive has an exclusive one beside it.

What is kept of each copy of a level: its youngest and its oldest line and how many there are, then
for every line its older neighbour, then for every line its younger one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.timing.caches.look_ups import (
    BESIDE as WHERE,
    CAPACITY,
    COLD,
    LINES_BESIDE,
    SETS,
    SHARING,
    WAYS,
    jit,
)

YOUNGEST, OLDEST, NUMBER, LINKS = 0, 1, 2, 3
NEVER, LAST, LOST = -1, -2, -3  # in place of an older neighbour
NONE = -1  # all words begin with it: no youngest, no oldest, and one less than the number of lines
HELD = -1  # in place of a kind: the fully associative cache has the line


def words_beside(lines: int) -> int:
    """Words for each copy of a level."""
    return LINKS + 2 * lines


def parts_of(base: int, lines: int, known: int) -> tuple[slice, slice, slice]:
    """Where a copy with room for some lines keeps its first words, and both neighbours of `known`
    lines."""
    older, younger = base + LINKS, base + LINKS + lines
    return slice(base, older), slice(older, older + known), slice(younger, younger + known)


@jit
def asked(tags: Any, levels: Any, level: int, slot: int, line: int) -> int:
    """A level is asked for a line, and has it afterwards: COLD, CAPACITY, or HELD."""
    base, older, younger = _places(levels, level, slot)
    state = tags[older + line]
    if state >= 0 or state == LAST:
        if tags[base + YOUNGEST] != line:
            _unlink(tags, base, older, younger, line)
            _first(tags, base, older, younger, line)
        return HELD
    if tags[base + NUMBER] + 1 == levels[level, SETS] * levels[level, WAYS]:
        oldest = np.int64(tags[base + OLDEST])
        _unlink(tags, base, older, younger, oldest)
        tags[older + oldest] = LOST
    else:
        tags[base + NUMBER] += 1
    _first(tags, base, older, younger, line)
    return COLD if state == NEVER else CAPACITY


@jit
def taken(tags: Any, levels: Any, level: int, slot: int, line: int) -> int:
    """The same of a level that gives the line away."""
    base, older, younger = _places(levels, level, slot)
    state = tags[older + line]
    tags[older + line] = LOST
    if state == NEVER:
        return COLD
    if state == LOST:
        return CAPACITY
    tags[older + line] = state
    _unlink(tags, base, older, younger, line)
    tags[older + line] = LOST
    tags[base + NUMBER] -= 1
    return HELD


@jit
def passed(tags: Any, levels: Any, level: int, slot: int, line: int) -> int:
    """The same of a store that passes by where the level lacks the line."""
    older = _places(levels, level, slot)[1]
    state = tags[older + line]
    if state >= 0 or state == LAST:
        return int(asked(tags, levels, level, slot, line))
    tags[older + line] = LOST
    return COLD if state == NEVER else CAPACITY


@jit
def _places(levels: Any, level: int, slot: int) -> Any:
    """Where a copy's words begin, those of older neighbours, and those of younger ones."""
    lines = levels[level, LINES_BESIDE]
    copy = slot >> levels[level, SHARING]
    base = np.int64(levels[level, WHERE] + copy * (LINKS + 2 * lines))
    return base, base + LINKS, base + LINKS + lines


@jit
def _unlink(tags: Any, base: int, older: int, younger: int, line: int) -> None:
    before, behind = np.int64(tags[younger + line]), np.int64(tags[older + line])
    if tags[base + YOUNGEST] == line:
        tags[base + YOUNGEST] = behind if behind >= 0 else NONE
    else:
        tags[older + before] = behind
    if behind >= 0:
        tags[younger + behind] = before
    else:
        tags[base + OLDEST] = NONE if tags[base + YOUNGEST] == NONE else before


@jit
def _first(tags: Any, base: int, older: int, younger: int, line: int) -> None:
    first = np.int64(tags[base + YOUNGEST])
    tags[older + line] = first if first >= 0 else LAST
    if first >= 0:
        tags[younger + first] = line
    else:
        tags[base + OLDEST] = line
    tags[base + YOUNGEST] = line
