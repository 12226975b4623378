"""A stage on an array of cells, tile by tile: folds or passes in closed form, tiles by DMA as events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hwsim.count.analytic import count
from hwsim.errors import HwsimError
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.parts.dram import Dram
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.parts.vector import VectorUnit
from hwsim.sim.banks import slowdown
from hwsim.sim.buffers import Steps, Tiles, walk_steps
from hwsim.sim.dram import transfer_ns
from hwsim.sim.engine import SETTLING, Played, Port, Stream, Work, run_pipeline
from hwsim.sim.explicit import Footprint, accesses, footprints, port_words_bytes, word_bytes
from hwsim.sim.folds import STATIONARY, Folds, Stationary, Timing, intervals, schedule
from hwsim.sim.passes import Waits, pass_cycles
from hwsim.sim.result import Accesses, Cycles
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
    counts = count(nest)
    boundary = _boundary(nest)
    steps, tiles = walk_steps(nest, boundary)
    waits: Waits = {}
    gaps = np.zeros(steps.count)
    ends = results = 0.0
    shifting: Floats | None = None
    if nest.stage.view is None:
        busy, kind = _vector_cycles(nest, machine, steps), "vector unit"
    elif isinstance(compute, SystolicArray) and nest.dataflow in STATIONARY:
        (busy, gaps, ends), kind = _fold_cycles(nest, compute, steps, dtype), "systolic folds"
        shifting, results = _rows(nest, compute, steps), float(compute.rows)
        waits = _bank_conflicts(nest, machine, steps, busy)
    else:
        (busy, waits), kind = pass_cycles(nest, machine, steps, tiles, boundary, counts), "PE passes"
    port_name, port_cycles = _port_cycles(nest, machine, counts, compute.accumulator_bytes)
    streams = _streams(nest, machine, counts, tiles, compute.accumulator_bytes, shifting)
    port_name, port_cycles = max((port_name, port_cycles), _unstreamed(nest, machine, counts, streams, compute.accumulator_bytes),
                                 key=lambda port: port[1])
    ready = busy + sum(waits.values(), np.zeros(steps.count))
    between = _phase_cycles(nest, machine, counts, compute.accumulator_bytes) / steps.count
    paced = np.maximum(ready + gaps, port_cycles / steps.count) - gaps + between
    work = Work(streams, paced, gaps, dram_port(machine, machine.part(machine.dram_name, Dram)), results)
    played = run_pipeline(work)
    cycles = played.cycles
    waited = {**{cause: float(each.sum()) for cause, each in waits.items()}, f"{port_name} port": float((paced - ready - between).sum()),
              "exchange": float(between * steps.count)}
    inside = cycles.compute - float(paced.sum())  # gaps between marks: the engine waits only at these
    waited[SETTLING] = inside
    cycles = Cycles(float(busy.sum()), cycles.stall) + Cycles(0.0, {cause: time for cause, time in waited.items() if time > 0})
    settled = sum(float(stream.settling[0]) for stream in streams)  # the first tile's shifting in is in its stream's time
    if ends > settled:
        cycles = cycles + Cycles(0.0, {ENDS: ends - settled})
    levels = set(machine.memories)
    return ArrayRun(cycles, accesses(machine, nest, _shifted_in(nest, counts), levels, compute.accumulator_bytes),
                    footprints(machine, nest, counts, compute.accumulator_bytes, {}),
                    f"events: tiles by DMA, {kind} in closed form", tuple(tiles), _shifted_in(nest, counts), work, played,
                    max(0.0, ends - settled))


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


def _fold_cycles(nest: Nest, array: SystolicArray, steps: Steps, dtype: str) -> tuple[Floats, Floats, float]:
    """(cycles of streaming at every step, cycles from there until the next fold may start, first tile in and last results out)."""
    if dtype not in array.rates:
        raise HwsimError(f"the array does not multiply {dtype}; expected one of {', '.join(array.rates)}")
    stationary = STATIONARY[nest.dataflow]
    folds, last = _folds(nest, array, steps, dtype, stationary)
    streaming = _streaming(nest, array, steps, dtype)
    between = np.zeros(steps.count)
    between[last[:-1]] = intervals(folds, timing_of(array), stationary) - folds.stream[:-1]
    inside = float(folds.stream.sum() + between.sum())
    return streaming, between, schedule(folds, timing_of(array), stationary).cycles - inside


def _bank_conflicts(nest: Nest, machine: Machine, steps: Steps, streaming: Floats) -> Waits:
    """What streaming loses where the buffer that feeds the array's rows declares banks."""
    view, stationary = nest.stage.view, STATIONARY[nest.dataflow]
    assert view is not None
    role = "weight" if stationary == "is" else "activation"
    tensor = next(tensor for tensor in nest.stage.inputs if tensor.role == role)
    held = nest.chain(tensor.name)[-2]
    part = None if held is None or held.level not in machine.memories else machine.memories[held.level]
    if not isinstance(part, Scratchpad) or part.banks == 1 or part.whole_banks:
        return {}
    rows, stream = {"ws": (view.k, view.m), "is": (view.k, view.n), "os": (view.m, view.k)}[stationary]
    return {"bank conflicts": streaming * (slowdown(tensor, steps, rows, stream, part.banks) - 1)}


