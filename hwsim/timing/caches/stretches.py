"""Stretches of a nest's inner loops: their look-ups, recorded once and then replayed.

    for the outer loops:
      for the inner loops:       a stretch: its lines are those of an earlier one, shifted, wherever
        load and store tiles     tiles lie alike in their lines and meet the tensors' edges alike

A stretch is recorded the first time and then replayed: the same look-ups in the same order,
without the loops' arithmetic.

Steps that look the same lines up in the same order as the step before are a run. Its later steps
are counted and not looked up, which is exact where the first level is LRU: the lines of one step
that share a set are no more than its ways, so after it each of their sets has them as its youngest;
the next step hits with each, in the same order, and leaves contents, order of use and dirty marks
as they were.

Where a sample of the sets is walked, what is replayed are the look-ups of these sets alone. Which
they are depends on where each tensor's lines begin, up to a multiple of 64 lines; they are picked
once for each such place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hwsim.timing.caches.look_ups import READS, REPEATS, SETS, WAYS, WRITES, Ints, inline, jit
from hwsim.timing.caches.sets import touch
from hwsim.timing.caches.tables import (
    AXES,
    BASE,
    BLOCK,
    BLOCK_STRIDE,
    DIM,
    EXTENT,
    FAST,
    PARENT,
    REDUCES,
    SHIFT,
    SIZE,
    STRIDE,
    TERMS,
    WIDTH,
)

# stretches.rows[row]: body steps, where its look-ups and its runs begin, and the work of its body
BODY, LOOKUPS, RUNS, WORK = 0, 1, 2, 3
# stretches.runs[run]: steps with the same look-ups, and where these end
TIMES, END = 0, 1
# stretches.state: look-ups, runs and rows in use, the slot that is recording, the row it records,
# the next free place, steps recorded of the row
USED_LOOKUPS, USED_RUNS, USED_ROWS, RECORDER, RECORDED, FREE, RECORDED_STEPS = 0, 1, 2, 3, 4, 5, 6
INSIDE = 1 << 40  # of a key: an axis whose tiles meet no edge of the tensor in the whole stretch
MIX = 0x9E3779B1
NOBODY, GIVEN_UP = -1, -2  # recorders; the second: no room is left
UNFINISHED = -1  # body steps of a row that is being recorded
MOST_COMPARED = 128  # look-ups of a step that are compared with each other
TENSORS = 4096  # at most, in a look-up's code: (line from the tensor's first, tensor, store?)


class Stretches(NamedTuple):
    """What the loops from `first` inwards touch after their first step, by key.

    See `key_of` for when two are alike.

    places: rows by hash, -1 free. keys, rows: [row, column]. lookups: codes of all rows. runs: of
    equal steps. totals[row, tensor, store?, of sets that are walked?]: look-ups of a whole body;
    of the last kind where some sets are not.
    """

    first: int
    deep: Ints  # the innermost loop of each dim outside
    places: Ints
    keys: Ints
    rows: Ints
    lookups: Ints
    runs: Ints
    totals: Ints
    state: Ints


def stretches(first: int, deep: Ints, key: int, tensors: int, room: int) -> Stretches:
    """Working memory for stretches of the loops from `first` inwards.

    key: words of a key; room: look-ups kept, 0 for none.
    """
    rows = 1 << max(0, min(room >> 4, 1 << 14).bit_length() - 1)
    places, keys, table = (
        np.full(4 * rows, -1, np.int64),
        np.zeros((rows + 1, key), np.int64),
        np.zeros((rows + 1, WORK + 3), np.int64),
    )
    lookups, runs = np.zeros(max(room, 1), np.int64), np.zeros((max(room, 1), 2), np.int64)
    return Stretches(
        first,
        deep,
        places,
        keys,
        table,
        lookups,
        runs,
        np.zeros((rows + 1, tensors, 2, 2), np.int64),
        np.array([0, 0, 0, NOBODY, -1, 0, 0], np.int64),
    )


@inline
def keep(kept: Any, line: int, tensor: int, write: int) -> None:
    """Add a look-up to the stretch being recorded; without room for it the stretch is given up."""
    used = kept.state[USED_LOOKUPS]
    if used >= len(kept.lookups):
        kept.state[RECORDER] = GIVEN_UP
        return
    kept.lookups[used] = (line * TENSORS + tensor) * 2 + write
    kept.totals[kept.state[RECORDED], tensor, write, 0] += 1
    kept.state[USED_LOOKUPS] = used + 1


@inline
def _find(kept: Any, words: int) -> int:
    """The row with the key of so many words that stands in the free row, -1 where there is none.

    Then the place where it would be is kept.
    """
    key, mixed = kept.keys[kept.state[USED_ROWS]], 0
    for word in range(words):
        mixed = (mixed ^ key[word]) * MIX
        mixed ^= mixed >> 29
    place = mixed & (len(kept.places) - 1)
    while kept.places[place] >= 0:
        known = kept.places[place]
        same = True
        for word in range(words):
            if kept.keys[known, word] != key[word]:
                same = False
                break
        if same:
            return int(known)
        place = (place + 1) & (len(kept.places) - 1)
    kept.state[FREE] = place
    return -1


@jit
def key_of(
    kept: Any,
    tensors: Any,
    axes: Any,
    loops: Any,
    line_shift: int,
    unit: Any,
    lo: Any,
    hi: Any,
    bases: Any,
    first_base: int,
) -> int:
    """Write what the stretch that begins here depends on into the free row of keys.

    It says in which row the key stands or would.

    Two stretches look up the same lines, but for a shift of each tensor's, when the chunks that
    their loops cut are as long, outputs are at their first visit or not, tiles lie in their lines
    the same way, and each axis either meets no edge of its tensor or starts at the same place.
    """
    row = kept.state[USED_ROWS]
    key, place = kept.keys[row], 0
    deep = kept.deep
    for dim in range(len(deep)):
        loop = deep[dim]
        key[place] = (unit[dim, 1] - unit[dim, 0]) if loop < 0 else hi[loop] - lo[loop]
        place += 1
    key[place] = 1
    for loop in range(kept.first):
        if loops[loop, REDUCES]:
            parent = loops[loop, PARENT]
            if lo[loop] != (unit[loops[loop, DIM], 0] if parent < 0 else lo[parent]):
                key[place] = 0
    place += 1
    for tensor in range(len(tensors)):
        if tensors[tensor, AXES] < 0:
            continue
        address, fast, block = tensors[tensor, BASE], tensors[tensor, FAST], tensors[tensor, BLOCK]
        for axis in range(tensors[tensor, AXES]):
            low = axes[tensor, axis, SHIFT]
            high = low + axes[tensor, axis, EXTENT]
            for term in range(TERMS, axes.shape[2], 2):
                dim, coefficient = axes[tensor, axis, term], axes[tensor, axis, term + 1]
                if dim < 0:
                    break
                loop = deep[dim]
                low += coefficient * (unit[dim, 0] if loop < 0 else lo[loop])
                high += coefficient * ((unit[dim, 1] if loop < 0 else hi[loop]) - 1)
            key[place] = INSIDE if low >= 0 and high <= axes[tensor, axis, SIZE] else low
            place += 1
            if axis != fast:
                address += low * axes[tensor, axis, STRIDE]
            else:
                number = 0 if block >= axes[tensor, axis, SIZE] else low // block
                key[place] = low - number * block if block < axes[tensor, axis, SIZE] else 0
                place += 1
                address += (
                    number * tensors[tensor, BLOCK_STRIDE]
                    + (low - number * block) * tensors[tensor, WIDTH]
                )
        bases[first_base + tensor] = address >> line_shift
        key[place] = address - (address >> line_shift << line_shift)
        place += 1
    return _find(kept, place)


@inline
def begin(kept: Any, slot: int) -> None:
    """Record the stretch whose key was written last."""
    row = kept.state[USED_ROWS]
    if row >= len(kept.rows) - 1 or kept.state[RECORDER] != NOBODY:
        return
    kept.places[kept.state[FREE]] = row
    kept.state[USED_ROWS] = row + 1
    kept.state[RECORDER], kept.state[RECORDED] = slot, row
    kept.rows[row, BODY] = UNFINISHED
    kept.rows[row, LOOKUPS], kept.rows[row, RUNS] = kept.state[USED_LOOKUPS], kept.state[USED_RUNS]
    kept.state[RECORDED_STEPS] = 0
    for kind in range(3):
        kept.rows[row, WORK + kind] = 0
    kept.totals[row] = 0


@jit
def _fit_their_sets(lookups: Any, begin: int, end: int, levels: Any) -> bool:
    """Do lines looked up in one step stay in their sets of the first level until the next?

    They do, wherever each tensor's tile begins, where the most lines that each tensor has in one
    set come to no more than the ways.
    """
    sets, ways = levels[0, SETS], levels[0, WAYS]
    if end - begin <= ways:
        return True
    if end - begin > MOST_COMPARED:
        return False
    together = 0
    for first in range(begin, end):
        tensor = lookups[first] >> 1 & (TENSORS - 1)
        seen_before, most = False, 0
        for other in range(begin, first):
            seen_before = seen_before or lookups[other] >> 1 & (TENSORS - 1) == tensor
        if not seen_before:
            for code in range(first, end):
                most = max(most, _in_one_set(lookups, first, end, code, sets))
            together += most
    return bool(together <= ways)


@inline
def _in_one_set(lookups: Any, begin: int, end: int, code: int, sets: int) -> int:
    """Lines of a look-up's tensor that are in its set, of those between begin and end."""
    tensor, line, found = lookups[code] >> 1 & (TENSORS - 1), lookups[code] >> 13, 0
    if tensor != lookups[begin] >> 1 & (TENSORS - 1):
        return 0
    for other in range(begin, end):
        own = lookups[other] >> 13
        if lookups[other] >> 1 & (TENSORS - 1) == tensor and (own - line) % sets == 0:
            is_new = True
            for earlier in range(begin, other):
                same_line = lookups[earlier] >> 13 == own
                same_tensor = lookups[earlier] >> 1 & (TENSORS - 1) == tensor
                is_new = is_new and not (same_line and same_tensor)
            found += is_new
    return found


