"""CPU timing: every port's work from the simulated streams; the slowest port sets the pace."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from hwsim.count.closed_form import count
from hwsim.describe.machine import Machine
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Nest
from hwsim.parts.cache import Cache
from hwsim.parts.core import Core
from hwsim.parts.dram import Dram
from hwsim.results.result import Access, Accesses, Cycles, Sampling
from hwsim.timing import Run
from hwsim.timing.caches.stream import (
    SUM_BYTES,
    ImplicitChain,
    LevelTraffic,
    StreamResult,
    Walkers,
    run_stream,
)
from hwsim.timing.explicit.accesses import accesses, footprints

Traffic = dict[tuple[str, str], LevelTraffic]

STEPS_EXACT = 150_000_000  # walked one by one in about 10 s; longer stages are sampled
WINDOW_STEPS = 4_000_000
LOOP_OVERHEAD = 3  # instructions of a step beside loads, stores and sums: add, compare, branch
WAITING_SUMS = "sums that wait"
QUANTUM = 512


def core_walkers(core: Core) -> Walkers:
    """All cores at once, taking turns of a few hundred steps."""
    return Walkers(core.cores, QUANTUM, core.vector, STEPS_EXACT, WINDOW_STEPS)


def run_on_cores(nest: Nest, machine: Machine, dtype: str, chain: ImplicitChain, last: bool) -> Run:
    """One stage on the cores; last: the layer ends here, and dirty lines are written out."""
    core = machine.compute
    assert isinstance(core, Core)
    counts = count(nest)
    boundary = nest.holds[-1]
    stream = run_stream(nest, boundary, frozenset({"core"}), chain, core_walkers(core))
    traffic = with_flush(stream.traffic, chain, last)
    words = _register_bytes(nest, counts)
    ports = memory_cycles(
        machine,
        traffic,
        max(1, counts.instances[boundary.level]),
        sum(loaded + stored for loaded, stored in words.values()),
    )
    cycles = _cycles(nest, machine, dtype, stream, ports)
    found = accesses(machine, nest, counts, {boundary.level}, SUM_BYTES)
    found.update(cache_accesses(machine, traffic, chain.line))
    found[chain.names[0]] = _in_words(found[chain.names[0]], words, traffic, chain)
    return Run(
        nest,
        cycles,
        found,
        footprints(machine, nest, counts, SUM_BYTES, {}),
        fidelity("caches", stream.sampling, "panel by panel", "each level's misses"),
        sampling=stream.sampling,
    )


def fidelity(what: str, sampling: Sampling | None, rest: str, of: str) -> str:
    """How the caches were simulated, in words; rest: what became of steps that were not walked one
    by one; of: what may be off."""
    if sampling is None:
        return f"{what} line by line, exact; ports in closed form"
    return (
        f"{what} line by line, {sampling.share:.1%} of the steps one by one, the rest {rest} "
        f"({of} within {sampling.error:.0%}); ports in closed form"
    )


def cache_accesses(machine: Machine, traffic: Traffic, line: int) -> Accesses:
    """Cache and DRAM accesses in lines."""
    found: Accesses = {}
    for (level, tensor), lines in traffic.items():
        name = machine.dram_name if level == "dram" else level
        filled = 0 if level == "dram" else lines.misses
        reads, writes = round(lines.reads), round(lines.writes + filled)
        found.setdefault(name, {})[tensor] = Access(reads, writes, reads * line, writes * line)
    return found


def with_flush(traffic: Traffic, chain: ImplicitChain, last: bool) -> Traffic:
    """A stage's traffic, and after a layer's last stage the lines still dirty."""
    total = dict(traffic)
    for key, lines in (chain.flush() if last else {}).items():
        total[key] = total.get(key, LevelTraffic(0, 0, 0, 0)) + lines
    return total


def _cycles(
    nest: Nest, machine: Machine, dtype: str, stream: StreamResult, memories: dict[str, float]
) -> Cycles:
    """The busiest of the multiply-add ports, the load and store ports, the memories' ports, and
    sums that wait for themselves."""
    core = machine.compute
    assert isinstance(core, Core)
    each = nest.stage.per_iteration
    packed = core.int8_macs_per_lane if dtype == "int8" else 1
    if each.multiplies:
        compute = stream.vector_iterations * each.multiplies / core.fma_ports / packed
    else:
        compute = stream.vector_iterations * each.vector_operations / core.fma_ports
    ports = {
        "load and store ports": max(stream.loads / core.loads, stream.stores / core.stores),
        **memories,
        WAITING_SUMS: _waiting_for_sums(nest, core, stream),
    }
    return bounded(compute, ports, machine)


def _register_bytes(nest: Nest, counts: NestCounts) -> dict[str, tuple[int, int]]:
    """Bytes of every buffer that come into the registers and go out of them: what loads and stores
    move through the first cache's port, which is not whole lines."""
    found: dict[str, tuple[int, int]] = {}
    for tensor in nest.stage.tensors:
        moved = counts.of(nest.holds[-1].level, tensor.name)
        loaded, stored = found.get(tensor.buffer, (0, 0))
        found[tensor.buffer] = (
            loaded + moved.fills * tensor.width,
            stored + moved.drains * tensor.width,
        )
    return found


