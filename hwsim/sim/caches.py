"""Implicit memories: the lines that a nest's own loads and stores touch, through set-associative LRU caches.

Compiled with Numba. A `unit` is a core or a thread block: it walks the temporal loops outside the boundary level
(registers on a CPU, shared memory on a GPU) over its own chunk of the dims, and at every step loads the tiles that
changed, line by line, and stores the output tile when it moves on. Units that run at the same time take turns.
Caches are write-back, write-allocate, LRU, neither inclusive nor exclusive: a line evicted dirty is written to the
next level. Lines may be fetched on a write miss or not.

Tables are plain integer arrays whose columns are named here: passing one array to a compiled function is free,
passing a structure of many is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from hwsim.compiled import use_writable_cache

use_writable_cache()

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# stats[window, level (DRAM last), tensor, kind]
READS, WRITES, MISSES, WRITEBACKS = 0, 1, 2, 3
# levels[level]: where it starts in tags, its sets and ways, one copy per unit?, a write miss fetches?, copies,
# are the sets a power of two? (64-bit division costs as much as the rest of a look-up)
OFFSET, SETS, WAYS, PRIVATE, FETCH, COPIES, IS_POWER = 0, 1, 2, 3, 4, 5, 6
# loops[loop]: dim, tile, the loop outside on the same dim (-1: the unit's chunk), a dim the output lacks?
DIM, TILE, PARENT, REDUCES = 0, 1, 2, 3
# tensors[tensor]: first byte, the contiguous axis, bytes a word, output?, loaded in vectors?, axes; a packed tensor is
# cut along its contiguous axis into blocks of BLOCK words, BLOCK_STRIDE bytes apart
BASE, FAST, WIDTH, IS_OUTPUT, VECTORISED, AXES, BLOCK, BLOCK_STRIDE = 0, 1, 2, 3, 4, 5, 6, 7
# axes[tensor, axis]: words, offset of the index, words touched at once, bytes a step, then (dim, coefficient) pairs
SIZE, SHIFT, EXTENT, STRIDE, TERMS = 0, 1, 2, 3, 4
# work[unit]: vector iterations, load and store instructions
ITERATIONS, LOADS, STORES = 0, 1, 2
SKIP_BATCH, BY_STEPS = -1, -2

# Without Numba's run time (_nrt) no array is reference-counted, which otherwise takes most of the time of functions as
# small as these; in return nothing may be allocated inside them.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
_jit: Any = numba.njit(**_OPTIONS)
_inline: Any = numba.njit(forceinline=True, **_OPTIONS)


class Caches(NamedTuple):
    """tags: all levels' contents, line * 2 + dirty, -1 empty; ages: when each was last used (place 0: the clock).

    starts: each tensor's first line. line_shift: log2 of the bytes of a line.
    """

    tags: npt.NDArray[np.int32]
    ages: Ints
    levels: Ints
    starts: Ints
    line_shift: int


class Schedule(NamedTuple):
    """The temporal loops outside the boundary, the innermost loop of each dim, and the chunks [lo, hi) of every unit.

    panel: the loops from here inwards only reduce; panel_deep: the innermost loop of each dim outside them.
    """

    loops: Ints
    deep: Ints
    units: Ints
    panel: int
    panel_deep: Ints


class Tensors(NamedTuple):
    """moves[tensor, axis, loop]: does any loop from here inwards move the tile along the axis (last: along any)?"""

    tensors: Ints
    axes: Ints
    moves: Flags


class Places(NamedTuple):
    """Where every running unit is: working memory of `walk`, all [slot, ...]."""

    lows: Ints  # [slot, loop]
    highs: Ints  # [slot, loop]
    boxes: Ints  # [slot * tensors + tensor, axis, 2], and one row more to work in
    valid: Flags  # [slot * tensors + tensor]
    at: Ints  # [axis]
    taken: Ints  # steps so far
    moved: Ints  # the outermost loop that moved last, -1: done
    walked_fine: Flags


def places(parallel: int, loops: int, tensors: int, axes: int) -> Places:
    """Working memory for `parallel` units."""
    shape = (parallel, max(loops, 1))
    return Places(np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros((parallel * tensors + 1, axes, 2), np.int64),
                  np.zeros(parallel * tensors, np.bool_), np.zeros(axes, np.int64), np.zeros(parallel, np.int64),
                  np.zeros(parallel, np.int64), np.ones(parallel, np.bool_))


class Turns(NamedTuple):
    """How units share the machine, how wide vectors are (log2 of bytes and of words), and which steps count.

    batch_window[batch]: SKIP_BATCH, BY_STEPS, or the window it counts in. windows[window]: first step walked one by
    one, first not. The steps between windows are walked panel by panel: the tiles of all inner reduction loops at once.
    """

    parallel: int
    quantum: int
    vector_shift: int
    vector_dim: int
    lanes_shift: int
    batch_window: Ints
    windows: Ints


@_inline
def _probe(tags: Any, ages: Any, first: Any, ways: int, line: int, dirty: int) -> bool:
    """Look a line up in one set; on a hit it becomes the youngest. ages[0] is the clock.

    Places are unsigned: a signed index costs a test for counting from the end.
    """
    for place in range(first, first + np.uintp(ways)):
        if tags[place] >> 1 == line:
            tags[place] |= dirty
            ages[0] += 1
            ages[place] = ages[0]
            return True
    return False


@_inline
def _insert(tags: Any, ages: Any, first: Any, ways: int, line: int, dirty: int) -> int:
    """Put a line in the place of the set's oldest and return what was there (-1: nothing)."""
    low = ages[first]
    for place in range(first, first + np.uintp(ways)):
        low = min(low, ages[place])
    oldest = first
    for place in range(first, first + np.uintp(ways)):
        if ages[place] == low:
            oldest = place
            break
    victim: int = tags[oldest]
    tags[oldest] = (line << 1) | dirty
    ages[0] += 1
    ages[oldest] = ages[0]
    return victim