@inline
def end_step(kept: Any, levels: Any) -> None:
    """A step of the stretch being recorded is over.

    It is one more of the last run, or the first of a new one.
    """
    used, row = kept.state[USED_RUNS], kept.state[RECORDED]
    first = kept.rows[row, RUNS]
    begin = kept.rows[row, LOOKUPS] if used == first else kept.runs[used - 1, END]
    length = kept.state[USED_LOOKUPS] - begin
    kept.state[RECORDED_STEPS] += 1
    if used > first:
        before = kept.rows[row, LOOKUPS] if used == first + 1 else kept.runs[used - 2, END]
        same = length == begin - before and levels[0, REPEATS] == 1
        for number in range(length if same else 0):
            same = same and kept.lookups[begin + number] == kept.lookups[before + number]
        known = kept.runs[used - 1, TIMES] > 1
        if same and (known or _fit_their_sets(kept.lookups, before, begin, levels)):
            kept.state[USED_LOOKUPS] = begin
            kept.runs[used - 1, TIMES] += 1
            return
    if used >= len(kept.runs):
        kept.state[RECORDER] = GIVEN_UP
        return
    kept.runs[used, TIMES], kept.runs[used, END] = 1, kept.state[USED_LOOKUPS]
    kept.state[USED_RUNS] = used + 1


