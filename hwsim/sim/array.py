"""Arrays of cells: how long a systolic fold or a pass of PEs takes, and a stage run tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

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
from hwsim.sim.buffers import Steps, Tiles, walk_steps
from hwsim.sim.engine import Port, Stream, run_pipeline
from hwsim.sim.explicit import Footprint, accesses, footprints, port_words_bytes, word_bytes
from hwsim.sim.passes import Waits, pass_cycles
from hwsim.sim.result import Accesses, Cycles
from hwsim.spec.machine import Machine

Floats = npt.NDArray[np.float64]
STATIONARY = ("weight-stationary", "input-stationary", "output-stationary")  # what a systolic array can keep in its cells


@dataclass(frozen=True)
class Folds:
    """How a product M x N x K falls on an array: rows and columns hold two of the dims, the third streams past."""

    rows: int
    columns: int
    stream: int


def mapped(m: int, n: int, k: int, stationary: str) -> Folds:
    """Which dims stand still: outputs (M x N, K streams), weights (K x N, M streams) or inputs (K x M, N streams)."""
    choices = {"os": Folds(m, n, k), "ws": Folds(k, n, m), "is": Folds(k, m, n)}
    return choices[stationary]


def separate_fold_cycles(folds: Folds, rows: int, columns: int, preload: bool) -> int:
    """Cycles of folds one after another, each charged whole: T + R + C - 2, and R more to shift a stationary tile in.

    A stream of T operands enters skewed, row by row, and leaves skewed, column by column.
    """
    number = ceil(folds.rows / rows) * ceil(folds.columns / columns)
    return number * (folds.stream + rows + columns - 2 + (rows if preload else 0))


def mapping_efficiency(folds: Folds, rows: int, columns: int) -> float:
    """Share of the cells that hold work, averaged over folds."""
    number = ceil(folds.rows / rows) * ceil(folds.columns / columns)
    return folds.rows * folds.columns / (number * rows * columns)


@dataclass(frozen=True)
class ArrayRun:
    """What one stage did on an explicit machine."""

    cycles: Cycles
    accesses: Accesses
    footprint: Footprint
    fidelity: str
    tiles: tuple[Tiles, ...]
    counts: NestCounts


def run_on_array(nest: Nest, machine: Machine, dtype: str) -> ArrayRun:
    """Tiles double-buffered through DMA as events, folds or PE passes in closed form between them."""
    compute = machine.compute
    assert isinstance(compute, (SystolicArray, PeArray))
    counts = count(nest)
    boundary = _boundary(nest)
    steps, tiles = walk_steps(nest, boundary)
    waits: Waits = {}
    if nest.stage.view is None:
        busy, kind = _vector_cycles(nest, machine, steps), "vector unit"
    elif isinstance(compute, SystolicArray) and nest.dataflow in STATIONARY:
        busy, kind = _systolic_cycles(nest, compute, steps, dtype), "systolic folds"
    else:
        (busy, waits), kind = pass_cycles(nest, machine, steps, tiles, boundary, counts), "PE passes"
    port_name, port_cycles = _port_cycles(nest, machine, counts, compute.accumulator_bytes)
    streams = _streams(nest, machine, counts, tiles, compute.accumulator_bytes)
    port_name, port_cycles = max((port_name, port_cycles), _unstreamed(nest, machine, counts, streams, compute.accumulator_bytes),
                                 key=lambda port: port[1])
    ready = busy + sum(waits.values(), np.zeros(steps.count))
    paced = np.maximum(ready, port_cycles / steps.count)
    dram = machine.part(machine.dram_name, Dram)
    port = Port(machine.dram_name, dram.bandwidth.bytes_per_cycle(machine.clock_hz), dram.latency.cycles(machine.clock_hz))
    cycles = run_pipeline(streams, paced, port)
    waited = {**{cause: float(each.sum()) for cause, each in waits.items()}, f"{port_name} port": float((paced - ready).sum())}
    cycles = Cycles(float(busy.sum()), {**cycles.stall, **{cause: time for cause, time in waited.items() if time > 0}})
    if isinstance(compute, SystolicArray) and kind == "systolic folds":
        cycles = cycles + Cycles(0.0, {"array fill and drain": _skew_cycles(compute)})
    levels = set(machine.memories)
    return ArrayRun(cycles, accesses(machine, nest, _shifted_in(nest, counts), levels, compute.accumulator_bytes),
                    footprints(machine, nest, counts, compute.accumulator_bytes, {}),
                    f"events: tiles by DMA, {kind} in closed form", tuple(tiles), _shifted_in(nest, counts))


def _boundary(nest: Nest) -> int:
    """The first spatial loop, or for a nest without one everything after the last level."""
    for number, item in enumerate(nest.items):
        if isinstance(item, Loop) and item.spatial is not None:
            return number
    return max(number for number, item in enumerate(nest.items) if isinstance(item, Hold)) + 1


def _systolic_cycles(nest: Nest, array: SystolicArray, steps: Steps, dtype: str) -> Floats:
    """A fold streams its operands; the next fold's stationary tile shifts in behind it (outputs: the last one's out), or before."""
    view = nest.stage.view
    assert view is not None
    if dtype not in array.rates:
        raise HwsimError(f"the array does not multiply {dtype}; expected one of {', '.join(array.rates)}")
    others = tuple(dim for dim, _ in nest.stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b))
    streams, rows = {"weight-stationary": (view.m, view.k), "input-stationary": (view.n, view.k),
                     "output-stationary": ((*others, *view.k), view.m)}[nest.dataflow]
    stream = steps.lengths(streams) / array.rates[dtype]
    preload = steps.lengths(rows).astype(np.float64)
    cycles = np.maximum(stream, preload) if array.preload_hidden else stream + preload
    if not array.overlap_folds:
        cycles = cycles + array.rows + array.cols - 2
    return np.asarray(cycles, np.float64)


def _skew_cycles(array: SystolicArray) -> float:
    """The first tile shifting in and the last sums stepping out, once per stage, when folds overlap."""
    if not array.overlap_folds:
        return 0.0
    first = float(array.rows) if array.preload_hidden else 0.0
    return first + array.rows + array.cols - 2


def _vector_cycles(nest: Nest, machine: Machine, steps: Steps) -> Floats:
    """Element operations of a step over the lanes; a copy takes one operation a word."""
    units = [part for part in machine.parts.values() if isinstance(part, VectorUnit)]
    lanes = units[0].lanes if units else int(machine.compute.peak_macs_per_cycle(machine.dtype))
    iterations = steps.lengths(tuple(dim for dim, _ in nest.stage.bounds))
    each = max(1, nest.stage.per_iteration.vector_operations)
    return np.asarray(iterations * each / lanes, np.float64)


def _port_cycles(nest: Nest, machine: Machine, counts: NestCounts, accumulator_bytes: int) -> tuple[str, float]:
    """The busiest on-chip port and the cycles it takes over the whole stage, its reads and writes side by side."""
    slowest = ("", 0.0)
    for name, part in machine.memories.items():
        if isinstance(part, Scratchpad) and part.per == "chip":
            reads = writes = 0
            for tensor in nest.stage.tensors:
                traffic = counts.of(name, tensor.name)
                if traffic.reads or traffic.writes:
                    width = word_bytes(machine, nest, counts, name, tensor.name, accumulator_bytes)
                    inner = traffic.fills if _stationary(nest, name, tensor.name) else traffic.serves
                    reads += (inner + traffic.drains) * width
                    writes += traffic.writes * width
            cycles = max(reads, writes) / part.bandwidth.bytes_per_cycle(machine.clock_hz)
            slowest = max(slowest, (name, cycles), key=lambda port: port[1])
    return slowest


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


def _streams(nest: Nest, machine: Machine, counts: NestCounts, tiles: list[Tiles], accumulator_bytes: int) -> list[Stream]:
    """The tiles that come from DRAM or go there."""
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
        moved = (np.ceil(words * width).astype(np.int64) for words in (incoming, outgoing))
        streams.append(Stream(tile.tensor, buffers, tile.first, tile.last, *moved))
    return streams
