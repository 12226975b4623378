"""Tiles through a DMA engine into buffers, as SimPy events: what waits for what, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from hwsim.compiled import about_to_run, use_writable_cache
from hwsim.sim.result import Cycles
from hwsim.sim.timeline import Timeline

COMPILED_FROM = 4000  # tiles, from which compiled code is sooner ready than SimPy

Ints = npt.NDArray[np.int64]
_Spans = dict[str, npt.NDArray[np.float64]]
Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Port:
    """A memory port that serves one transfer after another, or with `separate`, one for every tensor.

    burst_bytes: a transfer moves whole bursts. timed: cycles of transfers of so many bytes, where rows and refreshes matter;
    bytes_per_cycle otherwise.
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
    """One tensor's tiles through a port: bytes in before step first[i], bytes out after step last[i].

    buffers: a tile's slot is free for the tile `buffers` later, once it has been used and written out.
    settle: cycles from each tile's arrival until it can be used (a stationary tile shifting into the cells); None: none.
    lane: the memory and role that the tiles of several stages share (hwsim.sim.chain).
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
    """What a pipeline runs. cycles: of each step when nothing is missing. gaps: after each step, until the next may begin.

    results: cycles after a step in which its results are still on their way through the array.
    """

    streams: list[Stream]
    cycles: npt.NDArray[np.float64]
    gaps: npt.NDArray[np.float64]
    port: Port
    results: float = 0.0

    @property
    def tiles(self) -> int:
        return sum(len(stream.first) for stream in self.streams)

    @property
    def marks(self) -> Ints:
        """The steps at which some tile begins or the one before has ended, and the end."""
        edges = [edge for stream in self.streams for edge in (stream.first, stream.last + 1)]
        return np.unique(np.concatenate([[0, len(self.cycles)], *edges])).astype(np.int64)

    def spans(self, marks: Ints) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(cycles from each mark to the end of the last step before the next, the gap after that step)."""
        elapsed = np.concatenate([[0.0], np.cumsum(self.cycles + self.gaps)])
        gaps = self.gaps[marks[1:] - 1]
        return elapsed[marks[1:]] - elapsed[marks[:-1]] - gaps, gaps


@dataclass(frozen=True)
class Played:
    """What a pipeline took, and when."""

    cycles: Cycles
    timeline: Timeline


def run_pipeline(work: Work) -> Played:
    """Loads, steps and write-backs overlapped as far as buffers and the port allow.

    Stalls are attributed to results on their way, to tiles that settle and gaps, and for the rest to the tensor waited for.
    Many tiles run in compiled code, which gives the same (hwsim.sim.replay).
    """
    return (run_compiled if work.tiles > COMPILED_FROM else run_events)(work)


def run_events(work: Work) -> Played:
    """The pipeline as SimPy processes, about 10,000 tiles a second."""
    return _Pipeline(work).run()


def run_compiled(work: Work) -> Played:
    """The same pipeline in compiled code, about a million tiles a second."""
    streams, port = work.streams, work.port
    use_writable_cache()
    from hwsim.sim.replay import replay

    about_to_run(replay)
    counts = [len(stream.first) for stream in streams]
    base = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    first, last = (np.concatenate([getattr(stream, name) for stream in streams]).astype(np.int64) for name in ("first", "last"))
    time_in, time_out = (np.concatenate([port.cycles(getattr(stream, name)) for stream in streams]) for name in ("bytes_in", "bytes_out"))
    moves_in, moves_out = (np.concatenate([getattr(stream, name) for stream in streams]) > 0 for name in ("bytes_in", "bytes_out"))
    marks = work.marks
    spans, gaps = work.spans(marks)
    waits, done = np.argsort(first, kind="stable"), np.argsort(last, kind="stable")
    wait_at = np.append(np.searchsorted(first[waits], marks[:-1]), len(waits))
    done_at = np.searchsorted(last[done], np.append(marks[:-1], marks[-1]))
    stall = np.zeros(2 * len(streams) + 2)
    lane_of, buffers = np.repeat(np.arange(len(streams)), counts), np.array([stream.buffers for stream in streams], np.int64)
    settle = np.concatenate([stream.settling for stream in streams])
    began_in, began_out, began = np.zeros(len(first)), np.zeros(len(first)), np.zeros(len(spans))
    finished = replay(lane_of, base, buffers, time_in, time_out, moves_in, moves_out, spans, waits, wait_at, done, done_at, port.separate,
                      float(port.latency_cycles), settle, float(work.results), gaps, stall, began_in, began_out, began)
    if not finished:
        raise RuntimeError("the pipeline waits for a tile that never comes")
    causes: dict[str, float] = {}
    for number, time in enumerate(stall.tolist()):
        name = _cause(port, [stream.tensor for stream in streams], number)
        causes[name] = causes.get(name, 0.0) + time
    taken = Cycles(float(spans.sum()), {name: time for name, time in causes.items() if time > 0})
    lanes = [slice(base[number], base[number + 1]) for number in range(len(streams))]

    def timed(start: npt.NDArray[np.float64], length: npt.NDArray[np.float64], moves: npt.NDArray[np.bool_]) -> _Spans:
        return {stream.tensor: np.stack([start[lane], start[lane] + length[lane]], axis=1)[moves[lane]]
                for stream, lane in zip(streams, lanes, strict=True)}

    return Played(taken, Timeline(timed(began_in, time_in, moves_in), timed(began_out, time_out, moves_out),
                                  np.stack([began, began + spans], axis=1)))


RESULTS, SETTLING = "array: results on their way", "array: tiles shifting"


