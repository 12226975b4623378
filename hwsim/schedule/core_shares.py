"""Which core takes which part of a product.

for m-chunk, n-chunk:  a core each      those that finish soonest: work of the busiest core, lines
                                        that a core waits for, what every group of cores with a last
                                        cache of its own fetches from DRAM
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import prod

from hwsim.describe.machine import Machine
from hwsim.ir.stage import GemmView, Stage
from hwsim.parts.cache import caches_of
from hwsim.parts.dram import Dram

CLEARLY = 0.95  # times as long with fewer cores: the others stay idle


def larger_first(stage: Stage, view: GemmView, shares: Mapping[str, int]) -> list[str]:
    """Dims that cores share, outermost first.

    Neighbours, which may have a cache together, read the same part of the larger operand.
    """
    sizes = {tensor.role: tensor.bytes for tensor in stage.tensors}
    wide = sizes.get("weight", 0) > sizes.get("activation", 0)
    return sorted(shares, key=lambda dim: (dim in view.n) != wide)


def share_cores(
    stage: Stage, view: GemmView, machine: Machine, tile: Mapping[str, int], cycles: float
) -> dict[str, int]:
    """Chunks of up to two dims, one chunk a core, that finish soonest.

    They are of batch, pixels or filters, in whole tiles, each of so many cycles for a value of k.
    Where groups of cores have last caches of their own, and each fetches its words from DRAM, fewer
    cores may finish sooner.
    """
    best, *fewer = (_chunks(stage, view, tile, cores) for cores in _counts_of_cores(machine))
    if not fewer:
        return best
    least = time_of_shares(stage, view, machine, tile, cycles, best)
    for shares in fewer:
        time = time_of_shares(stage, view, machine, tile, cycles, shares)
        if time < CLEARLY * least:
            best, least = shares, time
    return best


def _counts_of_cores(machine: Machine) -> Iterator[int]:
    """All cores, and half as many again and again down to those of one last cache."""
    cores, together = machine.compute.units, _cores_of_last_cache(machine)
    yield cores
    while cores > together:
        cores = max(together, cores // 2)
        yield cores


def _cores_of_last_cache(machine: Machine) -> int:
    """Cores that have the cache before the DRAM together."""
    _, last = caches_of(machine)[-1]
    return last.sharers or machine.compute.units


def time_of_shares(
    stage: Stage,
    view: GemmView,
    machine: Machine,
    tile: Mapping[str, int],
    cycles: float,
    shares: Mapping[str, int],
) -> float:
    """Cycles for a value of k until the last core is done, with so many cycles of a tile, or all is
    fetched that cores wait for and that the caches in use need."""
    dram: Dram = machine.part(machine.dram_name, Dram)
    extents = {**dict(stage.bounds), **shares}
    tiles = prod(-(-extents[dim] // tile.get(dim, 1)) for dim in (*view.b, *view.m, *view.n))
    fetched = _fetched_bytes(stage, view, machine, shares) / steps_of(stage, view)
    return max(
        tiles * cycles,
        _cycles_of_lines(stage, view, machine, extents),
        fetched / dram.bandwidth.bytes_per_cycle(machine.clock_hz),
    )


def _cycles_of_lines(
    stage: Stage, view: GemmView, machine: Machine, extents: Mapping[str, int]
) -> float:
    """Cycles for a value of k until a core's operands are there, each line once from beyond its
    first two caches."""
    (_, first), *others = caches_of(machine)
    if not first.in_flight:
        return 0.0
    dram: Dram = machine.part(machine.dram_name, Dram)
    latency = others[1][1].latency if len(others) > 1 else dram.latency
    inner = (*view.m, *view.n, *view.b)
    shares = {dim: extents[dim] / bound for dim, bound in stage.bounds if dim in inner}
    fetched = sum(
        tensor.bytes * prod(shares.get(dim, 1.0) for dim in tensor.dims)
        for tensor in stage.tensors
        if tensor.role != "output"
    )
    waited = fetched / first.line * latency.cycles(machine.clock_hz) / first.in_flight
    return waited / steps_of(stage, view)


def _fetched_bytes(
    stage: Stage, view: GemmView, machine: Machine, shares: Mapping[str, int]
) -> float:
    """Bytes that come from DRAM: what the chunks read of every group of cores with a last cache.

    Neighbours are in a group, inner chunks first.
    """
    together, extents = _cores_of_last_cache(machine), stage.extents
    chunks = {dim: -(-extents[dim] // size) for dim, size in shares.items()}
    groups = -(-prod(chunks.values()) // together)
    read, left = {}, together
    for dim in reversed(larger_first(stage, view, shares)):
        read[dim] = min(1.0, min(left, chunks[dim]) * shares[dim] / extents[dim])
        left = -(-left // chunks[dim])
    return groups * sum(
        tensor.bytes * prod(read.get(dim, 1.0) for dim in tensor.dims)
        for tensor in stage.tensors
        if tensor.role != "output"
    )


def _chunks(stage: Stage, view: GemmView, tile: Mapping[str, int], cores: int) -> dict[str, int]:
    """The chunks of so many cores of which the busiest has the least work."""
    extents = stage.extents
    dims = tuple(dict.fromkeys((*view.b, *view.m, *view.n)))
    sizes = {dim: tile.get(dim, 1) for dim in dims}
    units = tuple(-(-extents[dim] // sizes[dim]) for dim in dims)
    chunks = {
        dims[number]: min(extents[dims[number]], chunk * sizes[dims[number]])
        for number, chunk in _chunks_of_cores(units, cores)
    }
    return {dim: chunk for dim, chunk in chunks.items() if chunk < extents[dim]}


def steps_of(stage: Stage, view: GemmView) -> int:
    """Values of k, of every tap."""
    return stage.group(view.k) * taps_of(stage, view)


def taps_of(stage: Stage, view: GemmView) -> int:
    """Iterations of the dims that are neither m, n, k nor b."""
    dims = (*view.m, *view.n, *view.k, *view.b)
    return max(1, stage.iterations // stage.group(dims))


@lru_cache(maxsize=4096)
def _chunks_of_cores(units: tuple[int, ...], cores: int) -> tuple[tuple[int, int], ...]:
    """(number, chunk) of up to two of so many units, in the order in which they are given."""
    some = [number for number, count in enumerate(units) if count > 1]
    whole = prod(units[number] for number in some)
    best: tuple[tuple[int, int], ...] = ()
    least = whole
    for place, first in enumerate(some):
        for ways in range(2, min(cores, units[first]) + 1):
            one = -(-units[first] // ways)
            for second in [*some[place + 1 :], None]:
                work = whole // units[first] * one
                share: tuple[tuple[int, int], ...] = ((first, one),)
                if second is not None:
                    more = min(cores // ways, units[second])
                    other = -(-units[second] // max(more, 1))
                    work = work // units[second] * other
                    share = (*share, (second, other))
                if work < least:
                    best, least = share, work
    return best