@_inline
def _set_of(levels: Any, level: int, slot: int, line: int) -> Any:
    sets = levels[level, SETS]
    index = line & (sets - 1) if levels[level, IS_POWER] else line % sets
    return np.uintp(levels[level, OFFSET] + (slot * levels[level, PRIVATE] * sets + index) * levels[level, WAYS])


@_inline
def _owner(starts: Any, line: int) -> int:
    tensor = 0
    for candidate in range(1, len(starts)):
        if line >= starts[candidate]:
            tensor = candidate
    return tensor


@_inline
def _write_back(tags: Any, ages: Any, levels: Any, starts: Any, level: int, slot: int, line: int, stats: Any, window: int) -> None:
    """A dirty line leaves the level above: it lands in `level`, or in DRAM below the last."""
    last = len(levels)
    while level < last:
        stats[window, level, _owner(starts, line), WRITES] += 1
        first = _set_of(levels, level, slot, line)
        if _probe(tags, ages, first, levels[level, WAYS], line, 1):
            return
        victim = _insert(tags, ages, first, levels[level, WAYS], line, 1)
        if victim < 0 or victim & 1 == 0:
            return
        line = victim >> 1
        stats[window, level, _owner(starts, line), WRITEBACKS] += 1
        level += 1
    stats[window, last, _owner(starts, line), WRITES] += 1


@_inline
def _miss(tags: Any, ages: Any, levels: Any, starts: Any, slot: int, line: int, write: int, tensor: int, stats: Any, window: int) -> None:
    """A line that the first level lacks: fetched from the nearest level that has it, into all before it."""
    last = len(levels)
    dirty = write
    for level in range(last):
        if level > 0:
            stats[window, level, tensor, READS] += 1
        first = _set_of(levels, level, slot, line)
        if level > 0 and _probe(tags, ages, first, levels[level, WAYS], line, 0):
            return
        stats[window, level, tensor, MISSES] += 1
        victim = _insert(tags, ages, first, levels[level, WAYS], line, dirty)
        if victim >= 0 and victim & 1:
            stats[window, level, _owner(starts, victim >> 1), WRITEBACKS] += 1
            _write_back(tags, ages, levels, starts, level + 1, slot, victim >> 1, stats, window)
        if write and not levels[level, FETCH]:
            return
        dirty = write = 0
    stats[window, last, tensor, READS] += 1


@_inline
def _touch(tags: Any, ages: Any, levels: Any, starts: Any, slot: int, line: int, write: int, tensor: int, stats: Any, window: int) -> None:
    """One load or store of a line."""
    stats[window, 0, tensor, WRITES if write else READS] += 1
    if not _probe(tags, ages, _set_of(levels, 0, slot, line), levels[0, WAYS], line, write):
        _miss(tags, ages, levels, starts, slot, line, write, tensor, stats, window)


