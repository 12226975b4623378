"""A nest's loads and stores, step by step, into the caches.

Compiled with Numba. A `unit` is a core or a thread block: it walks the temporal loops outside the
boundary level (registers on a CPU, shared memory on a GPU) over its own chunk of the dims, and at
every step loads the tiles that changed, line by line, and stores the output tile when it moves on.
Units that run at the same time take turns.

    for the outer loops:
      for the inner loops:       a stretch: its lines are those of an earlier one, shifted, wherever
        load and store tiles     tiles lie alike in their lines and meet the tensors' edges alike

A stretch is recorded the first time and then replayed: the same look-ups in the same order,
without the loops' arithmetic.

Steps that look the same lines up in the same order as the step before are a run. Its later steps
are counted and not looked up, which is exact where the first level is LRU: the lines of one step
are no more than its ways, so after it each of their sets has them as its youngest; the next step
hits with each, in the same order, and leaves contents, order of use and dirty marks as they were.

Whole iterations of outer loops that repeat each other are skipped (hwsim.timing.caches.warping).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.timing.caches.look_ups import READS, REPEATS, WAYS, WRITES, Ints, inline, jit
from hwsim.timing.caches.sets import touch
from hwsim.timing.caches.tables import (
    AXES,
    BASE,
    BLOCK,
    BLOCK_STRIDE,
    DIM,
    EXTENT,
    FAST,
    IS_OUTPUT,
    PARENT,
    REDUCES,
    SHIFT,
    SIZE,
    STRIDE,
    TERMS,
    TILE,
    VECTORISED,
    WIDTH,
)
from hwsim.timing.caches.warping import KNOWN, warp

Flags = npt.NDArray[np.bool_]

# places.boxes[..., column]
LOW, HIGH, GAP, RUN, PHASE, BOX = 0, 1, 2, 3, 4, 5
# work[unit]: vector iterations, load and store instructions
ITERATIONS, LOADS, STORES = 0, 1, 2
SKIP_BATCH = -1
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
TENSORS = 4096  # at most, in a look-up's code: (line from the tensor's first, tensor, store?)


class Schedule(NamedTuple):
    """The temporal loops outside the boundary, and every unit's chunks [lo, hi).

    Of each dim the innermost loop is known.
    """

    loops: Ints
    deep: Ints
    units: Ints


class Tensors(NamedTuple):
    """The tensors, as the walk needs them.

    moves[tensor, axis, loop]: does any loop from here inwards move the tile along the axis (last:
    along any)?
    """

    tensors: Ints
    axes: Ints
    moves: Flags


class Places(NamedTuple):
    """Where every running unit is: working memory of `walk`, all [slot, ...]."""

    lows: Ints  # [slot, loop]
    highs: Ints  # [slot, loop]
    boxes: Ints  # [slot * tensors + tensor, axis, BOX], and one row more to work in
    valid: Flags  # [slot * tensors + tensor]
    at: Ints  # [axis]
    taken: Ints  # steps so far
    moved: Ints  # the outermost loop that moved last, -1: done
    bases: Ints  # [slot * tensors + tensor]: the line in which its tile began when the stretch did
    playing: Ints  # [slot]: the row that is replayed, -1: none
    passed: Ints  # [slot]: steps of it so far
    run: Ints  # [slot]: the run of it that is played
    in_run: Ints  # [slot]: steps of that run so far


def places(parallel: int, loops: int, tensors: int, axes: int) -> Places:
    """Working memory for `parallel` units."""
    shape = (parallel, max(loops, 1))
    return Places(
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        np.zeros((parallel * tensors + 1, axes, BOX), np.int64),
        np.zeros(parallel * tensors, np.bool_),
        np.zeros(axes, np.int64),
        np.zeros(parallel, np.int64),
        np.zeros(parallel, np.int64),
        np.zeros(parallel * tensors, np.int64),
        np.full(parallel, -1, np.int64),
        np.zeros(parallel, np.int64),
        np.zeros(parallel, np.int64),
        np.zeros(parallel, np.int64),
    )


class Stretches(NamedTuple):
    """What the loops from `first` inwards touch after their first step, by key.

    See `_key` for when two are alike.

    places: rows by hash, -1 free. keys, rows: [row, column]. lookups: codes of all rows. runs: of
    equal steps. totals[row, tensor, store?]: look-ups of a whole body.
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
        np.zeros((rows + 1, tensors, 2), np.int64),
        np.array([0, 0, 0, NOBODY, -1, 0, 0], np.int64),
    )


