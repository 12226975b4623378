"""A stage on an array of cells, tile by tile: folds or passes in closed form, tiles by DMA as events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hwsim.count.analytic import count
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.parts.dram import Dram
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.parts.vector import VectorUnit
from hwsim.sim.buffers import Steps, Tiles, walk_steps
from hwsim.sim.dram import transfer_ns
from hwsim.sim.engine import Played, Port, Stream, Work, run_pipeline
from hwsim.sim.explicit import Footprint, accesses, footprints, port_words_bytes, word_bytes
from hwsim.sim.folds import STATIONARY
from hwsim.sim.passes import Pace, pass_pace
from hwsim.sim.result import Accesses, Cycles
from hwsim.sim.systolic import fold_pace
from hwsim.spec.machine import Machine

Floats = npt.NDArray[np.float64]
ENDS = "array fill and drain"
STAYS = {"weight-stationary": "weight", "input-stationary": "activation"}


@dataclass(frozen=True)
class ArrayRun:
    """What one stage did on an explicit machine. work, played: its pipeline and when what happened; ends: array fill and drain."""

    cycles: Cycles
    accesses: Accesses
    footprint: Footprint
    fidelity: str
    tiles: tuple[Tiles, ...]
    counts: NestCounts
    work: Work
    played: Played
    ends: float


def run_on_array(nest: Nest, machine: Machine, dtype: str) -> ArrayRun:
    """Tiles double-buffered through DMA as events, folds or PE passes in closed form between them."""
    compute = machine.compute
    assert isinstance(compute, (SystolicArray, PeArray))
    boundary = _boundary(nest)
    steps, tiles = walk_steps(nest, boundary)
    counts = count(nest)
    if nest.stage.view is None:
        pace = Pace("vector unit", _vector_cycles(nest, machine, steps))
    elif isinstance(compute, SystolicArray) and nest.dataflow in STATIONARY:
        pace = fold_pace(nest, machine, compute, steps, dtype)
    else:
        pace = pass_pace(nest, machine, steps, tiles, boundary, counts)
    width = compute.accumulator_bytes
    streams = _streams(nest, machine, counts, tiles, width, pace.shifting)
    port, port_cycles = max(_port_cycles(nest, machine, counts, width), _unstreamed(nest, machine, counts, streams, width),
                            key=lambda busiest: busiest[1])
    exchange = _phase_cycles(nest, machine, counts, width)
    paced = np.maximum(pace.ready + pace.gaps, port_cycles / steps.count) - pace.gaps
    idle = {**pace.waits, f"{port} port": paced - pace.ready, "exchange": np.full(steps.count, exchange / steps.count)}
    memory = dram_port(machine, machine.part(machine.dram_name, Dram))
    work = Work(streams, paced + exchange / steps.count, pace.gaps, memory, pace.results, idle)
    played = run_pipeline(work)
    ends = max(0.0, pace.ends - sum(float(stream.settling[0]) for stream in streams))  # the first tile shifts in once it has come
    cycles = played.cycles + Cycles(0.0, {ENDS: ends} if ends > 0 else {})
    inward = _shifted_in(nest, counts)
    return ArrayRun(cycles, accesses(machine, nest, inward, set(machine.memories), width), footprints(machine, nest, counts, width, {}),
                    f"events: tiles by DMA, {pace.kind} in closed form", tuple(tiles), inward, work, played, ends)


def dram_port(machine: Machine, dram: Dram) -> Port:
    """DRAM as the engine sees it."""
    device, clock = dram.device, machine.clock_hz
    timed = None if device is None else (lambda sizes: transfer_ns(device, dram.channels, sizes) * 1e-9 * clock)
    return Port(machine.dram_name, dram.bandwidth.bytes_per_cycle(clock), dram.latency.cycles(clock), dram.ports == "separate",
                dram.burst, timed)


def _boundary(nest: Nest) -> int:
    """The first spatial loop, or for a nest without one everything after the last level."""
    for number, item in enumerate(nest.items):
        if isinstance(item, Loop) and item.spatial is not None:
            return number
    return max(number for number, item in enumerate(nest.items) if isinstance(item, Hold)) + 1


def _vector_cycles(nest: Nest, machine: Machine, steps: Steps) -> Floats:
    """Element operations of a step over the lanes; a copy takes one operation a word."""
    units = [part for part in machine.parts.values() if isinstance(part, VectorUnit)]
    lanes = units[0].lanes if units else int(machine.compute.peak_macs_per_cycle(machine.dtype))
    iterations = steps.lengths(tuple(dim for dim, _ in nest.stage.bounds))
    each = max(1, nest.stage.per_iteration.vector_operations)
    return np.ceil(iterations * each / lanes)


def _port_cycles(nest: Nest, machine: Machine, counts: NestCounts, accumulator_bytes: int) -> tuple[str, float]:
    """The busiest on-chip port and the cycles it takes over the whole stage, its reads and writes side by side."""
    slowest = ("", 0.0)
    for name, part in machine.memories.items():
        if isinstance(part, Scratchpad) and part.per == "chip" and not part.phases:
            slowest = max(slowest, (name, _busy_cycles(nest, machine, counts, name, accumulator_bytes)), key=lambda port: port[1])
    return slowest


def _phase_cycles(nest: Nest, machine: Machine, counts: NestCounts, accumulator_bytes: int) -> float:
    """What moves through ports that work only between computing."""
    return sum(_busy_cycles(nest, machine, counts, name, accumulator_bytes) for name, part in machine.memories.items()
               if isinstance(part, Scratchpad) and part.phases)


def _busy_cycles(nest: Nest, machine: Machine, counts: NestCounts, name: str, accumulator_bytes: int) -> float:
    """What a memory's ports take over the whole stage, reads and writes side by side."""
    reads = writes = 0
    for tensor in nest.stage.tensors:
        traffic = counts.of(name, tensor.name)
        if traffic.reads or traffic.writes:
            width = word_bytes(machine, nest, counts, name, tensor.name, accumulator_bytes)
            inner = traffic.fills if _stationary(nest, name, tensor.name) else traffic.serves
            reads += (inner + traffic.drains) * width
            writes += traffic.writes * width
    return max(reads, writes) / float(machine.part(name, Scratchpad).bandwidth.bytes_per_cycle(machine.clock_hz))