def _rows(nest: Nest, array: SystolicArray, steps: Steps) -> Floats | None:
    """Rows of the stationary tile at every step; None where sums stay."""
    view, stationary = nest.stage.view, STATIONARY[nest.dataflow]
    assert view is not None
    if stationary == "os":
        return None
    return np.full(steps.count, float(array.rows)) if array.partial_folds == "whole" else steps.lengths(view.k).astype(np.float64)


def timing_of(array: SystolicArray) -> Timing:
    return Timing(array.preload_hidden, array.overlap_folds, array.drain, array.mac_stages)


def _folds(nest: Nest, array: SystolicArray, steps: Steps, dtype: str, stationary: Stationary) -> tuple[Folds, npt.NDArray[np.int64]]:
    """The folds of a nest's steps, and the last step of each: slices of a reduction whose sums stay are one fold."""
    view = nest.stage.view
    assert view is not None
    down, across = {"ws": (view.k, view.n), "is": (view.k, view.m), "os": (view.m, view.n)}[stationary]
    rows, columns, stream = steps.lengths(down), steps.lengths(across), _streaming(nest, array, steps, dtype)
    last = np.arange(steps.count)
    if stationary == "os":
        places = np.stack([steps.lo[dim] for dim in (*view.b, *view.m, *view.n)])
        last = np.flatnonzero(np.append((places[:, 1:] != places[:, :-1]).any(axis=0), True))
        stream = np.add.reduceat(stream, np.concatenate([[0], last[:-1] + 1]))
    columns = -(-columns // -(-columns // array.cols))  # of one array
    if array.partial_folds == "whole":
        rows, columns = np.full_like(rows, array.rows), np.full_like(columns, array.cols)
    return Folds(rows[last], columns[last], stream), last


def _streaming(nest: Nest, array: SystolicArray, steps: Steps, dtype: str) -> Floats:
    """Cycles in which vectors enter, at every step."""
    view = nest.stage.view
    assert view is not None
    others = tuple(dim for dim, _ in nest.stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b))
    past = {"ws": view.m, "is": view.n, "os": (*others, *view.k)}[STATIONARY[nest.dataflow]]
    vectors = steps.lengths(past)
    if nest.dataflow != "output-stationary":  # a reduction is not shared: nothing would add its parts
        needed = -(-steps.lengths(view.n if nest.dataflow == "weight-stationary" else view.m) // array.cols)
        vectors = -(-vectors // np.maximum(1, array.arrays // needed))
    return np.asarray(vectors / array.rates[dtype], np.float64)


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
