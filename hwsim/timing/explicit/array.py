"""A stage on an array of cells, tile by tile: tiles by DMA as events.

Folds or passes are in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hwsim.count.closed_form import count
from hwsim.describe.machine import Machine
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Nest
from hwsim.ir.stationary import first_spatial, keeps_filters, stationary
from hwsim.parts.dram import Dram
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.vector import VectorUnit
from hwsim.results.result import Cycles
from hwsim.timing import Run
from hwsim.timing.dram.channels import transfer_ns
from hwsim.timing.explicit.accesses import accesses, busy_cycles, footprints, port_words_bytes
from hwsim.timing.explicit.pipeline import Played, Port, Stream, Work, run_pipeline
from hwsim.timing.explicit.tiles import Steps, Tiles, walk_steps
from hwsim.timing.pace import Pace, PaceOf, Passing
from hwsim.timing.physics import port_cycles

Floats = npt.NDArray[np.float64]
ENDS = "array fill and drain"


@dataclass(frozen=True)
class ArrayRun(Run):
    """A run on an array.

    work, played: its pipeline and when what happened; ends: array fill and drain.
    """

    work: Work = field(kw_only=True)
    played: Played = field(kw_only=True)
    ends: float = field(kw_only=True)


def run_on_array(nest: Nest, machine: Machine, dtype: str, pace_of: PaceOf) -> ArrayRun:
    """Tiles double-buffered through DMA as events, the array between them in closed form.

    It goes at its own pace.

    pace_of: how long each step computes, by kind of array.
    """
    boundary = first_spatial(nest)
    steps, tiles = walk_steps(nest, boundary)
    counts = count(nest)
    if nest.stage.view is None:
        pace = Pace("vector unit", _vector_cycles(nest, machine, steps))
    else:
        pace = pace_of(Passing(nest, machine, dtype, boundary, steps, tuple(tiles), counts))
    width = machine.compute.accumulator_bytes
    streams = _streams(nest, machine, counts, tiles, width, pace.shifting)
    port, busiest_port = max(
        _port_cycles(nest, machine, counts, width),
        _unstreamed(nest, machine, counts, streams, width),
        key=lambda busiest: busiest[1],
    )
    exchange = _phase_cycles(nest, machine, counts, width)
    paced = np.maximum(pace.ready + pace.gaps, busiest_port / steps.count) - pace.gaps
    idle = {
        **pace.waits,
        f"{port} port": paced - pace.ready,
        "exchange": np.full(steps.count, exchange / steps.count),
    }
    memory = dram_port(machine, machine.part(machine.dram_name, Dram))
    work = Work(streams, paced + exchange / steps.count, pace.gaps, memory, pace.results, idle)
    played = run_pipeline(work)
    # the first tile shifts in once it has come
    ends = max(0.0, pace.ends - sum(float(stream.settling[0]) for stream in streams))
    late = _late(nest, machine, counts, streams)
    outside = {ENDS: ends, f"{machine.dram_name} latency": late}
    cycles = played.cycles + Cycles(0.0, {cause: time for cause, time in outside.items() if time})
    moved = accesses(machine, nest, counts, set(machine.memories), width)
    at_dram = moved.get(machine.dram_name, {}).values()
    crowded = port_cycles(machine, machine.dram_name, at_dram) - cycles.total
    # tensors that go past the chip's memories share the port with those that do not
    if crowded > 0:
        cycles += Cycles(0.0, {f"{machine.dram_name} port": crowded})
    return ArrayRun(
        nest,
        cycles,
        moved,
        footprints(machine, nest, counts, width, {}),
        f"events: tiles by DMA, {pace.kind} in closed form",
        counts,
        timeline=played.timeline,
        work=work,
        played=played,
        ends=ends,
    )


def dram_port(machine: Machine, dram: Dram) -> Port:
    """DRAM as the engine sees it."""
    device, clock = dram.device, machine.clock_hz
    timed = (
        None
        if device is None
        else (lambda sizes: transfer_ns(device, dram.channels, sizes) * 1e-9 * clock)
    )
    return Port(
        machine.dram_name,
        dram.bandwidth.bytes_per_cycle(clock),
        dram.latency.cycles(clock),
        dram.ports == "separate",
        dram.burst,
        timed,
    )


def _vector_cycles(nest: Nest, machine: Machine, steps: Steps) -> Floats:
    """Element operations of a step over the lanes; a copy takes one operation a word."""
    units = [part for part in machine.parts.values() if isinstance(part, VectorUnit)]
    lanes = units[0].lanes if units else int(machine.compute.peak_macs_per_cycle(machine.dtype))
    iterations = steps.lengths(tuple(dim for dim, _ in nest.stage.bounds))
    each = max(1, nest.stage.per_iteration.vector_operations)
    return np.ceil(iterations * each / lanes)


def _port_cycles(
    nest: Nest, machine: Machine, counts: NestCounts, accumulator_bytes: int
) -> tuple[str, float]:
    """The busiest on-chip port and the cycles it takes over the whole stage.

    Its reads and writes go side by side.
    """
    slowest = ("", 0.0)
    for name, part in machine.memories.items():
        if isinstance(part, Scratchpad) and part.per == "chip" and not part.phases:
            slowest = max(
                slowest,
                (name, busy_cycles(nest, machine, counts, name, accumulator_bytes)),
                key=lambda port: port[1],
            )
    return slowest


def _phase_cycles(
    nest: Nest, machine: Machine, counts: NestCounts, accumulator_bytes: int
) -> float:
    """What moves through ports that work only between computing."""
    return sum(
        busy_cycles(nest, machine, counts, name, accumulator_bytes)
        for name, part in machine.memories.items()
        if isinstance(part, Scratchpad) and part.phases
    )


def _unstreamed(
    nest: Nest, machine: Machine, counts: NestCounts, streams: list[Stream], accumulator_bytes: int
) -> tuple[str, float]:
    """DRAM's port busy with tensors that go past the chip's memories straight to the array."""
    moved = 0.0
    for tensor in nest.stage.tensors:
        if tensor.name not in {stream.tensor for stream in streams}:
            traffic = counts.of(machine.dram_name, tensor.name)
            moved += (traffic.reads + traffic.writes) * port_words_bytes(
                machine, nest, counts, tensor.name, accumulator_bytes
            )
    return machine.dram_name, moved / machine.part(
        machine.dram_name, Dram
    ).bandwidth.bytes_per_cycle(machine.clock_hz)


def _late(nest: Nest, machine: Machine, counts: NestCounts, streams: list[Stream]) -> float:
    """Cycles until the first words are there of inputs that go past the chip's memories.

    They are asked for in the cycle before the first step, and later ones ahead, so that DRAM's
    latency is waited for once. Tiles that come before the first step wait as long beside them.
    """
    held = {stream.tensor for stream in streams}
    passing = any(
        tensor.name not in held and counts.of(machine.dram_name, tensor.name).reads
        for tensor in nest.stage.inputs
    )
    if not passing or any(stream.bytes_in[0] for stream in streams):
        return 0.0
    dram: Dram = machine.part(machine.dram_name, Dram)
    return max(0.0, float(dram.latency.cycles(machine.clock_hz)) - 1.0)


def _copied(nest: Nest, machine: Machine, tile: Tiles) -> bool:
    """True for a tile that is not needed once its step has begun.

    Such are filters that PEs keep in their scratchpads for a pass.
    """
    return nest.stage.tensor(tile.tensor).role == "weight" and keeps_filters(nest, machine)


def _streams(
    nest: Nest,
    machine: Machine,
    counts: NestCounts,
    tiles: list[Tiles],
    accumulator_bytes: int,
    shifting: Floats | None,
) -> list[Stream]:
    """The tiles that come from DRAM or go there.

    shifting: at every step, cycles in which its stationary tile shifts in.
    """
    streams = []
    for tile in tiles:
        chain = nest.chain(tile.tensor)
        if (
            chain[0] is None
            or chain[0].level != machine.dram_name
            or chain[1] is None
            or chain[1].level != tile.level
        ):
            continue
        width = port_words_bytes(machine, nest, counts, tile.tensor, accumulator_bytes)
        output = nest.stage.tensor(tile.tensor).role == "output"
        incoming = tile.returning if output else tile.entering
        outgoing = tile.leaving if output else np.zeros_like(tile.leaving)
        buffers = tile.buffers + (1 if _copied(nest, machine, tile) else 0)
        settles = shifting is not None and nest.stage.tensor(tile.tensor).role == stationary(
            nest, machine.compute_name
        )
        settle = shifting[tile.first] if shifting is not None and settles else None
        bytes_in, bytes_out = (
            np.ceil(words * width).astype(np.int64) for words in (incoming, outgoing)
        )
        streams.append(
            Stream(
                tile.tensor,
                buffers,
                tile.first,
                tile.last,
                bytes_in,
                bytes_out,
                settle,
                f"{tile.level} {nest.stage.tensor(tile.tensor).role}s",
            )
        )
    return streams