@inline
def _forget(kept: Any) -> None:
    """Make room."""
    kept.places[:] = -1
    kept.state[USED_LOOKUPS] = kept.state[USED_RUNS] = kept.state[USED_ROWS] = 0


@inline
def _end_of(kept: Any, row: int, column: int, used: int) -> int:
    """Where a row's look-ups or runs end: where those of the next begin."""
    last = row + 1 == kept.state[USED_ROWS]
    return int(kept.state[used] if last else kept.rows[row + 1, column])


@jit
def pick(kept: Any, picked: Any, known: int, bases: Any, first_base: int, groups: Any) -> int:
    """The row of `picked` with a stretch's look-ups whose sets are walked.

    kept: all look-ups; known: the stretch's row there. bases, from first_base on: the line in which
    each tensor's tile begins.
    """
    tensors, mask = kept.totals.shape[1], len(groups) - 1
    lookups = _end_of(kept, known, LOOKUPS, USED_LOOKUPS) - kept.rows[known, LOOKUPS]
    runs = _end_of(kept, known, RUNS, USED_RUNS) - kept.rows[known, RUNS]
    for _ in range(2):
        row = picked.state[USED_ROWS]
        picked.keys[row, 0] = known
        for tensor in range(tensors):
            picked.keys[row, 1 + tensor] = bases[first_base + tensor] & mask
        found = _find(picked, 1 + tensors)
        if found >= 0:
            return found
        if (
            row + 1 < len(picked.rows)
            and picked.state[USED_LOOKUPS] + lookups <= len(picked.lookups)
            and picked.state[USED_RUNS] + runs <= len(picked.runs)
        ):
            break
        _forget(picked)
    picked.places[picked.state[FREE]] = row
    picked.state[USED_ROWS] = row + 1
    _copy(kept, picked, known, row, bases, first_base, groups)
    return int(row)


