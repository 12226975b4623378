"""Tiles through a DMA engine into buffers, as SimPy events: what waits for what, how long."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from hwsim.compiled import about_to_run
from hwsim.results.result import Cycles
from hwsim.results.timeline import Timeline
from hwsim.timing.explicit.critical import Log, Plan, critical

COMPILED_FROM = 4000  # tiles of a process, from which compiled code is sooner ready than SimPy
_seen = [0]  # tiles so far

Ints = npt.NDArray[np.int64]
_Spans = dict[str, npt.NDArray[np.float64]]
Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Port:
    """A memory port that serves one transfer after another.

    With `separate`, there is one for every tensor.

    burst_bytes: a transfer moves whole bursts. timed: cycles of transfers of so many bytes, where
    rows and refreshes matter; bytes_per_cycle otherwise.
    """

    name: str
    bytes_per_cycle: float
    latency_cycles: float
    separate: bool = False
    burst_bytes: int = 1
    timed: Callable[[Ints], npt.NDArray[np.float64]] | None = None

    def cycles(self, sizes: Ints) -> npt.NDArray[np.float64]:
        """The port's time for each transfer."""
        whole = -(-sizes // self.burst_bytes) * self.burst_bytes
        return self.timed(whole) if self.timed is not None else whole / self.bytes_per_cycle


@dataclass(frozen=True)
class Stream:
    """One tensor's tiles through a port.

    Bytes come in before step first[i], bytes go out after step last[i].

    buffers: a tile's slot is free for the tile `buffers` later, once it has been used and written
    out. settle: cycles from each tile's arrival until it can be used (a stationary tile shifting
    into the cells); None: none. lane: the memory and role that the tiles of several stages share
    (hwsim.timing.explicit.layers).
    """

    tensor: str
    buffers: int
    first: Ints
    last: Ints
    bytes_in: Ints
    bytes_out: Ints
    settle: npt.NDArray[np.float64] | None = None
    lane: str = ""

    @property
    def settling(self) -> npt.NDArray[np.float64]:
        return np.zeros(len(self.first)) if self.settle is None else self.settle


@dataclass(frozen=True)
class Work:
    """What a pipeline runs.

    cycles: of each step when nothing is missing. gaps: after each step, until the next may begin.

    idle: of the steps' cycles, what is no multiplying, by cause. results: cycles after a step in
    which its results are still on their way through the array.
    """

    streams: list[Stream]
    cycles: npt.NDArray[np.float64]
    gaps: npt.NDArray[np.float64]
    port: Port
    results: float = 0.0
    idle: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def tiles(self) -> int:
        return sum(len(stream.first) for stream in self.streams)

    @cached_property
    def marks(self) -> Ints:
        """The steps at which some tile begins or the one before has ended, and the end."""
        marked = np.zeros(len(self.cycles) + 1, np.bool_)
        marked[[0, -1]] = True
        for stream in self.streams:
            marked[stream.first] = True
            marked[stream.last + 1] = True
        return np.flatnonzero(marked)

    def spans(self, marks: Ints) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(spans, gaps) of the marks, in cycles.

        A span goes from a mark to the end of the last step before the next, a gap is what follows
        that step.
        """
        elapsed = np.concatenate([[0.0], np.cumsum(self.cycles + self.gaps)])
        gaps = self.gaps[marks[1:] - 1]
        return elapsed[marks[1:]] - elapsed[marks[:-1]] - gaps, gaps


@dataclass(frozen=True)
class Played:
    """What a pipeline took, and when. log: of each tile and mark, in the order of `plan`."""

    cycles: Cycles
    timeline: Timeline
    plan: Plan
    log: Log


def run_pipeline(work: Work) -> Played:
    """Loads, steps and write-backs overlapped as far as buffers and the port allow.

    A stall is attributed to what was critical while the array did not multiply
    (hwsim.timing.explicit.critical): a tensor's transfers, the latency of the memory, tiles that
    settle, or a step's own waiting. Once a process has had many tiles, they run in compiled code,
    which gives the same to the last bit (hwsim.timing.explicit.compiled_pipeline).
    """
    _seen[0] += work.tiles
    return (run_compiled if _seen[0] > COMPILED_FROM else run_events)(work)


def run_events(work: Work) -> Played:
    """The pipeline as SimPy processes, about 10,000 tiles a second."""
    return _played(work, _planned(work), _Pipeline(work).run())


def run_compiled(work: Work) -> Played:
    """The same pipeline in compiled code, about a million tiles a second."""
    from hwsim.timing.explicit.compiled_pipeline import replay

    about_to_run(replay)
    plan = _planned(work)
    _, gaps = work.spans(work.marks)
    tiles = len(plan.lane_of)
    began_in, ready, began_out, freed = (np.zeros(tiles) for _ in range(4))
    began, end = np.zeros(len(plan.spans)), np.zeros(1)
    finished = replay(
        plan.lane_of,
        plan.base,
        plan.buffers,
        plan.time_in,
        plan.time_out,
        plan.moves_in,
        plan.moves_out,
        plan.spans,
        plan.waits,
        plan.wait_at,
        plan.done,
        plan.done_at,
        plan.separate,
        plan.latency,
        plan.settle,
        gaps,
        began_in,
        ready,
        began_out,
        freed,
        began,
        end,
    )
    if not finished:
        raise RuntimeError("the pipeline waits for a tile that never comes")
    return _played(work, plan, Log(began_in, ready, began_out, freed, began, float(end[0])))


def _planned(work: Work) -> Plan:
    """The pipeline as arrays: tiles of all streams in one row, steps between marks as one."""
    streams, port, marks = work.streams, work.port, work.marks
    counts = [len(stream.first) for stream in streams]
    base = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    first, last, bytes_in, bytes_out = (
        _in_a_row([getattr(stream, name) for stream in streams]).astype(np.int64)
        for name in ("first", "last", "bytes_in", "bytes_out")
    )
    time_in, time_out = (
        _in_a_row([port.cycles(getattr(stream, name)) for stream in streams])
        for name in ("bytes_in", "bytes_out")
    )
    spans, _ = work.spans(marks)
    waits, done = np.argsort(first, kind="stable"), np.argsort(last, kind="stable")
    wait_at = np.append(np.searchsorted(first[waits], marks[:-1]), len(waits))
    done_at = np.searchsorted(last[done], np.append(marks[:-1], marks[-1]))
    lane_of, buffers = (
        np.repeat(np.arange(len(streams)), counts),
        np.array([stream.buffers for stream in streams], np.int64),
    )
    settle = _in_a_row([stream.settling for stream in streams])
    return Plan(
        lane_of,
        base,
        buffers,
        time_in,
        time_out,
        bytes_in > 0,
        bytes_out > 0,
        settle,
        float(port.latency_cycles),
        port.separate,
        spans,
        waits,
        wait_at,
        done,
        done_at,
    )


def _in_a_row(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0), *parts])


def _played(work: Work, plan: Plan, log: Log) -> Played:
    causes, inside = _idle(work, plan)
    path = critical(plan, log, inside.sum(axis=0))
    names = [
        *(f"{work.port.name}: {stream.tensor}" for stream in work.streams),
        f"{work.port.name} latency",
        SETTLING,
    ]
    stall = dict(zip(names, path.cycles.tolist(), strict=True))
    for cause, cycles in zip(causes, inside[:, path.steps].sum(axis=1).tolist(), strict=True):
        stall[cause] = stall.get(cause, 0.0) + cycles
    _share_latency(work, plan, log, stall)
    busy = float(plan.spans.sum() - inside.sum())
    least = ROUNDING * log.end
    cycles = Cycles(busy, {cause: lost for cause, lost in stall.items() if lost > least})
    waits = {name: path.path[path.causes == number] for number, name in enumerate(names)}
    return Played(cycles, _timeline(work, plan, log, waits), plan, log)


def _share_latency(work: Work, plan: Plan, log: Log, stall: dict[str, float]) -> None:
    """Blame latency for no more than would be saved without it.

    The steps, and the transfers of a bus, take their time all the same. What is left goes only if
    both are better.
    """
    latency = f"{work.port.name} latency"
    steps = plan.spans.sum() + work.spans(work.marks)[1].sum()
    buses = plan.lane_of if plan.separate else np.zeros_like(plan.lane_of)
    moving = np.bincount(buses, plan.time_in + plan.time_out, minlength=1).max()
    spared = max(0.0, log.end - float(max(steps, moving)))
    if stall[latency] > spared:
        stall[f"{latency} and transfers together"] = stall[latency] - spared
        stall[latency] = spared


def _idle(work: Work, plan: Plan) -> tuple[list[str], npt.NDArray[np.float64]]:
    """(causes, [cause, mark]: cycles of each mark's span without multiplying).

    They are the steps' own, and gaps between steps of a mark.
    """
    marks = work.marks[:-1]
    causes = [*work.idle, SETTLING]
    rows = [np.add.reduceat(cycles, marks) for cycles in work.idle.values()]
    return causes, np.array([*rows, plan.spans - np.add.reduceat(work.cycles, marks)])


def _timeline(work: Work, plan: Plan, log: Log, waits: _Spans) -> Timeline:
    lanes = [slice(begin, end) for begin, end in itertools.pairwise(plan.base.tolist())]

    def timed(
        start: npt.NDArray[np.float64],
        length: npt.NDArray[np.float64],
        moves: npt.NDArray[np.bool_],
    ) -> _Spans:
        return {
            stream.tensor: np.stack([start[lane], start[lane] + length[lane]], axis=1)[moves[lane]]
            for stream, lane in zip(work.streams, lanes, strict=True)
        }

    held = np.stack([np.where(plan.moves_in, log.began_in, log.ready), log.freed], axis=1)
    return Timeline(
        timed(log.began_in, plan.time_in, plan.moves_in),
        timed(log.began_out, plan.time_out, plan.moves_out),
        np.stack([log.began, log.began + plan.spans], axis=1),
        waits,
        {stream.tensor: stream.bytes_in[stream.bytes_in > 0] for stream in work.streams},
        {stream.tensor: stream.bytes_out[stream.bytes_out > 0] for stream in work.streams},
        {stream.tensor: held[lane] for stream, lane in zip(work.streams, lanes, strict=True)},
    )


SETTLING = "array: tiles shifting"
ROUNDING = 1e-12  # a stall below this share of the time is rounding


@dataclass
class _Lane:
    """A stream's progress, as events, and when things happened.

    Events say that a tile is loaded, used up, and that its slot is free again.
    """

    stream: Stream
    bus: simpy.Resource
    loaded: list[simpy.Event]
    used: list[simpy.Event]
    free: list[simpy.Event]
    began_in: list[float]
    ready: list[float]
    began_out: list[float]
    freed: list[float]


class _Pipeline:
    def __init__(self, work: Work) -> None:
        self.env = simpy.Environment()
        self.work, self.port = work, work.port
        shared = simpy.Resource(self.env, capacity=1)
        self.lanes = [
            self._lane(
                stream, simpy.Resource(self.env, capacity=1) if work.port.separate else shared
            )
            for stream in work.streams
        ]
        self.began: list[float] = []

    def _lane(self, stream: Stream, bus: simpy.Resource) -> _Lane:
        tiles = range(len(stream.first))
        loaded, used, free = ([self.env.event() for _ in tiles] for _ in range(3))
        return _Lane(stream, bus, loaded, used, free, *([0.0 for _ in tiles] for _ in range(4)))

    def run(self) -> Log:
        for lane in self.lanes:
            self.env.process(self._load(lane))
            self.env.process(self._store(lane))
        self.env.run(self.env.process(self._compute()))
        began_in, ready, began_out, freed = (
            _in_a_row([np.array(getattr(lane, name)) for lane in self.lanes])
            for name in ("began_in", "ready", "began_out", "freed")
        )
        return Log(began_in, ready, began_out, freed, np.array(self.began), float(self.env.now))

    def _transfer(self, lane: _Lane, tile: int, cycles: float, began: list[float]) -> Process:
        with lane.bus.request() as turn:
            yield turn
            began[tile] = self.env.now
            yield self.env.timeout(cycles)

    def _load(self, lane: _Lane) -> Process:
        stream, settle = lane.stream, lane.stream.settling.tolist()
        for tile, (size, cycles) in enumerate(
            zip(stream.bytes_in.tolist(), self.port.cycles(stream.bytes_in).tolist(), strict=True)
        ):
            if tile >= stream.buffers:
                yield lane.free[tile - stream.buffers]
            if size:
                yield from self._transfer(lane, tile, cycles, lane.began_in)
                self.env.process(self._arrive(lane, tile, settle[tile]))
            else:
                self._ready(lane, tile)

    def _arrive(self, lane: _Lane, tile: int, settle: float) -> Process:
        yield self.env.timeout(self.port.latency_cycles + settle)
        self._ready(lane, tile)

    def _ready(self, lane: _Lane, tile: int) -> None:
        lane.ready[tile] = self.env.now
        lane.loaded[tile].succeed()

    def _store(self, lane: _Lane) -> Process:
        stream = lane.stream
        for tile, (size, cycles) in enumerate(
            zip(stream.bytes_out.tolist(), self.port.cycles(stream.bytes_out).tolist(), strict=True)
        ):
            yield lane.used[tile]
            if size:
                yield from self._transfer(lane, tile, cycles, lane.began_out)
            lane.freed[tile] = self.env.now
            lane.free[tile].succeed()

    def _compute(self) -> Process:
        starts = self._by_step("first")
        ends = self._by_step("last")
        marks = self.work.marks
        earliest = 0.0
        for start, stop, span, gap in zip(
            marks[:-1].tolist(),
            marks[1:].tolist(),
            *(each.tolist() for each in self.work.spans(marks)),
            strict=True,
        ):
            for lane, tile in starts.get(start, ()):
                yield lane.loaded[tile]
            if self.env.now < earliest:
                yield self.env.timeout(earliest - self.env.now)
            self.began.append(self.env.now)
            yield self.env.timeout(span)
            earliest = self.env.now + gap
            for lane, tile in ends.get(stop - 1, ()):
                lane.used[tile].succeed()
        for lane in self.lanes:
            yield lane.free[-1]

    def _by_step(self, edge: str) -> dict[int, list[tuple[_Lane, int]]]:
        found: dict[int, list[tuple[_Lane, int]]] = {}
        for lane in self.lanes:
            for tile, step in enumerate(getattr(lane.stream, edge).tolist()):
                found.setdefault(step, []).append((lane, tile))
        return found
