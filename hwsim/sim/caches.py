"""Implicit memories: the lines that a nest's own loads and stores touch, through set-associative LRU caches.

Compiled with Numba. A `unit` is a core or a thread block: it walks the temporal loops outside the boundary level
(registers on a CPU, shared memory on a GPU) over its own chunk of the dims, and at every step loads the tiles that
changed, line by line, and stores the output tile when it moves on. Units that run at the same time take turns.
Caches are write-back, write-allocate, LRU, neither inclusive nor exclusive: a line evicted dirty is written to the
next level. Lines may be fetched on a write miss or not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

READS, WRITES, MISSES, WRITEBACKS = 0, 1, 2, 3
SKIP, WARM, COUNT = 0, 1, 2
SKIP_BATCH, BY_STEPS = -1, -2

Ints = npt.NDArray[np.int64]
_jit = numba.njit(cache=True, nogil=True, boundscheck=False)


class Caches(NamedTuple):
    """All levels' contents in one array: tags holds line * 2 + dirty, most recent first, -1 empty."""

    tags: Ints
    offset: Ints  # [level] where the level starts in tags
    sets: Ints  # [level]
    ways: Ints  # [level]
    private: npt.NDArray[np.bool_]  # [level] one copy per unit running
    copies: Ints  # [level]
    fetch: npt.NDArray[np.bool_]  # [level] a write miss fetches the line
    first_line: Ints  # [tensor], ascending: where each tensor starts
    line_bytes: int


class Loops(NamedTuple):
    """The temporal loops outside the boundary, outermost first, and the chunk each unit walks."""

    dim: Ints  # [loop]
    tile: Ints  # [loop]
    parent: Ints  # [loop] the loop outside on the same dim, -1: the unit's chunk
    reduces: npt.NDArray[np.bool_]  # [loop] a dim that the output does not have
    deep: Ints  # [dim] the innermost loop on it, -1: none
    units_lo: Ints  # [unit, dim]
    units_hi: Ints  # [unit, dim]


class Tensors(NamedTuple):
    """Affine accesses and addresses, in bytes."""

    moves: npt.NDArray[np.bool_]  # [tensor, loop] does any loop from here inwards move its tile
    terms: Ints  # [tensor, axis, term] dim, -1: none
    coefficients: Ints  # [tensor, axis, term]
    size: Ints  # [tensor, axis]
    shift: Ints  # [tensor, axis]
    extent: Ints  # [tensor, axis]
    base: Ints  # [tensor]
    strides: Ints  # [tensor, axis]
    fast: Ints  # [tensor] the axis that is contiguous
    width: Ints  # [tensor]
    is_output: npt.NDArray[np.bool_]  # [tensor]
    vectorised: npt.NDArray[np.bool_]  # [tensor] loaded in vectors, not broadcast word by word


class Turns(NamedTuple):
    """How units share the machine, and which steps count."""

    parallel: int
    quantum: int
    vector_bytes: int
    vector_dim: int
    lanes: int
    batch_window: Ints  # [batch] SKIP_BATCH, BY_STEPS, or the window it counts in
    windows: Ints  # [window, 3] first step to warm the caches, first to count, first not to


class Tally(NamedTuple):
    """What was seen: filled in by `walk`."""

    stats: Ints  # [window, level (DRAM last), tensor, kind]
    steps: Ints  # [window]
    work: Ints  # [unit, 3] vector iterations, load and store instructions, over the counted steps


@_jit
def _probe(tags: Any, first: int, ways: int, line: int, dirty: int) -> bool:
    """Look a line up in one set; on a hit it becomes the most recent."""
    for way in range(ways):
        found = tags[first + way]
        if found >> 1 == line:
            found |= dirty
            for other in range(way, 0, -1):
                tags[first + other] = tags[first + other - 1]
            tags[first] = found
            return True
        if found < 0:
            return False
    return False