class Turns(NamedTuple):
    """How units share the machine, how wide vectors are, and which steps count.

    Widths are log2 of bytes and of words.

    batch_window[batch]: SKIP_BATCH, or the window it counts in.
    """

    parallel: int
    quantum: int
    vector_shift: int
    vector_dim: int
    lanes_shift: int
    batch_window: Ints


@inline
def _box(
    tensors: Any,
    axes: Any,
    moves: Any,
    tensor: int,
    deep: Any,
    unit: Any,
    lo: Any,
    hi: Any,
    boxes: Any,
    row: int,
    new: int,
    outermost: int,
) -> int:
    """Put a tensor's tile, coordinates [low, high) on each axis without padding, into boxes[new].

    Where loops inside the tile step over coordinates (a stride), they are runs of `run` words,
    `gap` from one to the next, the first of them at `phase`.

    Only axes that the loops from `outermost` inwards move are worked out, the others taken from
    boxes[row] (outermost -1: all). Returns the words of the tile, or -1 when it is the one in
    boxes[row].
    """
    words, changed = 1, outermost < 0
    for axis in range(tensors[tensor, AXES]):
        if outermost >= 0 and not moves[tensor, axis, outermost]:
            low, high = boxes[row, axis, LOW], boxes[row, axis, HIGH]
            gap, run, phase = (
                boxes[row, axis, GAP],
                boxes[row, axis, RUN],
                boxes[row, axis, PHASE],
            )
        else:
            low = axes[tensor, axis, SHIFT]
            high = low + axes[tensor, axis, EXTENT]
            gap = stepped = np.int64(0)
            for term in range(TERMS, axes.shape[2], 2):
                dim, coefficient = axes[tensor, axis, term], axes[tensor, axis, term + 1]
                if dim < 0:
                    break
                loop = deep[dim]
                first = unit[dim, 0] if loop < 0 else lo[loop]
                last = (unit[dim, 1] if loop < 0 else hi[loop]) - 1
                low += coefficient * first
                high += coefficient * last
                if last > first and coefficient > gap:
                    gap, stepped = coefficient, coefficient * (last - first)
            phase, run = low, high - low - stepped
            if run >= gap:
                gap = run = phase = np.int64(0)
            low, high = max(low, 0), min(high, axes[tensor, axis, SIZE])
            changed = (
                changed
                or low != boxes[row, axis, LOW]
                or high != boxes[row, axis, HIGH]
                or phase != boxes[row, axis, PHASE]
                or gap != boxes[row, axis, GAP]
            )
        boxes[new, axis, LOW], boxes[new, axis, HIGH] = low, high
        boxes[new, axis, GAP], boxes[new, axis, RUN], boxes[new, axis, PHASE] = gap, run, phase
        words *= max(0, _words_before(high, gap, run, phase) - _words_before(low, gap, run, phase))
    return words if changed else -1


@inline
def _words_before(end: int, gap: int, run: int, phase: int) -> int:
    """Coordinates that are touched before `end`, from `phase` on."""
    if gap == 0:
        return end
    return (end - phase) // gap * run + min((end - phase) % gap, run)


@inline
def _next_touched(at: int, gap: int, run: int, phase: int) -> int:
    """The coordinate itself, or where it lies in a gap the first behind it."""
    beyond = (at - phase) % gap if gap else 0
    return at + gap - beyond if beyond >= run and gap else at


@inline
def _touched_from(boxes: Any, box: int, axis: int, at: int) -> int:
    """The first coordinate from `at` on that a tile touches along an axis."""
    return _next_touched(at, boxes[box, axis, GAP], boxes[box, axis, RUN], boxes[box, axis, PHASE])


