"""Tiles through a DMA engine into buffers, as SimPy events: what waits for what, and for how long."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from hwsim.compiled import about_to_run, use_writable_cache
from hwsim.sim.result import Cycles

COMPILED_FROM = 4000  # tiles, from which compiled code is sooner ready than SimPy

Ints = npt.NDArray[np.int64]
Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Port:
    """A memory port that serves one transfer after another."""

    name: str
    bytes_per_cycle: float
    latency_cycles: float


@dataclass(frozen=True)
class Stream:
    """One tensor's tiles through a port: bytes in before step first[i], bytes out after step last[i].

    buffers: a tile's slot is free for the tile `buffers` later, once it has been used and written out.
    """

    tensor: str
    buffers: int
    first: Ints
    last: Ints
    bytes_in: Ints
    bytes_out: Ints


def run_pipeline(streams: list[Stream], cycles: npt.NDArray[np.float64], port: Port) -> Cycles:
    """Loads, steps and write-backs overlapped as far as buffers and the port allow.

    cycles: of each step when nothing is missing. Stalls are attributed to the tensor waited for. Many tiles run in
    compiled code, which gives the same (hwsim.sim.replay).
    """
    tiles = sum(len(stream.first) for stream in streams)
    return run_compiled(streams, cycles, port) if tiles > COMPILED_FROM else run_events(streams, cycles, port)


def run_events(streams: list[Stream], cycles: npt.NDArray[np.float64], port: Port) -> Cycles:
    """The pipeline as SimPy processes, about 10,000 tiles a second."""
    return _Pipeline(streams, cycles, port).run()


def run_compiled(streams: list[Stream], cycles: npt.NDArray[np.float64], port: Port) -> Cycles:
    """The same pipeline in compiled code."""
    use_writable_cache()
    from hwsim.sim.replay import replay

    about_to_run(replay)
    counts = [len(stream.first) for stream in streams]
    base = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    first, last, bytes_in, bytes_out = (np.concatenate([getattr(stream, name) for stream in streams]).astype(np.int64)
                                        for name in ("first", "last", "bytes_in", "bytes_out"))
    marks = np.unique(np.concatenate([[0, len(cycles)], first, last + 1]))
    elapsed = np.concatenate([[0.0], np.cumsum(cycles)])
    spans = elapsed[marks[1:]] - elapsed[marks[:-1]]
    waits, done = np.argsort(first, kind="stable"), np.argsort(last, kind="stable")
    wait_at = np.append(np.searchsorted(first[waits], marks[:-1]), len(waits))
    done_at = np.searchsorted(last[done], np.append(marks[:-1], marks[-1]))
    stall = np.zeros(2 * len(streams))
    lane_of, buffers = np.repeat(np.arange(len(streams)), counts), np.array([stream.buffers for stream in streams], np.int64)
    replay(lane_of, base, buffers, bytes_in, bytes_out,
           spans, waits, wait_at, done, done_at, float(port.bytes_per_cycle), float(port.latency_cycles), stall)
    causes: dict[str, float] = {}
    for number, time in enumerate(stall.tolist()):
        drain = " drain" if number >= len(streams) else ""
        name = f"{port.name}: {streams[number % len(streams)].tensor}{drain}"
        causes[name] = causes.get(name, 0.0) + time
    return Cycles(float(cycles.sum()), {name: time for name, time in causes.items() if time > 0})


@dataclass
class _Lane:
    """A stream's progress: events that say a tile is loaded, and that its slot is free again."""

    stream: Stream
    loaded: list[simpy.Event] = field(default_factory=list)
    used: list[simpy.Event] = field(default_factory=list)
    free: list[simpy.Event] = field(default_factory=list)


class _Pipeline:
    def __init__(self, streams: list[Stream], cycles: npt.NDArray[np.float64], port: Port) -> None:
        self.env = simpy.Environment()
        self.port = port
        self.bus = simpy.Resource(self.env, capacity=1)
        self.cycles = cycles
        self.stall: dict[str, float] = {}
        self.lanes = [self._lane(stream) for stream in streams]

    def _lane(self, stream: Stream) -> _Lane:
        tiles = range(len(stream.first))
        return _Lane(stream, *([self.env.event() for _ in tiles] for _ in range(3)))

    def run(self) -> Cycles:
        for lane in self.lanes:
            self.env.process(self._load(lane))
            self.env.process(self._store(lane))
        self.env.run(self.env.process(self._compute()))
        return Cycles(float(self.cycles.sum()), {cause: time for cause, time in self.stall.items() if time > 0})

    def _transfer(self, size: int) -> Process:
        with self.bus.request() as turn:
            yield turn
            yield self.env.timeout(size / self.port.bytes_per_cycle)

    def _load(self, lane: _Lane) -> Process:
        stream = lane.stream
        for tile, size in enumerate(stream.bytes_in.tolist()):
            if tile >= stream.buffers:
                yield lane.free[tile - stream.buffers]
            if size:
                yield from self._transfer(size)
                self.env.process(self._arrive(lane.loaded[tile]))
            else:
                lane.loaded[tile].succeed()

    def _arrive(self, loaded: simpy.Event) -> Process:
        yield self.env.timeout(self.port.latency_cycles)
        loaded.succeed()

    def _store(self, lane: _Lane) -> Process:
        for tile, size in enumerate(lane.stream.bytes_out.tolist()):
            yield lane.used[tile]
            if size:
                yield from self._transfer(size)
            lane.free[tile].succeed()

    def _compute(self) -> Process:
        starts = self._by_step("first")
        ends = self._by_step("last")
        elapsed = np.concatenate([[0.0], np.cumsum(self.cycles)])
        marks = sorted({0, *starts, *(step + 1 for step in ends), len(self.cycles)})
        for start, stop in itertools.pairwise(marks):
            for lane, tile in starts.get(start, ()):
                yield from self._wait(lane.loaded[tile], lane.stream.tensor)
            yield self.env.timeout(float(elapsed[stop] - elapsed[start]))
            for lane, tile in ends.get(stop - 1, ()):
                lane.used[tile].succeed()
        for lane in self.lanes:
            yield from self._wait(lane.free[-1], f"{lane.stream.tensor} drain")

    def _wait(self, event: simpy.Event, cause: str) -> Process:
        began = self.env.now
        yield event
        if self.env.now > began:
            name = f"{self.port.name}: {cause}"
            self.stall[name] = self.stall.get(name, 0.0) + self.env.now - began

    def _by_step(self, edge: str) -> dict[int, list[tuple[_Lane, int]]]:
        found: dict[int, list[tuple[_Lane, int]]] = {}
        for lane in self.lanes:
            for tile, step in enumerate(getattr(lane.stream, edge).tolist()):
                found.setdefault(step, []).append((lane, tile))
        return found