@_jit
def _insert(tags: Any, first: int, ways: int, line: int, dirty: int) -> int:
    """Put a line first in its set and return what falls out (-1: nothing)."""
    victim = tags[first + ways - 1]
    for way in range(ways - 1, 0, -1):
        tags[first + way] = tags[first + way - 1]
    tags[first] = (line << 1) | dirty
    return victim


@_jit
def _set_of(caches: Any, level: int, slot: int, line: int) -> int:
    copy = slot if caches.private[level] else 0
    return caches.offset[level] + (copy * caches.sets[level] + line % caches.sets[level]) * caches.ways[level]


@_jit
def _owner(caches: Any, line: int) -> int:
    tensor = 0
    for candidate in range(1, len(caches.first_line)):
        if line >= caches.first_line[candidate]:
            tensor = candidate
    return tensor


@_jit
def _write_back(caches: Any, level: int, slot: int, line: int, stats: Any) -> None:
    """A dirty line leaves the level above: it lands in `level`, or in DRAM below the last."""
    levels = len(caches.sets)
    while level < levels:
        stats[level, _owner(caches, line), WRITES] += 1
        first = _set_of(caches, level, slot, line)
        if _probe(caches.tags, first, caches.ways[level], line, 1):
            return
        victim = _insert(caches.tags, first, caches.ways[level], line, 1)
        if victim < 0 or victim & 1 == 0:
            return
        line = victim >> 1
        stats[level, _owner(caches, line), WRITEBACKS] += 1
        level += 1
    stats[levels, _owner(caches, line), WRITES] += 1


@_jit
def _touch(caches: Any, slot: int, line: int, write: int, tensor: int, stats: Any) -> None:
    """One load or store of a line, from the first level outwards."""
    levels = len(caches.sets)
    dirty = write
    for level in range(levels):
        stats[level, tensor, WRITES if dirty else READS] += 1
        first = _set_of(caches, level, slot, line)
        if _probe(caches.tags, first, caches.ways[level], line, dirty):
            return
        stats[level, tensor, MISSES] += 1
        victim = _insert(caches.tags, first, caches.ways[level], line, dirty)
        if victim >= 0 and victim & 1:
            stats[level, _owner(caches, victim >> 1), WRITEBACKS] += 1
            _write_back(caches, level + 1, slot, victim >> 1, stats)
        if write and not caches.fetch[level]:
            return
        dirty = 0
    stats[levels, tensor, READS] += 1


@_jit
def _box(tensors: Any, tensor: int, loops: Any, unit: int, lo: Any, hi: Any, box: Any) -> int:
    """The coordinates [low, high) of a tensor's tile on each axis, padding cut off; returns its words."""
    words = 1
    for axis in range(tensors.size.shape[1]):
        low = tensors.shift[tensor, axis]
        high = low + tensors.extent[tensor, axis]
        for term in range(tensors.terms.shape[2]):
            dim = tensors.terms[tensor, axis, term]
            if dim < 0:
                break
            loop = loops.deep[dim]
            first = loops.units_lo[unit, dim] if loop < 0 else lo[loop]
            last = (loops.units_hi[unit, dim] if loop < 0 else hi[loop]) - 1
            low += tensors.coefficients[tensor, axis, term] * first
            high += tensors.coefficients[tensor, axis, term] * last
        box[axis, 0] = max(low, 0)
        box[axis, 1] = min(high, tensors.size[tensor, axis])
        words *= max(0, box[axis, 1] - box[axis, 0])
    return words