@jit
def _touch_box(
    tags: Any,
    levels: Any,
    starts: Any,
    crowds: Any,
    line_shift: int,
    tensors: Any,
    axes: Any,
    vector_shift: int,
    slot: int,
    tensor: int,
    boxes: Any,
    box: int,
    at: Any,
    write: int,
    stats: Any,
    window: int,
    kept: Any,
    base: int,
    recording: bool,
) -> int:
    """Every line of the tile boxes[box], row by row; returns the vector accesses that takes.

    A line that lies in a gap of a row is not touched; vectors are of the whole row, or of its runs
    where they are fewer.

    recording: the lines are kept, counted from base.
    """
    count, fast, block = tensors[tensor, AXES], tensors[tensor, FAST], tensors[tensor, BLOCK]
    rows = tensors[tensor, BASE]
    for axis in range(count):
        at[axis] = _touched_from(boxes, box, axis, boxes[box, axis, LOW])
        if boxes[box, axis, HIGH] <= at[axis]:
            return 0
        if axis != fast:
            rows += at[axis] * axes[tensor, axis, STRIDE]
    first, last, size = at[fast], boxes[box, fast, HIGH], axes[tensor, fast, SIZE]
    gap, run_words, phase = boxes[box, fast, GAP], boxes[box, fast, RUN], boxes[box, fast, PHASE]
    vectors = 0
    while True:
        start = first
        while start < last:
            number = 0 if block >= size else start // block
            end = min((number + 1) * block, last)
            address = (
                rows
                + number * tensors[tensor, BLOCK_STRIDE]
                + (start - number * block) * tensors[tensor, WIDTH]
            )
            run = (end - start) * tensors[tensor, WIDTH]
            alone = (end - start + gap - 1) // gap if gap else run
            vectors += min(-(-run >> vector_shift), alone)
            for line in range(address >> line_shift, (address + run - 1 >> line_shift) + 1):
                if gap:
                    begin = start + ((line << line_shift) - address) // tensors[tensor, WIDTH]
                    behind = (
                        start + (((line + 1) << line_shift) - address - 1) // tensors[tensor, WIDTH]
                    )
                    begin = _next_touched(max(begin, start), gap, run_words, phase)
                    if begin > min(behind, end - 1):
                        continue
                stats[window, 0, tensor, WRITES if write else READS] += 1
                touch(
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
                )
                if recording:
                    _keep(kept, line - base, tensor, write)
            start = end
        axis = count - 1
        while axis >= 0:
            if axis != fast:
                before = at[axis]
                at[axis] = _touched_from(boxes, box, axis, before + 1)
                rows += (at[axis] - before) * axes[tensor, axis, STRIDE]
                if at[axis] < boxes[box, axis, HIGH]:
                    break
                before = at[axis]
                at[axis] = _touched_from(boxes, box, axis, boxes[box, axis, LOW])
                rows -= (before - at[axis]) * axes[tensor, axis, STRIDE]
            axis -= 1
        if axis < 0:
            return vectors


@inline
def _keep(kept: Any, line: int, tensor: int, write: int) -> None:
    """Add a look-up to the stretch being recorded; without room for it the stretch is given up."""
    used = kept.state[USED_LOOKUPS]
    if used >= len(kept.lookups):
        kept.state[RECORDER] = GIVEN_UP
        return
    kept.lookups[used] = (line * TENSORS + tensor) * 2 + write
    kept.totals[kept.state[RECORDED], tensor, write] += 1
    kept.state[USED_LOOKUPS] = used + 1


@inline
def _restart(loops: Any, unit: Any, lo: Any, hi: Any, first: int) -> None:
    """Put the loops from `first` inwards at their beginning."""
    for loop in range(first, len(loops)):
        parent, dim = loops[loop, PARENT], loops[loop, DIM]
        lo[loop] = unit[dim, 0] if parent < 0 else lo[parent]
        hi[loop] = min(lo[loop] + loops[loop, TILE], unit[dim, 1] if parent < 0 else hi[parent])


@inline
def _advance(loops: Any, unit: Any, lo: Any, hi: Any) -> int:
    """The next step; returns the outermost loop that moved, -1 at the end."""
    for loop in range(len(loops) - 1, -1, -1):
        parent, dim = loops[loop, PARENT], loops[loop, DIM]
        end = unit[dim, 1] if parent < 0 else hi[parent]
        start = lo[loop] + loops[loop, TILE]
        if start < end:
            lo[loop] = start
            hi[loop] = min(start + loops[loop, TILE], end)
            _restart(loops, unit, lo, hi, loop + 1)
            return loop
    return -1


