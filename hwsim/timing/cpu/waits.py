"""What a core waits for: the slowest of its resources, each by the work that it has to do.

for i:
  for j:
    for k:                    multiply-add ports, load and store ports, instructions that begin
      c += A[i,k] * B[k,j]    the sum, which is added to again after fma_latency cycles
                              lines between the caches: their bytes, how many may be on their
                              way, and sets of the first cache that are filled over and over
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from hwsim.describe.machine import Machine
from hwsim.ir.nest import Nest
from hwsim.parts.cache import caches_of
from hwsim.parts.core import Core
from hwsim.parts.dram import Dram
from hwsim.results.result import Cycles
from hwsim.timing.caches.nest_arrays import vector_lanes
from hwsim.timing.caches.traffic import LevelTraffic, StreamResult

Traffic = dict[tuple[str, str], LevelTraffic]

WAITING_SUMS = "sums that wait"
INSTRUCTIONS = "instructions"
PORTS = "load and store ports"


@dataclass(frozen=True)
class Work:
    """Cycles of the sums themselves, and what each resource takes, by its name."""

    compute: float
    resources: Mapping[str, float]

    @property
    def slowest(self) -> float:
        return max(self.compute, *self.resources.values())

    def beside(self, others: Mapping[str, float]) -> Work:
        """The same with other resources."""
        return Work(self.compute, {**self.resources, **others})


def work_of(
    nest: Nest,
    machine: Machine,
    dtype: str,
    stream: StreamResult,
    traffic: Traffic,
    asked: float,
) -> Work:
    """What a core's resources take, each alone.

    Where int8 instructions multiply several values of k, a step of the code is that many.

    asked: bytes of the words that all cores load and store. What a core's own caches do is taken as
    its share of that.
    """
    core = machine.compute
    assert isinstance(core, Core)
    each, code = nest.stage.per_iteration, nest.code
    done = stream.vector_iterations * (each.multiplies or each.vector_operations)
    packed = core.int8_macs_per_lane if dtype == "int8" and each.multiplies else 1
    apart = 1 if code.fused or not each.multiplies else 2
    steps = stream.steps / packed
    loads = stream.loads / packed + code.reloads * steps
    begun = (
        done * apart / packed
        + loads
        + stream.stores
        + code.step * steps
        + code.entry * stream.entries
    )
    in_flight = core.reorder * stream.steps / begun
    cores = stream.even_units
    between = memory_cycles(machine, traffic, cores, asked)
    resources = {
        PORTS: max(loads / core.loads, stream.stores / core.stores),
        **between,
        INSTRUCTIONS: begun / core.issue if core.issue else 0.0,
        WAITING_SUMS: _waiting_for_sums(nest, core, steps, in_flight),
        **_crowded_sets(nest, machine, stream, in_flight),
        **_misses_in_flight(machine, traffic, cores),
    }
    if not core.overlap:
        resources = _one_after_another(resources, between, machine)
    return Work(done / core.fma_ports / packed, resources)


def memory_cycles(
    machine: Machine, traffic: Traffic, cores: float, asked: float
) -> dict[str, float]:
    """Cycles that DRAM and every cache's port need, of several copies the busiest.

    They are of the bytes that are asked of the first cache, and of lines missed and written back
    inside of the others.

    cores: in use, if all were as busy as the busiest.
    """
    clock = machine.clock_hz
    caches = caches_of(machine)
    first = caches[0][1]
    needed = {
        caches[0][0]: asked / first.busy_copies(cores) / first.bandwidth.bytes_per_cycle(clock)
    }
    for name, cache in caches[1:]:
        rows = [lines for (level, _), lines in traffic.items() if level == name]
        ways = (sum(row.reads for row in rows), sum(row.writes for row in rows))
        moved = cache.line * (max(ways) if cache.ports == "separate" else sum(ways))
        needed[name] = moved / cache.busy_copies(cores) / cache.bandwidth.bytes_per_cycle(clock)
        if cache.core_bandwidth is not None:
            alone = moved / cores / cache.core_bandwidth.bytes_per_cycle(clock)
            needed[name] = max(needed[name], alone)
    dram: Dram = machine.part(machine.dram_name, Dram)
    lines = sum(row.reads + row.writes for (level, _), row in traffic.items() if level == "dram")
    moved = lines * caches[-1][1].line
    needed[machine.dram_name] = moved / dram.bandwidth.bytes_per_cycle(clock)
    return needed


def _waiting_for_sums(nest: Nest, core: Core, steps: float, in_flight: float) -> float:
    """Cycles that steps take which add to the same sums as the step before.

    Such a run of steps goes on at one addition in fma_latency cycles. The next runs, which add to
    other sums, begin meanwhile when the instructions that a core has in flight reach so far: with
    w steps in flight and runs of r, 1 + w / r runs go on at a time.
    """
    stage, code = nest.stage, nest.code
    left = dict(stage.bounds)
    run = 1
    for loop in nest.loops_above(nest.holds[-1]):
        left[loop.dim] = min(left[loop.dim], loop.tile)
        trips = nest.bound(loop)
        if loop.spatial is None and trips > 1:
            run = run * trips if loop.dim not in stage.output.dims else 1
    if run == 1:
        return 0.0
    if code.vector in left:
        left[code.vector] = -(-left[code.vector] // vector_lanes(nest, core.vector))
    additions = prod(left[dim] for dim in stage.reduction)
    latency = core.fma_latency if code.fused else core.add_latency or core.fma_latency
    return steps * additions * latency / (1.0 + in_flight / run)


def _crowded_sets(
    nest: Nest, machine: Machine, stream: StreamResult, in_flight: float
) -> dict[str, float]:
    """Cycles that fills take which go to few sets.

    A set is busy for `set_busy` cycles with each, so one that comes d fills after the last of its
    set waits for a d-th of them.

    Where the core has the next pass of the innermost loop in flight too, what that pass finds on
    its way is not filled again: with w steps in flight and passes of r, r / w of the fills stay.
    """
    name, first = caches_of(machine)[0]
    if not first.set_busy or not stream.crowds:
        return {}
    waits = sum(fills / distance for distance, fills in enumerate(stream.crowds[:-1], 1))
    left = min(1.0, _innermost_steps(nest) / in_flight)
    return {f"sets of {name}": waits * first.set_busy * left}


def _innermost_steps(nest: Nest) -> int:
    """Steps of one pass of the innermost loop that steps."""
    loops = nest.loops_above(nest.holds[-1])
    steps = (nest.bound(loop) for loop in reversed(loops) if loop.spatial is None)
    return next((trips for trips in steps if trips > 1), 1)


def _misses_in_flight(machine: Machine, traffic: Traffic, cores: float) -> dict[str, float]:
    """Cycles until all misses of a cache are answered, as many at a time as it can have in flight.

    A miss takes the latency of the level that has the line (Little's law).
    """
    caches = caches_of(machine)
    missed = [
        sum(lines.misses for (level, _), lines in traffic.items() if level == name)
        for name, _ in caches
    ]
    dram: Dram = machine.part(machine.dram_name, Dram)
    latencies = [cache.latency for _, cache in caches[1:]] + [dram.latency]
    found = {}
    for number, (name, cache) in enumerate(caches):
        if not cache.in_flight:
            continue
        answered = [
            here - beyond
            for here, beyond in zip(missed[number:], [*missed[number + 1 :], 0], strict=True)
        ]
        waited = sum(
            max(0.0, lines) * latency.cycles(machine.clock_hz)
            for lines, latency in zip(answered, latencies[number:], strict=True)
        )
        found[f"misses of {name}"] = waited / cache.busy_copies(cores) / cache.in_flight
    return found


def _one_after_another(
    resources: dict[str, float], between: dict[str, float], machine: Machine
) -> dict[str, float]:
    """What a core's work takes where lines do not move while it loads and stores.

    The times of its loads and stores, by its own ports or the first cache's, and of the caches
    behind it add up; the longest of them is named.
    """
    first, *others = (name for name in between if name != machine.dram_name)
    words = max(PORTS, first, key=lambda name: resources[name])
    names = [words, *others]
    longest = max(names, key=lambda name: resources[name])
    return {**resources, longest: sum(resources[name] for name in names)}


def cycles_of(work: Work, machine: Machine) -> Cycles:
    """The slowest resource sets the pace; what it takes beyond the sums themselves is a stall.

    One DRAM latency comes first.
    """
    dram: Dram = machine.part(machine.dram_name, Dram)
    stall = {f"{machine.dram_name} latency": dram.latency.cycles(machine.clock_hz)}
    name, longest = max(work.resources.items(), key=lambda item: item[1])
    if longest > work.compute:
        stall[name] = longest - work.compute
    return Cycles(work.compute, stall)
