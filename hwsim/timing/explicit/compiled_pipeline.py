"""The engine's events in compiled code, resumed in the same order as SimPy resumes them.

hwsim.timing.explicit.pipeline is the definition, written in SimPy's words; this is what runs layers
of many thousands of tiles. Events wait in a heap by (time, urgent first, order of scheduling); an
event that has happened is not waited for; a request of the bus is granted at once when nobody holds
it, else when the holder's release is processed, first come first served.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.compiled import kernel

LOADED, USED, FREE = 0, 1, 2  # a tile's events
TRIGGERED, PROCESSED = 1, 2  # what has become of an event
# what an entry of the heap does
BEGIN, RESUME, DEPART, ARRIVE, HAPPEN, GRANT, RELEASE = 0, 1, 2, 3, 4, 5, 6
SIZE, ORDER, INDEX = 0, 1, 2  # of the heap, of schedulings, of what is waited for
HEAD, LENGTH, HELD = 0, 1, 2  # of a bus' queue; whether somebody has the bus
SLOT, MOVED = 0, 1  # what a load or store is before: its slot or tile, or the end of its transfer
# what the steps are before: a mark's tiles, its end, the last writes, the end of a gap
TILES, SPAN, DRAIN, GAP = 0, 1, 2, 3
NOBODY = -1
URGENT = 1 << 60  # entries without it come before all others of their time

jit: Any = kernel()


@jit
def _schedule(
    times: Any, heap: Any, n: Any, time: float, order: int, what: int, who: int, tile: int
) -> None:
    """Insert an entry: at a time, in an order, it does something to a process or tile."""
    place = n[SIZE]
    n[SIZE] += 1
    while place > 0:
        parent = (place - 1) >> 1
        if times[parent] < time or (times[parent] == time and heap[parent, 0] < order):
            break
        times[place] = times[parent]
        heap[place] = heap[parent]
        place = parent
    times[place] = time
    heap[place, 0], heap[place, 1], heap[place, 2], heap[place, 3] = order, what, who, tile


@jit
def _soon(times: Any, heap: Any, n: Any, time: float, what: int, who: int, tile: int) -> None:
    n[ORDER] += 1
    _schedule(times, heap, n, time, n[ORDER] + URGENT, what, who, tile)


@jit
def _urgent(times: Any, heap: Any, n: Any, time: float, what: int, who: int, tile: int) -> None:
    n[ORDER] += 1
    _schedule(times, heap, n, time, n[ORDER], what, who, tile)


@jit
def _drop_first(times: Any, heap: Any, n: Any) -> None:
    """Remove the first entry, which the caller has read."""
    n[SIZE] -= 1
    size, place = n[SIZE], 0
    time, order, what, who, tile = (
        times[size],
        heap[size, 0],
        heap[size, 1],
        heap[size, 2],
        heap[size, 3],
    )
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and (
            times[child + 1] < times[child]
            or (times[child + 1] == times[child] and heap[child + 1, 0] < heap[child, 0])
        ):
            child += 1
        if time < times[child] or (time == times[child] and order < heap[child, 0]):
            break
        times[place] = times[child]
        heap[place] = heap[child]
        place = child
    times[place] = time
    heap[place, 0], heap[place, 1], heap[place, 2], heap[place, 3] = order, what, who, tile


@jit
def _happens(times: Any, heap: Any, n: Any, now: float, state: Any, event: int, tile: int) -> None:
    state[event, tile] = TRIGGERED
    _soon(times, heap, n, now, HAPPEN, event, tile)


@jit
def _grant_next(
    times: Any, heap: Any, n: Any, now: float, queue: Any, bus: Any, which: int
) -> None:
    """A bus goes to whoever has waited longest, unless it is held."""
    if not bus[which, HELD] and bus[which, LENGTH]:
        bus[which, HELD] = 1
        _soon(times, heap, n, now, GRANT, queue[which, bus[which, HEAD]], 0)
        bus[which, HEAD] = (bus[which, HEAD] + 1) % queue.shape[1]
        bus[which, LENGTH] -= 1


@jit
def _request(
    times: Any, heap: Any, n: Any, now: float, queue: Any, bus: Any, which: int, process: int
) -> None:
    queue[which, (bus[which, HEAD] + bus[which, LENGTH]) % queue.shape[1]] = process
    bus[which, LENGTH] += 1
    _grant_next(times, heap, n, now, queue, bus, which)


@jit
def _release(times: Any, heap: Any, n: Any, now: float, bus: Any, which: int) -> None:
    bus[which, HELD] = 0
    _soon(times, heap, n, now, RELEASE, which, 0)


@jit
def _load(
    times: Any,
    heap: Any,
    n: Any,
    now: float,
    queue: Any,
    bus: Any,
    which: int,
    at: Any,
    phase: Any,
    state: Any,
    waiter: Any,
    process: int,
    begin: int,
    end: int,
    buffers: int,
    moves: Any,
) -> None:
    """for tile: wait for its slot, move it over the bus, let it arrive"""
    while at[process] < end:
        tile = at[process]
        if phase[process] == SLOT:
            earlier = tile - buffers
            if earlier >= begin and state[FREE, earlier] != PROCESSED:
                waiter[FREE, earlier] = process
                return
            if moves[tile]:
                phase[process] = MOVED
                _request(times, heap, n, now, queue, bus, which, process)
                return
            _happens(times, heap, n, now, state, LOADED, tile)
        else:
            _release(times, heap, n, now, bus, which)
            _urgent(times, heap, n, now, DEPART, 0, tile)
        at[process] += 1
        phase[process] = SLOT


@jit
def _store(
    times: Any,
    heap: Any,
    n: Any,
    now: float,
    queue: Any,
    bus: Any,
    which: int,
    at: Any,
    phase: Any,
    state: Any,
    waiter: Any,
    process: int,
    end: int,
    moves: Any,
) -> None:
    """for tile: wait until it is used up, move it over the bus, free its slot"""
    while at[process] < end:
        tile = at[process]
        if phase[process] == SLOT:
            if state[USED, tile] != PROCESSED:
                waiter[USED, tile] = process
                return
            if moves[tile]:
                phase[process] = MOVED
                _request(times, heap, n, now, queue, bus, which, process)
                return
        else:
            _release(times, heap, n, now, bus, which)
        _happens(times, heap, n, now, state, FREE, tile)
        at[process] += 1
        phase[process] = SLOT


@jit
def _step(
    times: Any,
    heap: Any,
    n: Any,
    now: float,
    at: Any,
    phase: Any,
    state: Any,
    waiter: Any,
    process: int,
    base: Any,
    spans: Any,
    waits: Any,
    wait_at: Any,
    done: Any,
    done_at: Any,
    gaps: Any,
    earliest: Any,
    began_at: Any,
) -> bool:
    """The steps' process: mark by mark, what it waits for and what it lets go of.

    For each mark, wait for its tiles, compute, let go of the tiles used up; then wait for the last
    writes. True at the end.
    """
    while True:
        mark = at[process]
        if phase[process] == DRAIN:
            while n[INDEX] < len(base) - 1 and state[FREE, base[n[INDEX] + 1] - 1] == PROCESSED:
                n[INDEX] += 1
            if n[INDEX] == len(base) - 1:
                return True
            waiter[FREE, base[n[INDEX] + 1] - 1] = process
            return False
        if phase[process] == TILES:
            while n[INDEX] < wait_at[mark + 1] and state[LOADED, waits[n[INDEX]]] == PROCESSED:
                n[INDEX] += 1
            if n[INDEX] < wait_at[mark + 1]:
                waiter[LOADED, waits[n[INDEX]]] = process
                return False
            if now < earliest[0]:
                phase[process] = GAP
                _soon(times, heap, n, now + (earliest[0] - now), RESUME, process, 0)
                return False
            phase[process] = GAP
        if phase[process] == GAP:
            phase[process] = SPAN
            began_at[mark] = now
            _soon(times, heap, n, now + spans[mark], RESUME, process, 0)
            return False
        earliest[0] = now + gaps[mark]
        for number in range(done_at[mark], done_at[mark + 1]):
            _happens(times, heap, n, now, state, USED, done[number])
        at[process] += 1
        phase[process] = TILES
        if at[process] == len(spans):
            phase[process] = DRAIN
            n[INDEX] = 0


@jit
def replay(
    lane_of: Any,
    base: Any,
    buffers: Any,
    time_in: Any,
    time_out: Any,
    moves_in: Any,
    moves_out: Any,
    spans: Any,
    waits: Any,
    wait_at: Any,
    done: Any,
    done_at: Any,
    separate: bool,
    latency: float,
    settle: Any,
    gaps: Any,
    began_in: Any,
    ready: Any,
    began_out: Any,
    freed: Any,
    began_at: Any,
    end_at: Any,
) -> bool:
    """Run the pipeline; True at its end, False if it stops before.

    Notes when transfers and steps began, tiles were ready and their slots free again, and when all
    was over.

    lane_of [tile], base [lane + 1]: tiles of all lanes in one row. spans, gaps [mark]: cycles from
    each mark to the end of its last step, and from there until the next may begin.
    waits[wait_at[mark]: wait_at[mark + 1]]: tiles waited for at a mark; done, done_at: tiles used
    up at its end.
    """
    lanes = len(buffers)
    steps = 2 * lanes  # processes: loads, stores, and the steps
    busses = lanes if separate else 1
    n, bus = np.zeros(3, np.int64), np.zeros((busses, 3), np.int64)
    state, waiter = (
        np.zeros((3, len(lane_of)), np.int8),
        np.full((3, len(lane_of)), NOBODY, np.int64),
    )
    at, phase, queue = (
        np.zeros(steps + 1, np.int64),
        np.zeros(steps + 1, np.int64),
        np.zeros((busses, steps + 1), np.int64),
    )
    most = 64
    for lane in range(lanes):
        # a slot holds one tile, whose events are few
        most += 4 * min(buffers[lane], base[lane + 1] - base[lane]) + 8
    times, heap = np.zeros(most), np.zeros((most, 4), np.int64)
    for lane in range(lanes):
        at[lane] = at[lanes + lane] = base[lane]
        _urgent(times, heap, n, 0.0, BEGIN, lane, 0)
        _urgent(times, heap, n, 0.0, BEGIN, lanes + lane, 0)
    _urgent(times, heap, n, 0.0, BEGIN, steps, 0)
    earliest = np.zeros(1)
    while n[SIZE]:
        now, what, process, tile = times[0], heap[0, 1], heap[0, 2], heap[0, 3]
        _drop_first(times, heap, n)
        if what == RELEASE:
            _grant_next(times, heap, n, now, queue, bus, process)
        elif what == DEPART:
            _soon(times, heap, n, now + (latency + settle[tile]), ARRIVE, 0, tile)
        elif what == ARRIVE:
            _happens(times, heap, n, now, state, LOADED, tile)
        elif what == GRANT:
            if process < lanes:
                began_in[at[process]] = now
                _soon(times, heap, n, now + time_in[at[process]], RESUME, process, 0)
            else:
                began_out[at[process]] = now
                _soon(times, heap, n, now + time_out[at[process]], RESUME, process, 0)
        else:
            if what == HAPPEN:
                state[process, tile] = PROCESSED
                if process == LOADED:
                    ready[tile] = now
                elif process == FREE:
                    freed[tile] = now
                process = waiter[process, tile]
            if process == steps:
                if what == HAPPEN:
                    n[INDEX] += 1
                if _step(
                    times,
                    heap,
                    n,
                    now,
                    at,
                    phase,
                    state,
                    waiter,
                    steps,
                    base,
                    spans,
                    waits,
                    wait_at,
                    done,
                    done_at,
                    gaps,
                    earliest,
                    began_at,
                ):
                    end_at[0] = now
                    return True
            elif process >= lanes:
                which = (process - lanes) % busses
                end = base[process - lanes + 1]
                _store(
                    times,
                    heap,
                    n,
                    now,
                    queue,
                    bus,
                    which,
                    at,
                    phase,
                    state,
                    waiter,
                    process,
                    end,
                    moves_out,
                )
            elif process != NOBODY:
                which, begin, end, slots = (
                    process % busses,
                    base[process],
                    base[process + 1],
                    buffers[process],
                )
                _load(
                    times,
                    heap,
                    n,
                    now,
                    queue,
                    bus,
                    which,
                    at,
                    phase,
                    state,
                    waiter,
                    process,
                    begin,
                    end,
                    slots,
                    moves_in,
                )
    return False