@inline
def _vector_iterations(
    deep: Any, unit: Any, lo: Any, hi: Any, vector_dim: int, lanes_shift: int
) -> int:
    """Executions of the statement at this step, one vector at a time."""
    total = 1
    for dim in range(len(deep)):
        loop = deep[dim]
        length = (unit[dim, 1] - unit[dim, 0]) if loop < 0 else hi[loop] - lo[loop]
        total *= -(-length >> lanes_shift) if dim == vector_dim else length
    return total


@inline
def _first_visit(loops: Any, unit: Any, lo: Any) -> bool:
    """True while every reduction loop is at its beginning: the output tile starts from zero."""
    for loop in range(len(loops)):
        if loops[loop, REDUCES]:
            parent = loops[loop, PARENT]
            if lo[loop] != (unit[loops[loop, DIM], 0] if parent < 0 else lo[parent]):
                return False
    return True


@jit
def _key(
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
    key, place, mixed = kept.keys[row], 0, 0
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
    for word in range(place):
        mixed = (mixed ^ key[word]) * MIX
        mixed ^= mixed >> 29
    slot = mixed & (len(kept.places) - 1)
    while kept.places[slot] >= 0:
        known = kept.places[slot]
        same = True
        for word in range(place):
            if kept.keys[known, word] != key[word]:
                same = False
                break
        if same:
            return known
        slot = (slot + 1) & (len(kept.places) - 1)
    kept.state[FREE] = slot
    return -1


@inline
def _begin(kept: Any, slot: int) -> None:
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


@inline
def _end_step(kept: Any, levels: Any) -> None:
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
        same = length == begin - before and length <= levels[0, WAYS]
        same = same and levels[0, REPEATS] == 1
        for number in range(length if same else 0):
            same = same and kept.lookups[begin + number] == kept.lookups[before + number]
        if same:
            kept.state[USED_LOOKUPS] = begin
            kept.runs[used - 1, TIMES] += 1
            return
    if used >= len(kept.runs):
        kept.state[RECORDER] = GIVEN_UP
        return
    kept.runs[used, TIMES], kept.runs[used, END] = 1, kept.state[USED_LOOKUPS]
    kept.state[USED_RUNS] = used + 1


@jit
def _replay(
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
    count: int,
) -> int:
    """Up to `left` steps of a recorded body; returns how many.

    A turn begins a run with real look-ups, as other units may have moved lines meanwhile.
    """
    passed, bases = running_at.passed, running_at.bases
    begin, total = passed[slot], kept.rows[known, BODY]
    steps = min(left, total - begin)
    whole = begin == 0 and steps == total
    if begin == 0:
        running_at.run[slot], running_at.in_run[slot] = kept.rows[known, RUNS], 0
    run, in_run, todo = running_at.run[slot], running_at.in_run[slot], steps
    while todo > 0:
        place = (
            kept.rows[known, LOOKUPS] if run == kept.rows[known, RUNS] else kept.runs[run - 1, END]
        )
        times = min(todo, kept.runs[run, TIMES] - in_run)
        for lookup in range(place, kept.runs[run, END]):
            code = kept.lookups[lookup]
            tensor = code >> 1 & (TENSORS - 1)
            line = (code >> 13) + bases[slot * count + tensor]
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
                window,
            )
            if not whole:
                stats[window, 0, tensor, WRITES if code & 1 else READS] += times
        todo -= times
        in_run += times
        if in_run == kept.runs[run, TIMES]:
            run, in_run = run + 1, 0
    if whole:
        for tensor in range(count):
            stats[window, 0, tensor, READS] += kept.totals[known, tensor, 0]
            stats[window, 0, tensor, WRITES] += kept.totals[known, tensor, 1]
    running_at.run[slot], running_at.in_run[slot] = run, in_run
    passed[slot] = begin + steps
    return int(steps)


@inline
def _to_the_end(loops: Any, unit: Any, lo: Any, hi: Any, first: int) -> None:
    """Put the loops from `first` inwards at their last steps."""
    for loop in range(first, len(loops)):
        parent, dim = loops[loop, PARENT], loops[loop, DIM]
        begin = unit[dim, 0] if parent < 0 else lo[parent]
        end = unit[dim, 1] if parent < 0 else hi[parent]
        lo[loop] = begin + (end - begin - 1) // loops[loop, TILE] * loops[loop, TILE]
        hi[loop] = min(lo[loop] + loops[loop, TILE], end)