def _shifted_in(nest: Nest, counts: NestCounts) -> NestCounts:
    """The counts with weights read from their last memory once, as they shift into the cells, not for every product."""
    traffic = {(level, tensor): replace(row, serves=row.fills) if _stationary(nest, level, tensor) else row
               for (level, tensor), row in counts.traffic.items()}
    return replace(counts, traffic=traffic)


def _stationary(nest: Nest, level: str, tensor: str) -> bool:
    """True for weights that sit in the cells: the multipliers do not read them from the memory again."""
    last = nest.chain(tensor)[-2]
    return nest.dataflow == "weight-stationary" and last is not None and last.level == level and nest.stage.tensor(tensor).role == "weight"


def _unstreamed(nest: Nest, machine: Machine, counts: NestCounts, streams: list[Stream], accumulator_bytes: int) -> tuple[str, float]:
    """DRAM's port busy with tensors that pass the chip's memories by and stream straight to the array."""
    moved = 0.0
    for tensor in nest.stage.tensors:
        if tensor.name not in {stream.tensor for stream in streams}:
            traffic = counts.of(machine.dram_name, tensor.name)
            moved += (traffic.reads + traffic.writes) * port_words_bytes(machine, nest, counts, tensor.name, accumulator_bytes)
    return machine.dram_name, moved / machine.part(machine.dram_name, Dram).bandwidth.bytes_per_cycle(machine.clock_hz)


def _copied(nest: Nest, tile: Tiles) -> bool:
    """True for a tile that is not needed once its step has begun: filters that a row-stationary pass keeps in the PEs."""
    return nest.dataflow == "row-stationary" and nest.stage.tensor(tile.tensor).role == "weight"


def _streams(nest: Nest, machine: Machine, counts: NestCounts, tiles: list[Tiles], accumulator_bytes: int,
             shifting: Floats | None) -> list[Stream]:
    """The tiles that come from DRAM or go there. shifting: at every step, cycles in which its stationary tile shifts in."""
    streams = []
    for tile in tiles:
        chain = nest.chain(tile.tensor)
        if chain[0] is None or chain[0].level != machine.dram_name or chain[1] is None or chain[1].level != tile.level:
            continue
        width = port_words_bytes(machine, nest, counts, tile.tensor, accumulator_bytes)
        output = nest.stage.tensor(tile.tensor).role == "output"
        incoming = tile.returning if output else tile.entering
        outgoing = tile.leaving if output else np.zeros_like(tile.leaving)
        buffers = tile.buffers + (1 if _copied(nest, tile) else 0)
        settle = None if shifting is None or nest.stage.tensor(tile.tensor).role != STAYS.get(nest.dataflow) else shifting[tile.first]
        bytes_in, bytes_out = (np.ceil(words * width).astype(np.int64) for words in (incoming, outgoing))
        streams.append(Stream(tile.tensor, buffers, tile.first, tile.last, bytes_in, bytes_out, settle,
                              f"{tile.level} {nest.stage.tensor(tile.tensor).role}s"))
    return streams
