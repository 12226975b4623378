"""Why a pipeline took as long as it did: its critical path, walked backwards from the end.

    end <- last step <- tile ready <- settling, latency, transfer
        <- the bus was busy, or the slot was not free <- ...

At every moment just one thing was critical: had it been sooner done, so had everything. While the
array does not multiply, the time is the critical thing's. So a stall carries the name of what
removes it when sped up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.compiled import about_to_run, kernel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

jit: Any = kernel()
# what happened: a step ended, a tile was ready, had come, its slot was free, it was written
STEP, READY, LOAD, FREE, STORE = 0, 1, 2, 3, 4
NONE = -1


@dataclass(frozen=True)
class Log:
    """When things happened, in cycles, for each tile and each mark.

    Tiles stand lane after lane; a mark is a run of steps that needs no new tile.

    began_in, began_out: its transfers (0 where nothing moves). ready: the steps may use it. freed:
    its slot is free again. began: each mark's first step. end: of everything.
    """

    began_in: Floats
    ready: Floats
    began_out: Floats
    freed: Floats
    began: Floats
    end: float


@dataclass(frozen=True)
class Plan:
    """What was to be done.

    lane_of [tile], base [lane + 1]: tiles of all lanes in one row. spans [mark]: to the end of its
    last step.

    waits[wait_at[mark]: wait_at[mark + 1]]: tiles waited for at a mark. done[done_at[mark]:
    done_at[mark + 1]]: tiles used up at its end.
    """

    lane_of: Ints
    base: Ints
    buffers: Ints
    time_in: Floats
    time_out: Floats
    moves_in: Flags
    moves_out: Flags
    settle: Floats
    latency: float
    separate: bool
    spans: Floats
    waits: Ints
    wait_at: Ints
    done: Ints
    done_at: Ints


@dataclass(frozen=True)
class Critical:
    """What was critical, and for how long.

    cycles [cause]: in which the array did not multiply and this was critical: a lane's transfers,
    and behind the lanes latency and settling. steps [mark]: was it critical? path [n, 2]: from when
    to when something but a step was; causes [n]: what.
    """

    cycles: Floats
    steps: Flags
    path: Floats
    causes: Ints


def critical(plan: Plan, log: Log, idle: Floats) -> Critical:
    """What was critical in a pipeline whose events are known.

    idle [mark]: of each mark's span the cycles without a multiplication, spread evenly; between
    marks there is none at all.
    """
    lanes, tiles = len(plan.buffers), len(plan.lane_of)
    used = np.zeros(tiles, np.int64)
    used[plan.done] = np.repeat(np.arange(len(plan.spans)), np.diff(plan.done_at))
    before_in, before_out = _before(plan, log)
    most = 4 * tiles + len(plan.spans) + 4
    begin, end, cause = np.zeros(most), np.zeros(most), np.zeros(most, np.int64)
    on_path = np.zeros(len(plan.spans), np.bool_)
    about_to_run(_walk_back)
    found = _walk_back(
        plan.lane_of,
        plan.base,
        plan.buffers,
        plan.time_in,
        plan.time_out,
        plan.moves_in,
        plan.moves_out,
        plan.settle,
        plan.latency,
        plan.spans,
        plan.waits,
        plan.wait_at,
        used,
        before_in,
        before_out,
        log.began_in,
        log.ready,
        log.began_out,
        log.freed,
        log.began,
        log.end,
        begin,
        end,
        cause,
        on_path,
    )
    begin, end, cause = begin[:found], end[:found], cause[:found]
    ends = log.began + plan.spans
    edges = np.concatenate([[0.0], np.stack([log.began, ends], axis=1).ravel(), [log.end]])
    steps = np.diff(edges)
    steps[1::2] = np.minimum(idle, plan.spans)
    lost = np.concatenate([[0.0], np.cumsum(steps)])
    cycles = np.zeros(lanes + 2)
    np.add.at(
        cycles, cause, np.maximum(0.0, np.interp(end, edges, lost) - np.interp(begin, edges, lost))
    )
    return Critical(cycles, on_path, np.stack([begin, end], axis=1)[::-1], cause[::-1])


def _before(plan: Plan, log: Log) -> tuple[Ints, Ints]:
    """For each tile's transfer in and out the one before it on its bus.

    tiles + i is the transfer out of tile i.
    """
    tiles = len(plan.lane_of)
    moving = np.flatnonzero(np.concatenate([plan.moves_in, plan.moves_out]))
    began = np.concatenate([log.began_in, log.began_out])[moving]
    ended = began + np.concatenate([plan.time_in, plan.time_out])[moving]
    bus = np.tile(plan.lane_of, 2)[moving] if plan.separate else np.zeros(len(moving), np.int64)
    order = np.lexsort((ended, began, bus))
    before = np.full(2 * tiles, NONE, np.int64)
    same = bus[order][1:] == bus[order][:-1]
    before[moving[order][1:][same]] = moving[order][:-1][same]
    return before[:tiles], before[tiles:]


@jit
def _walk_back(
    lane_of: Any,
    base: Any,
    buffers: Any,
    time_in: Any,
    time_out: Any,
    moves_in: Any,
    moves_out: Any,
    settle: Any,
    latency: float,
    spans: Any,
    waits: Any,
    wait_at: Any,
    used: Any,
    before_in: Any,
    before_out: Any,
    began_in: Any,
    ready: Any,
    began_out: Any,
    freed: Any,
    began: Any,
    finish: float,
    begin: Any,
    end: Any,
    cause: Any,
    on_path: Any,
) -> int:
    """Write the critical path's segments outside steps, last first; returns how many.

    It marks the steps on the path.
    """
    lanes, tiles, count = len(buffers), len(lane_of), 0
    what, which = STEP, len(spans) - 1
    if began[which] + spans[which] < finish:
        for lane in range(lanes):
            last = base[lane + 1] - 1
            if freed[last] >= finish:
                what, which = FREE, last
                break
    while count < len(begin) - 3:
        transfer = NONE
        if what == STEP:
            on_path[which] = True
            now, earlier = began[which], began[which - 1] + spans[which - 1] if which > 0 else 0.0
            if now <= earlier:
                if which == 0:
                    return count
                which -= 1
                continue
            tile = NONE
            for number in range(wait_at[which], wait_at[which + 1]):
                if ready[waits[number]] == now:
                    tile = waits[number]
                    break
            if tile != NONE:
                what, which = READY, tile
                continue
            begin[count], end[count], cause[count] = earlier, now, lanes + 1
            count += 1
            if which == 0:
                return count
            which -= 1
            continue
        lane = lane_of[which]
        first = which == base[lane]
        if what == READY:
            if moves_in[which]:
                there = began_in[which] + time_in[which]
                begin[count], end[count], cause[count] = there + latency, ready[which], lanes + 1
                begin[count + 1], end[count + 1], cause[count + 1] = there, there + latency, lanes
                count += 2
                transfer = which
        elif what == FREE:
            if moves_out[which]:
                transfer = tiles + which
            elif (
                not first
                and freed[which - 1] == freed[which]
                and began[used[which]] + spans[used[which]] < freed[which]
            ):
                which -= 1
                continue
            else:
                what, which = STEP, used[which]
                continue
        elif what == LOAD:
            transfer = which
        elif what == STORE:
            transfer = tiles + which
        if transfer != NONE:
            store = transfer >= tiles
            which = transfer - tiles if store else transfer
            lane = lane_of[which]
            first = which == base[lane]
            start = began_out[which] if store else began_in[which]
            begin[count], end[count], cause[count] = (
                start,
                start + (time_out[which] if store else time_in[which]),
                lane,
            )
            count += 1
            if store:
                if began[used[which]] + spans[used[which]] >= start:
                    what, which = STEP, used[which]
                    continue
                before = before_out[which]
                if before == NONE and not first:
                    what, which = FREE, which - 1
                    continue
            else:
                before = before_in[which]
                slot = which - buffers[lane]
                if slot >= base[lane] and freed[slot] >= start:
                    what, which = FREE, slot
                    continue
                if (
                    not first
                    and not moves_in[which - 1]
                    and ready[which - 1] >= start
                    and start > 0
                ):
                    what, which = READY, which - 1
                    continue
            if before == NONE:
                return count
            what, which = (STORE, before - tiles) if before >= tiles else (LOAD, before)
            continue
        # a tile that nothing moves for is there once its slot is free and the one before it has
        # come
        now, slot = ready[which], which - buffers[lane]
        if slot >= base[lane] and freed[slot] >= now:
            what, which = FREE, slot
        elif first:
            return count
        elif moves_in[which - 1]:
            what, which = LOAD, which - 1
        else:
            what, which = READY, which - 1
    return count