@inline
def _copy(
    kept: Any, picked: Any, known: int, row: int, bases: Any, first_base: int, groups: Any
) -> None:
    """Copy the look-ups whose sets are walked. Runs that have none of them become one."""
    mask, used, runs = len(groups) - 1, picked.state[USED_LOOKUPS], picked.state[USED_RUNS]
    for column in range(kept.rows.shape[1]):
        picked.rows[row, column] = kept.rows[known, column]
    picked.rows[row, LOOKUPS], picked.rows[row, RUNS] = used, runs
    for tensor in range(kept.totals.shape[1]):
        for store in range(2):
            picked.totals[row, tensor, store, 0] = kept.totals[known, tensor, store, 0]
            picked.totals[row, tensor, store, 1] = 0
    run, lookup, left = kept.rows[known, RUNS], kept.rows[known, LOOKUPS], kept.rows[known, BODY]
    was_empty = False
    while left > 0:
        times, first = kept.runs[run, TIMES], used
        while lookup < kept.runs[run, END]:
            code = kept.lookups[lookup]
            tensor = code >> 1 & (TENSORS - 1)
            if groups[(code >> 13) + bases[first_base + tensor] & mask]:
                picked.lookups[used] = code
                picked.totals[row, tensor, code & 1, 1] += times
                used += 1
            lookup += 1
        if used == first and was_empty:
            picked.runs[runs - 1, TIMES] += times
        else:
            picked.runs[runs, TIMES], picked.runs[runs, END] = times, used
            runs += 1
        was_empty = used == first
        left -= times
        run += 1
    picked.state[USED_LOOKUPS], picked.state[USED_RUNS] = used, runs


@jit
def replay(
    kept: Any,
    known: int,
    left: int,
    running_at: Any,
    slot: int,
    tags: Any,
    levels: Any,
    starts: Any,
    crowds: Any,
    line_shift: int,
    stats: Any,
    window: int,
    groups: Any,
    count: int,
) -> int:
    """Up to `left` steps of a recorded body; returns how many.

    A turn begins a run with real look-ups, as other units may have moved lines meanwhile. kept: the
    stretches, or what was picked of them.
    """
    passed, bases = running_at.passed, running_at.bases
    begin, total = passed[slot], kept.rows[known, BODY]
    steps = min(left, total - begin)
    if begin == 0:
        running_at.run[slot], running_at.in_run[slot] = 0, 0
    first, sampled = kept.rows[known, RUNS], len(groups) > 0
    run, in_run, todo = first + running_at.run[slot], running_at.in_run[slot], steps
    while todo > 0:
        place = kept.rows[known, LOOKUPS] if run == first else kept.runs[run - 1, END]
        times = min(todo, kept.runs[run, TIMES] - in_run)
        for lookup in range(place, kept.runs[run, END]):
            code = kept.lookups[lookup]
            tensor = code >> 1 & (TENSORS - 1)
            line = (code >> 13) + bases[slot * count + tensor]
            own = window + groups[line & (len(groups) - 1)] if sampled else window
            touch(
                tags,
                levels,
                starts,
                crowds,
                line_shift,
                slot,
                line,
                code & 1,
                tensor,
                stats,
                own,
            )
        todo -= times
        in_run += times
        if in_run == kept.runs[run, TIMES]:
            run, in_run = run + 1, 0
    if begin + steps == total:
        for tensor in range(count):
            for of_walked in range(2 if sampled else 1):
                own, seen = window + of_walked, kept.totals[known, tensor]
                stats[own, 0, tensor, READS] += seen[0, of_walked]
                stats[own, 0, tensor, WRITES] += seen[1, of_walked]
    running_at.run[slot], running_at.in_run[slot] = run - first, in_run
    passed[slot] = begin + steps
    return int(steps)