def _cause(port: Port, tensors: list[str], number: int) -> str:
    """The name of a stall of the compiled pipeline: a tensor's tiles, its last write, results on their way, or settling."""
    if number >= 2 * len(tensors):
        return (RESULTS, SETTLING)[number - 2 * len(tensors)]
    return f"{port.name}: {tensors[number % len(tensors)]}{' drain' if number >= len(tensors) else ''}"


@dataclass
class _Lane:
    """A stream's progress: events that say a tile is loaded, and that its slot is free again."""

    stream: Stream
    bus: simpy.Resource
    loaded: list[simpy.Event] = field(default_factory=list)
    used: list[simpy.Event] = field(default_factory=list)
    free: list[simpy.Event] = field(default_factory=list)
    loads: list[tuple[float, float]] = field(default_factory=list)
    stores: list[tuple[float, float]] = field(default_factory=list)


class _Pipeline:
    def __init__(self, work: Work) -> None:
        self.env = simpy.Environment()
        self.work, self.port = work, work.port
        shared = simpy.Resource(self.env, capacity=1)
        self.stall: dict[str, float] = {}
        self.lanes = [self._lane(stream, simpy.Resource(self.env, capacity=1) if work.port.separate else shared) for stream in work.streams]
        self.steps: list[tuple[float, float]] = []

    def _lane(self, stream: Stream, bus: simpy.Resource) -> _Lane:
        tiles = range(len(stream.first))
        loaded, used, free = ([self.env.event() for _ in tiles] for _ in range(3))
        return _Lane(stream, bus, loaded, used, free)

    def run(self) -> Played:
        for lane in self.lanes:
            self.env.process(self._load(lane))
            self.env.process(self._store(lane))
        self.env.run(self.env.process(self._compute()))
        spans, _ = self.work.spans(self.work.marks)
        taken = Cycles(float(spans.sum()), {cause: time for cause, time in self.stall.items() if time > 0})
        loads, stores = ({lane.stream.tensor: np.array(getattr(lane, name)).reshape(-1, 2) for lane in self.lanes}
                         for name in ("loads", "stores"))
        return Played(taken, Timeline(loads, stores, np.array(self.steps).reshape(-1, 2)))

    def _transfer(self, lane: _Lane, cycles: float, log: list[tuple[float, float]]) -> Process:
        with lane.bus.request() as turn:
            yield turn
            log.append((self.env.now, self.env.now + cycles))
            yield self.env.timeout(cycles)

    def _load(self, lane: _Lane) -> Process:
        stream, settle = lane.stream, lane.stream.settling.tolist()
        for tile, (size, cycles) in enumerate(zip(stream.bytes_in.tolist(), self.port.cycles(stream.bytes_in).tolist(), strict=True)):
            if tile >= stream.buffers:
                yield lane.free[tile - stream.buffers]
            if size:
                yield from self._transfer(lane, cycles, lane.loads)
                self.env.process(self._arrive(lane.loaded[tile], settle[tile]))
            else:
                lane.loaded[tile].succeed()

    def _arrive(self, loaded: simpy.Event, settle: float) -> Process:
        yield self.env.timeout(self.port.latency_cycles + settle)
        loaded.succeed()

    def _store(self, lane: _Lane) -> Process:
        stream = lane.stream
        for tile, (size, cycles) in enumerate(zip(stream.bytes_out.tolist(), self.port.cycles(stream.bytes_out).tolist(), strict=True)):
            yield lane.used[tile]
            if size:
                yield from self._transfer(lane, cycles, lane.stores)
            lane.free[tile].succeed()

    def _compute(self) -> Process:
        starts = self._by_step("first")
        ends = self._by_step("last")
        marks = self.work.marks
        earliest, passing = 0.0, 0.0
        for start, stop, span, gap in zip(marks[:-1].tolist(), marks[1:].tolist(), *(each.tolist() for each in self.work.spans(marks)),
                                          strict=True):
            for lane, tile in starts.get(start, ()):
                began = self.env.now
                yield lane.loaded[tile]
                passing -= self._attribute(lane, tile, self.env.now - began, passing)
            if self.env.now < earliest:
                self._stalled(SETTLING, earliest - self.env.now)
                yield self.env.timeout(earliest - self.env.now)
            self.steps.append((self.env.now, self.env.now + span))
            yield self.env.timeout(span)
            earliest, passing = self.env.now + gap, self.work.results
            for lane, tile in ends.get(stop - 1, ()):
                lane.used[tile].succeed()
        for lane in self.lanes:
            began = self.env.now
            yield lane.free[-1]
            self._stalled(f"{self.port.name}: {lane.stream.tensor} drain", self.env.now - began)

    def _attribute(self, lane: _Lane, tile: int, waited: float, passing: float) -> float:
        """A wait for a tile: results still passing through the array, then the transfer, last the tile settling."""
        first = min(waited, passing)
        last = min(waited - first, float(lane.stream.settling[tile]))
        self._stalled(RESULTS, first)
        self._stalled(SETTLING, last)
        self._stalled(f"{self.port.name}: {lane.stream.tensor}", waited - first - last)
        return first

    def _stalled(self, cause: str, cycles: float) -> None:
        self.stall[cause] = self.stall.get(cause, 0.0) + cycles

    def _by_step(self, edge: str) -> dict[int, list[tuple[_Lane, int]]]:
        found: dict[int, list[tuple[_Lane, int]]] = {}
        for lane in self.lanes:
            for tile, step in enumerate(getattr(lane.stream, edge).tolist()):
                found.setdefault(step, []).append((lane, tile))
        return found