@jit
def _skip(
    caches: Any,
    loops: Any,
    accesses: Any,
    warps: Any,
    loop: int,
    unit: Any,
    lo: Any,
    hi: Any,
    boxes: Any,
    slot: int,
    step: int,
    stats: Any,
    steps: Any,
    work: Any,
    window: int,
) -> bool:
    """An iteration of a loop begins: go on behind those that only repeat the ones before.

    Returns whether these were all, so that the loops are at the end of the last one.
    """
    tags, levels, starts, _, _ = caches
    tensors, axes, _ = accesses
    dim, tile, parent = loops[loop, DIM], loops[loop, TILE], loops[loop, PARENT]
    end = unit[dim, 1] if parent < 0 else hi[parent]
    skipped = warp(
        tags,
        levels,
        starts,
        warps,
        loop,
        dim,
        tile,
        end,
        tensors,
        axes,
        unit,
        lo,
        hi,
        step,
        steps,
        work,
        stats,
        window,
        slot,
    )
    if skipped == 0:
        return False
    for tensor in range(len(tensors)):
        row = slot * len(tensors) + tensor
        for axis in range(max(0, tensors[tensor, AXES])):
            for term in range(TERMS, axes.shape[2], 2):
                if axes[tensor, axis, term] == dim:
                    moved = axes[tensor, axis, term + 1] * tile * skipped
                    boxes[row, axis, LOW] += moved
                    boxes[row, axis, HIGH] += moved
                    if boxes[row, axis, GAP]:
                        boxes[row, axis, PHASE] += moved
    lo[loop] += skipped * tile
    hi[loop] = min(lo[loop] + tile, end)
    if lo[loop] >= end:
        _to_the_end(loops, unit, lo, hi, loop)
        return True
    _restart(loops, unit, lo, hi, loop + 1)
    return False