@_inline
def _box(tensors: Any, axes: Any, moves: Any, tensor: int, deep: Any, unit: Any, lo: Any, hi: Any, boxes: Any, row: int, new: int,
         outermost: int) -> int:
    """Put a tensor's tile, coordinates [low, high) on each axis without padding, into boxes[new].

    Only axes that the loops from `outermost` inwards move are worked out, the others taken from boxes[row]
    (outermost -1: all). Returns the words of the tile, or -1 when it is the one in boxes[row].
    """
    words, changed = 1, outermost < 0
    for axis in range(tensors[tensor, AXES]):
        if outermost >= 0 and not moves[tensor, axis, outermost]:
            low, high = boxes[row, axis, 0], boxes[row, axis, 1]
        else:
            low = axes[tensor, axis, SHIFT]
            high = low + axes[tensor, axis, EXTENT]
            for term in range(TERMS, axes.shape[2], 2):
                dim, coefficient = axes[tensor, axis, term], axes[tensor, axis, term + 1]
                if dim < 0:
                    break
                loop = deep[dim]
                low += coefficient * (unit[dim, 0] if loop < 0 else lo[loop])
                high += coefficient * ((unit[dim, 1] if loop < 0 else hi[loop]) - 1)
            low, high = max(low, 0), min(high, axes[tensor, axis, SIZE])
            changed = changed or low != boxes[row, axis, 0] or high != boxes[row, axis, 1]
        boxes[new, axis, 0], boxes[new, axis, 1] = low, high
        words *= max(0, high - low)
    return words if changed else -1


@_inline
def _touch_box(tags: Any, ages: Any, levels: Any, starts: Any, line_shift: int, tensors: Any, axes: Any, vector_shift: int, slot: int,
               tensor: int, boxes: Any, box: int, at: Any, write: int, stats: Any, window: int) -> int:
    """Every line of the tile boxes[box], one contiguous run at a time; returns the vector accesses that takes."""
    count, fast, block = tensors[tensor, AXES], tensors[tensor, FAST], tensors[tensor, BLOCK]
    rows = tensors[tensor, BASE]
    for axis in range(count):
        if boxes[box, axis, 1] <= boxes[box, axis, 0]:
            return 0
        at[axis] = boxes[box, axis, 0]
        if axis != fast:
            rows += at[axis] * axes[tensor, axis, STRIDE]
    first, last, size = boxes[box, fast, 0], boxes[box, fast, 1], axes[tensor, fast, SIZE]
    vectors = 0
    while True:
        start = first
        while start < last:
            number = 0 if block >= size else start // block
            end = min((number + 1) * block, last)
            address = rows + number * tensors[tensor, BLOCK_STRIDE] + (start - number * block) * tensors[tensor, WIDTH]
            run = (end - start) * tensors[tensor, WIDTH]
            vectors += -(-run >> vector_shift)
            for line in range(address >> line_shift, (address + run - 1 >> line_shift) + 1):
                _touch(tags, ages, levels, starts, slot, line, write, tensor, stats, window)
            start = end
        axis = count - 1
        while axis >= 0:
            if axis != fast:
                at[axis] += 1
                rows += axes[tensor, axis, STRIDE]
                if at[axis] < boxes[box, axis, 1]:
                    break
                rows -= (at[axis] - boxes[box, axis, 0]) * axes[tensor, axis, STRIDE]
                at[axis] = boxes[box, axis, 0]
            axis -= 1
        if axis < 0:
            return vectors


@_inline
def _restart(loops: Any, unit: Any, lo: Any, hi: Any, first: int) -> None:
    """Put the loops from `first` inwards at their beginning."""
    for loop in range(first, len(loops)):
        parent, dim = loops[loop, PARENT], loops[loop, DIM]
        lo[loop] = unit[dim, 0] if parent < 0 else lo[parent]
        hi[loop] = min(lo[loop] + loops[loop, TILE], unit[dim, 1] if parent < 0 else hi[parent])


@_inline
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


@_inline
def _vector_iterations(deep: Any, unit: Any, lo: Any, hi: Any, vector_dim: int, lanes_shift: int) -> int:
    """Executions of the statement at this step, one vector at a time."""
    total = 1
    for dim in range(len(deep)):
        loop = deep[dim]
        length = (unit[dim, 1] - unit[dim, 0]) if loop < 0 else hi[loop] - lo[loop]
        total *= -(-length >> lanes_shift) if dim == vector_dim else length
    return total


@_inline
def _first_visit(loops: Any, unit: Any, lo: Any) -> bool:
    """True while every reduction loop is at its beginning: the output tile starts from zero."""
    for loop in range(len(loops)):
        if loops[loop, REDUCES]:
            parent = loops[loop, PARENT]
            if lo[loop] != (unit[loops[loop, DIM], 0] if parent < 0 else lo[parent]):
                return False
    return True