@_jit
def _touch_box(caches: Any, tensors: Any, vector_bytes: int, slot: int, tensor: int, box: Any, write: int, stats: Any) -> int:
    """Every line of a tile, one contiguous run at a time; returns the vector accesses that takes."""
    axes = box.shape[0]
    at = np.empty(axes, np.int64)
    for axis in range(axes):
        if box[axis, 1] <= box[axis, 0]:
            return 0
        at[axis] = box[axis, 0]
    fast = tensors.fast[tensor]
    run = (box[fast, 1] - box[fast, 0]) * tensors.width[tensor]
    vectors = 0
    while True:
        address = tensors.base[tensor]
        for axis in range(axes):
            address += at[axis] * tensors.strides[tensor, axis]
        vectors += -(-run // vector_bytes)
        for line in range(address // caches.line_bytes, (address + run - 1) // caches.line_bytes + 1):
            _touch(caches, slot, line, write, tensor, stats)
        axis = axes - 1
        while axis >= 0:
            if axis != fast:
                at[axis] += 1
                if at[axis] < box[axis, 1]:
                    break
                at[axis] = box[axis, 0]
            axis -= 1
        if axis < 0:
            return vectors


@_jit
def _restart(loops: Any, unit: int, lo: Any, hi: Any, first: int) -> None:
    """Put the loops from `first` inwards at their beginning."""
    for loop in range(first, len(loops.dim)):
        parent, dim = loops.parent[loop], loops.dim[loop]
        lo[loop] = loops.units_lo[unit, dim] if parent < 0 else lo[parent]
        end = loops.units_hi[unit, dim] if parent < 0 else hi[parent]
        hi[loop] = min(lo[loop] + loops.tile[loop], end)


@_jit
def _advance(loops: Any, unit: int, lo: Any, hi: Any) -> int:
    """The next step; returns the outermost loop that moved, -1 at the end."""
    for loop in range(len(loops.dim) - 1, -1, -1):
        parent, dim = loops.parent[loop], loops.dim[loop]
        end = loops.units_hi[unit, dim] if parent < 0 else hi[parent]
        start = lo[loop] + loops.tile[loop]
        if start < end:
            lo[loop] = start
            hi[loop] = min(start + loops.tile[loop], end)
            _restart(loops, unit, lo, hi, loop + 1)
            return loop
    return -1


@_jit
def _vector_iterations(loops: Any, turns: Any, unit: int, lo: Any, hi: Any) -> int:
    """Executions of the statement at this step, one vector at a time."""
    total = 1
    for dim in range(len(loops.deep)):
        loop = loops.deep[dim]
        length = (loops.units_hi[unit, dim] - loops.units_lo[unit, dim]) if loop < 0 else hi[loop] - lo[loop]
        total *= -(-length // turns.lanes) if dim == turns.vector_dim else length
    return total


@_jit
def _first_visit(loops: Any, unit: int, lo: Any) -> bool:
    """True while every reduction loop is at its beginning: the output tile starts from zero."""
    for loop in range(len(loops.dim)):
        if loops.reduces[loop]:
            parent = loops.parent[loop]
            if lo[loop] != (loops.units_lo[unit, loops.dim[loop]] if parent < 0 else lo[parent]):
                return False
    return True


@_jit
def _window_of(turns: Any, window: int, step: int) -> int:
    """The window that a step falls in or before."""
    while window < len(turns.windows) and step >= turns.windows[window, 2]:
        window += 1
    return window


@_jit
def _mode(turns: Any, window: int, step: int) -> int:
    if window == len(turns.windows) or step < turns.windows[window, 0]:
        return SKIP
    return WARM if step < turns.windows[window, 1] else COUNT


@_jit
def _load_tiles(caches: Any, loops: Any, tensors: Any, turns: Any, unit: int, slot: int, lo: Any, hi: Any, moved: int,
                boxes: Any, valid: Any, new: Any, stats: Any, work: Any) -> None:
    """One step of one unit: store the output tile that is left, load every tile that changed."""
    for tensor in range(len(tensors.base)):
        if valid[tensor] and not tensors.moves[tensor, moved]:
            continue
        words = _box(tensors, tensor, loops, unit, lo, hi, new)
        old = boxes[tensor]
        if valid[tensor] and (old == new).all():
            continue
        if tensors.is_output[tensor]:
            if valid[tensor]:
                work[2] += _touch_box(caches, tensors, turns.vector_bytes, slot, tensor, old, 1, stats)
            if not _first_visit(loops, unit, lo):
                work[1] += _touch_box(caches, tensors, turns.vector_bytes, slot, tensor, new, 0, stats)
        else:
            vectors = _touch_box(caches, tensors, turns.vector_bytes, slot, tensor, new, 0, stats)
            work[1] += vectors if tensors.vectorised[tensor] else words
        old[:] = new
        valid[tensor] = True


@_jit
def _finish(caches: Any, tensors: Any, turns: Any, slot: int, boxes: Any, valid: Any, stats: Any, work: Any) -> None:
    """Store the last output tile of a unit."""
    for tensor in range(len(tensors.base)):
        if tensors.is_output[tensor] and valid[tensor]:
            work[2] += _touch_box(caches, tensors, turns.vector_bytes, slot, tensor, boxes[tensor], 1, stats)


@_jit
def walk(caches: Any, loops: Any, tensors: Any, turns: Any, tally: Any) -> None:
    """Run every unit, `parallel` at a time, taking turns of `quantum` steps; fills the tally."""
    total, depth = loops.units_lo.shape[0], max(len(loops.dim), 1)
    count, axes = tensors.size.shape
    parallel = turns.parallel
    scratch, scratch_work, new = np.zeros_like(tally.stats[0]), np.zeros(3, np.int64), np.zeros((axes, 2), np.int64)
    lo, hi = np.zeros((parallel, depth), np.int64), np.zeros((parallel, depth), np.int64)
    boxes, valid = np.zeros((parallel, count, axes, 2), np.int64), np.zeros((parallel, count), np.bool_)
    step, moved = np.zeros(parallel, np.int64), np.zeros(parallel, np.int64)
    for batch in range(-(-total // parallel)):
        fixed = turns.batch_window[batch]
        running = 0 if fixed == SKIP_BATCH else min(parallel, total - batch * parallel)
        for slot in range(running):
            _restart(loops, batch * parallel + slot, lo[slot], hi[slot], 0)
            moved[slot], step[slot], valid[slot] = 0, 0, False
        slots = running
        while running > 0:
            for slot in range(slots):
                unit, window = batch * parallel + slot, max(fixed, 0)
                for _ in range(turns.quantum):
                    if moved[slot] < 0:
                        break
                    mode = COUNT
                    if fixed == BY_STEPS:
                        window = _window_of(turns, window, step[slot])
                        mode = _mode(turns, window, step[slot])
                    if mode == SKIP:
                        valid[slot] = False
                    else:
                        stats = tally.stats[window] if mode == COUNT else scratch
                        work = tally.work[unit] if mode == COUNT else scratch_work
                        if mode == COUNT:
                            tally.steps[window] += 1
                            work[0] += _vector_iterations(loops, turns, unit, lo[slot], hi[slot])
                        _load_tiles(caches, loops, tensors, turns, unit, slot, lo[slot], hi[slot], moved[slot],
                                    boxes[slot], valid[slot], new, stats, work)
                    step[slot] += 1
                    moved[slot] = _advance(loops, unit, lo[slot], hi[slot])
                    if moved[slot] < 0:
                        running -= 1
                        last = tally.stats[window] if mode == COUNT else scratch
                        last_work = tally.work[unit] if mode == COUNT else scratch_work
                        _finish(caches, tensors, turns, slot, boxes[slot], valid[slot], last, last_work)


@_jit
def flush(caches: Any, stats: Any) -> None:
    """Write every dirty line down to DRAM, first level first; lines stay, clean."""
    levels = len(caches.sets)
    for level in range(levels):
        size = caches.sets[level] * caches.ways[level]
        for place in range(caches.offset[level], caches.offset[level] + caches.copies[level] * size):
            if caches.tags[place] >= 0 and caches.tags[place] & 1:
                line = caches.tags[place] >> 1
                caches.tags[place] &= ~1
                stats[level, _owner(caches, line), WRITEBACKS] += 1
                if level + 1 == levels:
                    stats[levels, _owner(caches, line), WRITES] += 1
                else:
                    _write_back(caches, level + 1, (place - caches.offset[level]) // size, line, stats)