@jit
def walk(
    caches: Any,
    schedule: Any,
    accesses: Any,
    turns: Any,
    running_at: Any,
    kept: Any,
    warps: Any,
    stats: Any,
    steps: Any,
    work: Any,
) -> None:
    """Run every unit, `parallel` at a time, taking turns of `quantum` steps.

    It adds to stats, steps and work.
    """
    tags, levels, starts, line_shift, crowds = caches
    loops, deep, units = schedule
    tensors, axes, moves = accesses
    lows, highs, boxes, valid, at, taken, moved, bases = running_at[:8]
    playing, passed = running_at.playing, running_at.passed
    total, count, parallel = units.shape[0], len(tensors), turns.parallel
    new = parallel * count
    # typed, as each literal is a compilation of its own
    one, everything = np.int64(1), np.int64(-1)
    for batch in range(-(-total // parallel)):
        window = turns.batch_window[batch]
        slots = 0 if window == SKIP_BATCH else min(parallel, total - batch * parallel)
        outermost = np.int64(0)
        for slot in range(slots):
            _restart(loops, units[batch * parallel + slot], lows[slot], highs[slot], outermost)
            moved[slot], taken[slot], playing[slot] = 0, 0, -1
        for row in range(new):
            valid[row] = False
        warps.memory[:, KNOWN] = 0
        running = slots
        while running > 0:
            for slot in range(slots):
                if moved[slot] < 0:
                    continue
                member = batch * parallel + slot
                unit, lo, hi = units[member], lows[slot], highs[slot]
                step, outermost = taken[slot], moved[slot]
                left = turns.quantum
                while left > 0:
                    known = playing[slot]
                    if known >= 0:
                        played = _replay(
                            kept,
                            known,
                            left,
                            running_at,
                            slot,
                            tags,
                            levels,
                            starts,
                            crowds,
                            line_shift,
                            stats,
                            window,
                            count,
                        )
                        left -= played
                        step += played
                        steps[window] += played
                        if passed[slot] < kept.rows[known, BODY]:
                            break
                        for kind in range(3):
                            work[member, kind] += kept.rows[known, WORK + kind]
                        playing[slot] = -1
                        _to_the_end(loops, unit, lo, hi, kept.first)
                        for tensor in range(count):
                            if tensors[tensor, AXES] >= 0:
                                row = slot * count + tensor
                                _box(
                                    tensors,
                                    axes,
                                    moves,
                                    tensor,
                                    deep,
                                    unit,
                                    lo,
                                    hi,
                                    boxes,
                                    row,
                                    row,
                                    everything,
                                )
                    else:
                        left -= 1
                        recording = kept.state[RECORDER] == slot
                        steps[window] += 1
                        iterations = _vector_iterations(
                            deep, unit, lo, hi, turns.vector_dim, turns.lanes_shift
                        )
                        work[member, ITERATIONS] += iterations
                        if recording:
                            kept.rows[kept.state[RECORDED], WORK + ITERATIONS] += iterations
                        for tensor in range(count):
                            row = slot * count + tensor
                            if tensors[tensor, AXES] < 0:
                                continue
                            if valid[row] and not moves[tensor, axes.shape[1], outermost]:
                                continue
                            words = _box(
                                tensors,
                                axes,
                                moves,
                                tensor,
                                deep,
                                unit,
                                lo,
                                hi,
                                boxes,
                                row,
                                new,
                                outermost if valid[row] else -1,
                            )
                            if words < 0:
                                continue
                            output = tensors[tensor, IS_OUTPUT]
                            for store in range(1, -1, -1):
                                if (store and not (output and valid[row])) or (
                                    not store and output and _first_visit(loops, unit, lo)
                                ):
                                    continue
                                vectors = _touch_box(
                                    tags,
                                    levels,
                                    starts,
                                    crowds,
                                    line_shift,
                                    tensors,
                                    axes,
                                    turns.vector_shift,
                                    slot,
                                    tensor,
                                    boxes,
                                    row if store else new,
                                    at,
                                    store,
                                    stats,
                                    window,
                                    kept,
                                    bases[row],
                                    recording,
                                )
                                counted = (
                                    vectors if output or tensors[tensor, VECTORISED] else words
                                )
                                work[member, STORES if store else LOADS] += counted
                                if recording:
                                    kept.rows[
                                        kept.state[RECORDED], WORK + (STORES if store else LOADS)
                                    ] += counted
                            for axis in range(tensors[tensor, AXES]):
                                for column in range(BOX):
                                    boxes[row, axis, column] = boxes[new, axis, column]
                            valid[row] = True
                        step += 1
                        if recording:
                            _end_step(kept, levels)
                        elif kept.first < len(loops) and (step == 1 or outermost < kept.first):
                            known = _key(
                                kept,
                                tensors,
                                axes,
                                loops,
                                line_shift,
                                unit,
                                lo,
                                hi,
                                bases,
                                slot * count,
                            )
                            if known >= 0 and kept.rows[known, BODY] >= 0:
                                playing[slot], passed[slot] = known, 0
                                continue
                            if known < 0:
                                _begin(kept, slot)
                    outermost = _advance(loops, unit, lo, hi)
                    if kept.state[RECORDER] == slot and outermost < kept.first:
                        kept.rows[kept.state[RECORDED], BODY] = kept.state[RECORDED_STEPS]
                        kept.state[RECORDER] = NOBODY
                    while warps.on and outermost >= 0 and outermost < kept.first:
                        before = steps[window]
                        at_the_end = _skip(
                            caches,
                            loops,
                            accesses,
                            warps,
                            outermost,
                            unit,
                            lo,
                            hi,
                            boxes,
                            slot,
                            step,
                            stats,
                            steps,
                            work[member],
                            window,
                        )
                        step += steps[window] - before
                        if not at_the_end:
                            break
                        outermost = _advance(loops, unit, lo, hi)
                    if outermost < 0:
                        running -= 1
                        for tensor in range(count):
                            row = slot * count + tensor
                            if tensors[tensor, IS_OUTPUT] and valid[row]:
                                work[member, STORES] += _touch_box(
                                    tags,
                                    levels,
                                    starts,
                                    crowds,
                                    line_shift,
                                    tensors,
                                    axes,
                                    turns.vector_shift,
                                    slot,
                                    tensor,
                                    boxes,
                                    row,
                                    at,
                                    one,
                                    stats,
                                    window,
                                    kept,
                                    bases[row],
                                    kept.state[RECORDER] == slot,
                                )
                        break
                taken[slot], moved[slot] = step, outermost