@_jit
def walk(caches: Any, schedule: Any, accesses: Any, turns: Any, running_at: Any, stats: Any, steps: Any, work: Any) -> None:
    """Run every unit, `parallel` at a time, taking turns of `quantum` steps; adds to stats, steps and work.

    The last window and the last row of work take the steps walked panel by panel.
    """
    tags, ages, levels, starts, line_shift = caches
    loops, deep, units, panel, panel_deep = schedule
    tensors, axes, moves = accesses
    lows, highs, boxes, valid, at, taken, moved, walked_fine = running_at
    total, count, parallel = units.shape[0], len(tensors), turns.parallel
    new = parallel * count
    for batch in range(-(-total // parallel)):
        fixed = turns.batch_window[batch]
        slots = 0 if fixed == SKIP_BATCH else min(parallel, total - batch * parallel)
        for slot in range(slots):
            _restart(loops, units[batch * parallel + slot], lows[slot], highs[slot], 0)
            moved[slot], taken[slot], walked_fine[slot] = 0, 0, True
        for row in range(new):
            valid[row] = False
        running = slots
        while running > 0:
            for slot in range(slots):
                if moved[slot] < 0:
                    continue
                member = batch * parallel + slot
                unit, lo, hi = units[member], lows[slot], highs[slot]
                window, step, outermost = max(fixed, 0), taken[slot], moved[slot]
                for _ in range(turns.quantum):
                    fine = True
                    if fixed == BY_STEPS:
                        while window < len(turns.windows) and step >= turns.windows[window, 1]:
                            window += 1
                        fine = window < len(turns.windows) and step >= turns.windows[window, 0]
                    target, worker = (window, member) if fine else (len(stats) - 1, total)
                    if fine:
                        steps[target] += 1
                        work[worker, ITERATIONS] += _vector_iterations(deep, unit, lo, hi, turns.vector_dim, turns.lanes_shift)
                    if fine != walked_fine[slot]:
                        walked_fine[slot] = fine
                        for tensor in range(count):
                            valid[slot * count + tensor] = valid[slot * count + tensor] and tensors[tensor, IS_OUTPUT]
                    for tensor in range(count):
                        row = slot * count + tensor
                        if tensors[tensor, AXES] < 0 or (not fine and valid[row] and outermost >= panel):
                            continue
                        if valid[row] and not moves[tensor, axes.shape[1], outermost]:
                            continue
                        words = _box(tensors, axes, moves, tensor, deep if fine else panel_deep, unit, lo, hi, boxes, row, new,
                                     outermost if valid[row] else -1)
                        if words < 0:
                            continue
                        output = tensors[tensor, IS_OUTPUT]
                        for store in range(1, -1, -1):
                            if (store and not (output and valid[row])) or (not store and output and _first_visit(loops, unit, lo)):
                                continue
                            vectors = _touch_box(tags, ages, levels, starts, line_shift, tensors, axes, turns.vector_shift,
                                                 slot, tensor, boxes, row if store else new, at, store, stats, target)
                            counted = vectors if output or tensors[tensor, VECTORISED] else words
                            work[worker, STORES if store else LOADS] += counted
                        for axis in range(tensors[tensor, AXES]):
                            boxes[row, axis, 0], boxes[row, axis, 1] = boxes[new, axis, 0], boxes[new, axis, 1]
                        valid[row] = True
                    step += 1
                    outermost = _advance(loops, unit, lo, hi)
                    if outermost < 0:
                        running -= 1
                        for tensor in range(count):
                            row = slot * count + tensor
                            if tensors[tensor, IS_OUTPUT] and valid[row]:
                                work[worker, STORES] += _touch_box(tags, ages, levels, starts, line_shift, tensors, axes,
                                                                   turns.vector_shift, slot, tensor, boxes, row, at, 1, stats, target)
                        break
                taken[slot], moved[slot] = step, outermost


@_jit
def flush(caches: Any, stats: Any) -> None:
    """Write every dirty line down to DRAM, first level first; lines stay, clean. stats [1, level, tensor, kind]."""
    window = 0
    tags, ages, levels, starts, _ = caches
    for level in range(len(levels)):
        size = levels[level, SETS] * levels[level, WAYS]
        begin = levels[level, OFFSET]
        for place in range(begin, begin + levels[level, COPIES] * size):
            if tags[place] >= 0 and tags[place] & 1:
                line = tags[place] >> 1
                tags[place] &= ~1
                stats[window, level, _owner(starts, line), WRITEBACKS] += 1
                _write_back(tags, ages, levels, starts, level + 1, (place - begin) // size, line, stats, window)
