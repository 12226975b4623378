"""The engine's events in compiled code: the same processes, resumed in the same order as SimPy resumes them.

hwsim.sim.engine is the definition, written in SimPy's words; this is what runs layers of many thousands of tiles. Events
wait in a heap by (time, urgent first, order of scheduling); an event that has happened is not waited for; a request of
the bus is granted at once when nobody holds it, else when the holder's release is processed, first come first served.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

LOADED, USED, FREE = 0, 1, 2  # a tile's events
TRIGGERED, PROCESSED = 1, 2  # what has become of an event
BEGIN, RESUME, DEPART, ARRIVE, HAPPEN, GRANT, RELEASE = 0, 1, 2, 3, 4, 5, 6  # what an entry of the heap does
SIZE, ORDER, HEAD, LENGTH, HELD, INDEX = 0, 1, 2, 3, 4, 5  # of the heap, of schedulings, of the bus' queue, of what is waited for
SLOT, MOVED = 0, 1  # what a load or store is before: its slot or tile, or the end of its transfer
TILES, SPAN, DRAIN = 0, 1, 2  # what the steps are before: a mark's tiles, the mark's end, the last writes
NOBODY = -1
URGENT = 1 << 60  # entries without it come before all others of their time

_jit: Any = numba.njit(cache=True)


@_jit
def _schedule(times: Any, heap: Any, n: Any, time: float, order: int, what: int, who: int, tile: int) -> None:
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


@_jit
def _soon(times: Any, heap: Any, n: Any, time: float, what: int, who: int, tile: int) -> None:
    n[ORDER] += 1
    _schedule(times, heap, n, time, n[ORDER] + URGENT, what, who, tile)


@_jit
def _urgent(times: Any, heap: Any, n: Any, time: float, what: int, who: int, tile: int) -> None:
    n[ORDER] += 1
    _schedule(times, heap, n, time, n[ORDER], what, who, tile)


@_jit
def _drop_first(times: Any, heap: Any, n: Any) -> None:
    """Remove the first entry, which the caller has read."""
    n[SIZE] -= 1
    size, place = n[SIZE], 0
    time, order, what, who, tile = times[size], heap[size, 0], heap[size, 1], heap[size, 2], heap[size, 3]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and (
            times[child + 1] < times[child] or (times[child + 1] == times[child] and heap[child + 1, 0] < heap[child, 0])
        ):
            child += 1
        if time < times[child] or (time == times[child] and order < heap[child, 0]):
            break
        times[place] = times[child]
        heap[place] = heap[child]
        place = child
    times[place] = time
    heap[place, 0], heap[place, 1], heap[place, 2], heap[place, 3] = order, what, who, tile


@_jit
def _happens(times: Any, heap: Any, n: Any, now: float, state: Any, event: int, tile: int) -> None:
    state[event, tile] = TRIGGERED
    _soon(times, heap, n, now, HAPPEN, event, tile)


@_jit
def _grant_next(times: Any, heap: Any, n: Any, now: float, queue: Any) -> None:
    """The bus goes to whoever has waited longest, unless it is held."""
    if not n[HELD] and n[LENGTH]:
        n[HELD] = 1
        _soon(times, heap, n, now, GRANT, queue[n[HEAD]], 0)
        n[HEAD] = (n[HEAD] + 1) % len(queue)
        n[LENGTH] -= 1


@_jit
def _request(times: Any, heap: Any, n: Any, now: float, queue: Any, process: int) -> None:
    queue[(n[HEAD] + n[LENGTH]) % len(queue)] = process
    n[LENGTH] += 1
    _grant_next(times, heap, n, now, queue)


@_jit
def _release(times: Any, heap: Any, n: Any, now: float) -> None:
    n[HELD] = 0
    _soon(times, heap, n, now, RELEASE, 0, 0)


@_jit
def _load(
    times: Any,
    heap: Any,
    n: Any,
    now: float,
    queue: Any,
    at: Any,
    phase: Any,
    state: Any,
    waiter: Any,
    process: int,
    begin: int,
    end: int,
    buffers: int,
    sizes: Any,
) -> None:
    """for tile: wait for its slot, move it over the bus, let it arrive"""
    while at[process] < end:
        tile = at[process]
        if phase[process] == SLOT:
            earlier = tile - buffers
            if earlier >= begin and state[FREE, earlier] != PROCESSED:
                waiter[FREE, earlier] = process
                return
            if sizes[tile]:
                phase[process] = MOVED
                _request(times, heap, n, now, queue, process)
                return
            _happens(times, heap, n, now, state, LOADED, tile)
        else:
            _release(times, heap, n, now)
            _urgent(times, heap, n, now, DEPART, 0, tile)
        at[process] += 1
        phase[process] = SLOT


@_jit
def _store(
    times: Any, heap: Any, n: Any, now: float, queue: Any, at: Any, phase: Any, state: Any, waiter: Any, process: int, end: int, sizes: Any
) -> None:
    """for tile: wait until it is used up, move it over the bus, free its slot"""
    while at[process] < end:
        tile = at[process]
        if phase[process] == SLOT:
            if state[USED, tile] != PROCESSED:
                waiter[USED, tile] = process
                return
            if sizes[tile]:
                phase[process] = MOVED
                _request(times, heap, n, now, queue, process)
                return
        else:
            _release(times, heap, n, now)
        _happens(times, heap, n, now, state, FREE, tile)
        at[process] += 1
        phase[process] = SLOT


@_jit
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
) -> bool:
    """for mark: wait for its tiles, compute, let go of the tiles used up; then wait for the last writes. True at the end."""
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
            phase[process] = SPAN
            _soon(times, heap, n, now + spans[mark], RESUME, process, 0)
            return False
        for number in range(done_at[mark], done_at[mark + 1]):
            _happens(times, heap, n, now, state, USED, done[number])
        at[process] += 1
        phase[process] = TILES
        if at[process] == len(spans):
            phase[process] = DRAIN
            n[INDEX] = 0


@_jit
def replay(
    lane_of: Any,
    base: Any,
    buffers: Any,
    bytes_in: Any,
    bytes_out: Any,
    spans: Any,
    waits: Any,
    wait_at: Any,
    done: Any,
    done_at: Any,
    rate: float,
    latency: float,
    stall: Any,
) -> None:
    """Run the pipeline; adds to stall[lane] what the steps wait for its tiles, to stall[lanes + lane] for its last write.

    lane_of [tile], base [lane + 1]: tiles of all lanes in one row. spans [mark]: cycles from each mark to the next.
    waits[wait_at[mark]: wait_at[mark + 1]]: tiles waited for at a mark; done, done_at: tiles used up at its end.
    """
    lanes = len(buffers)
    steps = 2 * lanes  # processes: loads, stores, and the steps
    n = np.zeros(6, np.int64)
    state, waiter = np.zeros((3, len(lane_of)), np.int8), np.full((3, len(lane_of)), NOBODY, np.int64)
    at, phase, queue = np.zeros(steps + 1, np.int64), np.zeros(steps + 1, np.int64), np.zeros(steps + 1, np.int64)
    most = 64
    for lane in range(lanes):
        most += 4 * min(buffers[lane], base[lane + 1] - base[lane]) + 8  # a slot holds one tile, whose events are few
    times, heap = np.zeros(most), np.zeros((most, 4), np.int64)
    for lane in range(lanes):
        at[lane] = at[lanes + lane] = base[lane]
        _urgent(times, heap, n, 0.0, BEGIN, lane, 0)
        _urgent(times, heap, n, 0.0, BEGIN, lanes + lane, 0)
    _urgent(times, heap, n, 0.0, BEGIN, steps, 0)
    began = 0.0
    while n[SIZE]:
        now, what, process, tile = times[0], heap[0, 1], heap[0, 2], heap[0, 3]
        _drop_first(times, heap, n)
        if what == RELEASE:
            _grant_next(times, heap, n, now, queue)
        elif what == DEPART:
            _soon(times, heap, n, now + latency, ARRIVE, 0, tile)
        elif what == ARRIVE:
            _happens(times, heap, n, now, state, LOADED, tile)
        elif what == GRANT:
            moved = bytes_in[at[process]] if process < lanes else bytes_out[at[process]]
            _soon(times, heap, n, now + moved / rate, RESUME, process, 0)
        else:
            if what == HAPPEN:
                state[process, tile] = PROCESSED
                process = waiter[process, tile]
            if process == steps:
                if what == HAPPEN:
                    if now > began:
                        cause = lane_of[waits[n[INDEX]]] if phase[steps] == TILES else lanes + n[INDEX]
                        stall[cause] = stall[cause] + now - began
                    n[INDEX] += 1
                if _step(times, heap, n, now, at, phase, state, waiter, steps, base, spans, waits, wait_at, done, done_at):
                    return
                began = now
            elif process >= lanes:
                _store(times, heap, n, now, queue, at, phase, state, waiter, process, base[process - lanes + 1], bytes_out)
            elif process != NOBODY:
                _load(
                    times,
                    heap,
                    n,
                    now,
                    queue,
                    at,
                    phase,
                    state,
                    waiter,
                    process,
                    base[process],
                    base[process + 1],
                    buffers[process],
                    bytes_in,
                )
