"""Which core takes which part of a product.

for m-chunk, n-chunk:  a core each      those that finish soonest: work of the busiest core, lines
                                        that a core waits for, what every group of cores with a last
                                        cache of its own fetches from DRAM
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import gcd, prod

from hwsim.describe.machine import Machine
from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.cache import caches_of
from hwsim.parts.dram import Dram
from hwsim.schedule.tile_lines import in_whole_lines

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
    groups, each = _fetched_bytes(stage, view, machine, shares)
    moved = groups * each / dram.bandwidth.bytes_per_cycle(machine.clock_hz)
    waited = _cycles_of_lines(stage, machine, shares, each)
    return max(tiles * cycles, max(moved, waited) / steps_of(stage, view))


def _cycles_of_lines(
    stage: Stage, machine: Machine, shares: Mapping[str, int], from_dram: float
) -> float:
    """Cycles until a core's operands are there.

    from_dram: bytes that the last cache fetches for its cores, each for one of them; other lines
    come from the third cache, or the last.
    """
    first, *others = (cache for _, cache in caches_of(machine))
    if not first.in_flight:
        return 0.0
    clock = machine.clock_hz
    dram: Dram = machine.part(machine.dram_name, Dram)
    read = {dim: size / stage.extents[dim] for dim, size in shares.items()}
    in_use = prod(-(-stage.extents[dim] // size) for dim, size in shares.items())
    cores = min(_cores_of_last_cache(machine), in_use)
    fetched = sum(
        tensor.bytes
        * prod(read.get(dim, 1.0) for dim in tensor.dims)
        * _line_factor(stage, tensor, shares, first.line)
        for tensor in stage.inputs
    )
    own = min(fetched, from_dram / cores)
    near = (others or [first])[:2][-1].latency.cycles(clock)
    waited = (fetched - own) * near + own * dram.latency.cycles(clock)
    return waited / first.line / first.in_flight


def _fetched_bytes(
    stage: Stage, view: GemmView, machine: Machine, shares: Mapping[str, int]
) -> tuple[int, float]:
    """Groups of cores that have a last cache each, and bytes that one fetches from DRAM.

    They are what its chunks read. Neighbours are in a group, inner chunks first.
    """
    order = larger_first(stage, view, shares)
    chunks = [-(-stage.extents[dim] // shares[dim]) for dim in order]
    cores = min(_cores_of_last_cache(machine), prod(chunks))
    box, left = {}, cores
    for dim, number in zip(reversed(order), reversed(chunks), strict=True):
        box[dim] = shares[dim] * min(left, number)
        left = max(1, left // number)
    line = caches_of(machine)[-1][1].line
    fetched = sum(
        tensor.bytes
        * _part_of_group(chunks, [dim in tensor.dims for dim in order], cores)
        * _line_factor(stage, tensor, box, line)
        for tensor in stage.inputs
    )
    return -(-prod(chunks) // cores), fetched


def _line_factor(stage: Stage, tensor: Tensor, box: Mapping[str, int], line: int) -> float:
    """Lines that a box reads, as a multiple of its bytes; 1 for weights, packed box by box."""
    return 1.0 if tensor.role == "weight" else in_whole_lines(stage, tensor, box, line)


def _part_of_group(chunks: list[int], used: list[bool], cores: int) -> float:
    """What neighbours read of a tensor, on average, that is cut along some of the dims.

    chunks: of up to two dims, the outer one first. Where they lie in rows, c neighbours touch as
    many rows more than one as c - gcd(c, row) are of a row.
    """
    if not any(used):
        return 1.0
    if all(used):
        return cores / prod(chunks)
    outer, inner = chunks
    return min(1.0, (1 + (cores - gcd(cores, inner)) / inner) / outer if used[0] else cores / inner)


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
