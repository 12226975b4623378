"""A nest's loads and stores, step by step, into the caches.

Compiled with Numba. A `unit` is a core or a thread block: it walks the temporal loops outside the
boundary level (registers on a CPU, shared memory on a GPU) over its own chunk of the dims, and at
every step loads the tiles that changed, line by line, and stores the output tile when it moves on.
Units that run at the same time take turns.

What inner loops touch is recorded and then replayed (hwsim.timing.caches.stretches).
Whole iterations of outer loops that repeat each other are skipped (hwsim.timing.caches.warping).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.timing.caches.look_ups import (
    READS,
    WRITES,
    Ints,
    inline,
    jit,
    window_of,
)
from hwsim.timing.caches.sets import touch
from hwsim.timing.caches.stretches import (
    BODY,
    NOBODY,
    RECORDED,
    RECORDED_STEPS,
    RECORDER,
    WORK,
    begin,
    end_step,
    keep,
    key_of,
    pick,
    replay,
)
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
    run: Ints  # [slot]: the run of it that is played, counted from its first
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
    groups: Any,
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
                kind = WRITES if write else READS
                stats[window, 0, tensor, kind] += 1
                own = window_of(groups, line, window)
                if own > window:
                    stats[window + 1, 0, tensor, kind] += 1
                if own >= 0:
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
                        own,
                    )
                if recording:
                    keep(kept, line - base, tensor, write)
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
    tags, levels, starts, _, _, groups = caches
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
        groups,
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
    picked: Any,
    warps: Any,
    stats: Any,
    steps: Any,
    work: Any,
) -> None:
    """Run every unit, `parallel` at a time, taking turns of `quantum` steps.

    It adds to stats, steps and work.
    """
    tags, levels, starts, line_shift, crowds, groups = caches
    loops, deep, units = schedule
    tensors, axes, moves = accesses
    lows, highs, boxes, valid, at, taken, moved, bases = running_at[:8]
    playing, passed = running_at.playing, running_at.passed
    total, count, parallel = units.shape[0], len(tensors), turns.parallel
    new, sampled = parallel * count, len(groups) > 0
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
                        if sampled:
                            known = pick(kept, picked, known, bases, slot * count, groups)
                        played = replay(
                            picked if sampled else kept,
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
                            groups,
                            count,
                        )
                        left -= played
                        step += played
                        steps[window] += played
                        known = playing[slot]
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
                                    groups,
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
                            end_step(kept, levels)
                        elif kept.first < len(loops) and (step == 1 or outermost < kept.first):
                            known = key_of(
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
                                begin(kept, slot)
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
                                    groups,
                                    kept,
                                    bases[row],
                                    kept.state[RECORDER] == slot,
                                )
                        break
                taken[slot], moved[slot] = step, outermost