def _in_words(
    lines: dict[str, Access],
    words: dict[str, tuple[int, int]],
    traffic: Traffic,
    chain: ImplicitChain,
) -> dict[str, Access]:
    """The first cache's accesses: look-ups of lines, and the bytes of the words in them; what it
    fetches comes in whole lines."""
    found = {}
    for buffer, access in lines.items():
        loaded, stored = words.get(buffer, (0, 0))
        fetched = traffic.get((chain.names[0], buffer), LevelTraffic(0, 0, 0, 0)).misses
        found[buffer] = replace(
            access, read_bytes=loaded, write_bytes=stored + round(fetched) * chain.line
        )
    return found


def _waiting_for_sums(nest: Nest, core: Core, stream: StreamResult) -> float:
    """Cycles that steps take which add to the same sums as the step before.

    Such a run of steps goes on at one addition in fma_latency cycles. The next runs, which add to
    other sums, begin meanwhile when the instructions that a core has in flight reach so far: with
    w steps in flight and runs of r, 1 + w / r runs go on at a time.
    """
    stage = nest.stage
    left = dict(stage.bounds)
    run = 1
    for loop in nest.loops_above(nest.holds[-1]):
        trips = -(-left[loop.dim] // loop.tile)
        left[loop.dim] = min(left[loop.dim], loop.tile)
        if loop.spatial is None and trips > 1:
            run = run * trips if loop.dim not in stage.output.dims else 1
    if run == 1:
        return 0.0
    additions = prod(left[dim] for dim in stage.reduction)
    issued = stream.vector_iterations + stream.loads + stream.stores
    in_flight = core.reorder / (issued / stream.steps + LOOP_OVERHEAD)
    return stream.steps * additions * core.fma_latency / (1.0 + in_flight / run)


def memory_cycles(machine: Machine, traffic: Traffic, units: int, asked: float) -> dict[str, float]:
    """Cycles that every cache's port and DRAM need, over the copies in use: the bytes that are
    asked of the first cache, and lines missed and written back inside of the others."""
    names = [
        name for name in machine.chain("activation")[::-1] if isinstance(machine.parts[name], Cache)
    ]
    first: Cache = machine.part(names[0], Cache)
    copies = units if first.per == "core" else 1
    needed = {names[0]: asked / copies / first.bandwidth.bytes_per_cycle(machine.clock_hz)}
    for name, outer in zip(names, [*names[1:], None], strict=True):
        moved = sum(
            lines.misses + lines.writebacks
            for (level, _), lines in traffic.items()
            if level == name
        )
        cache: Cache = machine.part(name, Cache)
        share = units if cache.per == "core" else 1
        if outer is not None:
            next_: Cache = machine.part(outer, Cache)
            outer_share = share if next_.per == "core" else 1
            needed[outer] = (
                moved * cache.line / outer_share / next_.bandwidth.bytes_per_cycle(machine.clock_hz)
            )
    dram: Dram = machine.part(machine.dram_name, Dram)
    line = machine.part(names[-1], Cache).line
    lines = sum(row.reads + row.writes for (level, _), row in traffic.items() if level == "dram")
    needed[machine.dram_name] = lines * line / dram.bandwidth.bytes_per_cycle(machine.clock_hz)
    return needed


def bounded(compute: float, ports: dict[str, float], machine: Machine) -> Cycles:
    """Perfect overlap: the slowest of compute and ports, and one DRAM latency to begin with."""
    dram: Dram = machine.part(machine.dram_name, Dram)
    stall = {f"{machine.dram_name} latency": dram.latency.cycles(machine.clock_hz)}
    slowest = max(ports, key=lambda name: ports[name])
    if ports[slowest] > compute:
        stall[slowest] = ports[slowest] - compute
    return Cycles(compute, stall)
