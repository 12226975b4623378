"""What a nest asks of the implicit memories below it: loops and accesses as arrays, tensors at addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from hwsim.errors import HwsimError
from hwsim.ir.access import Tensor
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.parts.cache import Cache
from hwsim.sim.caches import (
    BY_STEPS,
    MISSES,
    READS,
    SKIP_BATCH,
    TERMS,
    WRITEBACKS,
    WRITES,
    Caches,
    Ints,
    Schedule,
    Tensors,
    Turns,
    flush,
    walk,
)

PAGE = 4096
NOWHERE = -1  # axes of a tensor that this stage does not have


@dataclass(frozen=True)
class Sampling:
    """How much of a stream was simulated, and the relative standard error of the DRAM bytes extrapolated from it."""

    share: float
    dram_error: float


@dataclass(frozen=True)
class LevelTraffic:
    """Lines of one tensor at one cache (or DRAM): looked up for reading and writing, missed, written back."""

    reads: float
    writes: float
    misses: float
    writebacks: float

    def __add__(self, other: LevelTraffic) -> LevelTraffic:
        return LevelTraffic(self.reads + other.reads, self.writes + other.writes, self.misses + other.misses,
                            self.writebacks + other.writebacks)


@dataclass(frozen=True)
class Tally:
    """What the walk counted: lines [window, level, tensor, kind], steps [window], instructions [unit, 3]."""

    stats: Ints
    steps: Ints
    work: Ints


@dataclass(frozen=True)
class StreamResult:
    """Lines by (level, tensor), levels from the first cache to 'dram' last; instruction counts of the busiest unit."""

    traffic: dict[tuple[str, str], LevelTraffic]
    vector_iterations: float
    loads: float
    stores: float
    sampling: Sampling | None


def log2_of(value: int) -> int:
    """log2 of a power of two."""
    return value.bit_length() - 1


class AddressSpace:
    """A layer's tensors laid out one after another, page aligned, in the order in which they are named."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.names: list[str] = []
        self._base: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for stage in stages:
            for tensor in stage.tensors:
                sizes[tensor.name] = max(sizes.get(tensor.name, 0), tensor.bytes)
        at = PAGE
        for name, size in sizes.items():
            self.names.append(name)
            self._base[name] = at
            at += -(-size // PAGE) * PAGE + PAGE

    def base(self, name: str) -> int:
        return self._base[name]

    def index(self, name: str) -> int:
        return self.names.index(name)


class ImplicitChain:
    """A machine's caches, first level first, warm from one stage of a layer to the next."""

    def __init__(self, caches: Sequence[tuple[str, Cache]], units: int, space: AddressSpace) -> None:
        lines = {cache.line for _, cache in caches}
        if len(lines) != 1:
            raise HwsimError(f"caches with lines of {sorted(lines)} bytes; expected one line size along the chain")
        self.names = [name for name, _ in caches]
        self.space = space
        self.line = lines.pop()
        rows, offset = [], 1
        for _, cache in caches:
            copies = units if cache.per == "core" else 1
            rows.append([offset, cache.sets, cache.ways, int(cache.per == "core"), int(cache.write_fetch), copies,
                         int(cache.sets & (cache.sets - 1) == 0)])
            offset += copies * cache.sets * cache.ways
        self.state = Caches(np.full(offset, -1, np.int64), np.zeros(offset, np.int64), np.array(rows, np.int64),
                            np.array([space.base(name) // self.line for name in space.names], np.int64), log2_of(self.line))

    def flush(self) -> dict[tuple[str, str], LevelTraffic]:
        """Lines written back when the layer ends."""
        stats = np.zeros((1, len(self.names) + 1, len(self.space.names), 4), np.int64)
        flush(self.state, stats)
        return self.traffic(stats[0].astype(float))

    def traffic(self, stats: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> dict[tuple[str, str], LevelTraffic]:
        found = {}
        for level, name in enumerate([*self.names, "dram"]):
            for number, tensor in enumerate(self.space.names):
                row = stats[level, number]
                if row.any():
                    found[name, tensor] = LevelTraffic(float(row[READS]), float(row[WRITES]), float(row[MISSES]), float(row[WRITEBACKS]))
        return found


@dataclass(frozen=True)
class Walkers:
    """Who runs the nest: units that run at once, steps a turn, the width of a vector access, steps walked at most.

    pack_weights: weights are stored in panels as wide as the tile that is loaded at a time, as CPU libraries do.
    """

    parallel: int
    quantum: int
    vector_bytes: int
    budget: int
    pack_weights: bool = False


def run_stream(nest: Nest, boundary: Hold, unit_axes: frozenset[str], chain: ImplicitChain, walkers: Walkers) -> StreamResult:
    """Send a nest's loads and stores through the caches; sampled when its steps exceed the budget.

    boundary: the explicit level whose fills the caches serve. unit_axes: the spatial axes that make units.
    """
    outside = [loop for loop in nest.loops_above(boundary)]
    temporal = [loop for loop in outside if loop.spatial not in unit_axes]
    if any(loop.spatial is not None for loop in temporal):
        raise HwsimError(f"{nest.stage.name}: a spatial loop outside {boundary.level} that no unit takes")
    units = _units(nest, [loop for loop in outside if loop.spatial in unit_axes])
    schedule = _schedule(nest, temporal, units)
    chunks = _chunk_sizes(nest, temporal, units)
    vector_dim, lanes = _vector(nest, chunks, walkers.vector_bytes)
    tensors = _tensors(nest, temporal, chain.space, vector_dim, chunks if walkers.pack_weights else None)
    steps = _unit_steps(nest, temporal, units)
    plan = _SamplePlan(steps, walkers)
    turns = Turns(min(walkers.parallel, len(steps)), walkers.quantum, log2_of(walkers.vector_bytes), vector_dim, log2_of(lanes),
                  plan.batches, plan.windows)
    stats = np.zeros((plan.count + 1, len(chain.names) + 1, len(chain.space.names), 4), np.int64)
    counted, work = np.zeros(plan.count + 1, np.int64), np.zeros((len(steps) + 1, 3), np.int64)
    walk(chain.state, schedule, tensors, turns, stats, counted, work)
    return plan.result(chain, Tally(stats[:-1], counted[:-1], work[:-1]), steps)


def _units(nest: Nest, spatial: list[Loop]) -> Ints:
    """[unit, dim, 2]: the chunk of every dim that each unit walks; units without work are left out."""
    dims = [dim for dim, _ in nest.stage.bounds]
    chunks = []
    for position in product(*(range(nest.bound(loop)) for loop in spatial)):
        box = {dim: (0, bound) for dim, bound in nest.stage.bounds}
        for loop, index in zip(spatial, position, strict=True):
            start, end = box[loop.dim]
            box[loop.dim] = (start + index * loop.tile, min(end, start + (index + 1) * loop.tile))
        if all(end > start for start, end in box.values()):
            chunks.append([box[dim] for dim in dims])
    return np.array(chunks, np.int64)


def _schedule(nest: Nest, temporal: list[Loop], units: Ints) -> Schedule:
    dims = [dim for dim, _ in nest.stage.bounds]
    deep = np.full(len(dims), -1, np.int64)
    rows = []
    for number, loop in enumerate(temporal):
        dim = dims.index(loop.dim)
        rows.append([dim, loop.tile, int(deep[dim]), int(loop.dim not in nest.stage.output.dims)])
        deep[dim] = number
    return Schedule(np.array(rows, np.int64).reshape(len(rows), 4), deep, units)


def _chunk_sizes(nest: Nest, temporal: list[Loop], units: Ints) -> dict[str, int]:
    """The longest tile of every dim at the boundary."""
    longest = (units[:, :, 1] - units[:, :, 0]).max(axis=0)
    sizes = {dim: int(longest[number]) for number, (dim, _) in enumerate(nest.stage.bounds)}
    for loop in temporal:
        sizes[loop.dim] = min(sizes[loop.dim], loop.tile)
    return sizes


def _vector(nest: Nest, sizes: dict[str, int], vector_bytes: int) -> tuple[int, int]:
    """(dim that vectors run along: the output dim with the longest tile, elements a vector)."""
    dims = [dim for dim, _ in nest.stage.bounds]
    candidates = [dim for dim in dims if dim in nest.stage.output.dims] or dims
    longest = max(candidates, key=lambda dim: (sizes[dim], dims.index(dim)))
    return dims.index(longest), max(1, vector_bytes // nest.stage.output.width)


def _tensors(nest: Nest, temporal: list[Loop], space: AddressSpace, vector_dim: int,
             panels: dict[str, int] | None) -> Tensors:
    """Arrays indexed by the tensor's number in the address space; absent tensors are skipped."""
    stage, names = nest.stage, space.names
    dims = [dim for dim, _ in stage.bounds]
    axes = max(len(tensor.axes) for tensor in stage.tensors)
    terms = max(len(axis.terms) for tensor in stage.tensors for axis in tensor.axes)
    moves = np.zeros((len(names), max(len(temporal), 1)), np.bool_)
    table = np.zeros((len(names), 8), np.int64)
    places = np.full((len(names), axes, TERMS + 2 * max(terms, 1)), -1, np.int64)
    for tensor in stage.tensors:
        number = space.index(tensor.name)
        order = tensor.layout or tuple(range(len(tensor.axes)))
        vectorised = dims[vector_dim] in tensor.axes[order[-1]].dims
        fast = tensor.axes[order[-1]]
        panel = prod(panels[dim] for dim in fast.dims) if panels and tensor.role == "weight" else fast.size
        table[number] = (space.base(tensor.name), order[-1], tensor.width, tensor.role == "output", vectorised, len(tensor.axes),
                         panel, panel * (tensor.elements // fast.size) * tensor.width)
        for place, axis in enumerate(tensor.axes):
            row = [axis.size, axis.offset, axis.extent, tensor.strides[place] // fast.size * panel * tensor.width]
            row += [number for dim, coefficient in axis.terms for number in (dims.index(dim), coefficient)]
            places[number, place, : len(row)] = row
        moves[number] = [any(loop.dim in tensor.dims for loop in temporal[start:]) for start in range(moves.shape[1])]
    table[[number for number, name in enumerate(names) if not table[number, 2]], 5] = NOWHERE
    return Tensors(table, places, moves)


def _unit_steps(nest: Nest, temporal: list[Loop], units: Ints) -> Ints:
    """Steps of every unit: the product over dims of the chunks its loops make."""
    dims = [dim for dim, _ in nest.stage.bounds]
    tiles = {dim: [loop.tile for loop in temporal if loop.dim == dim] for dim in dims}

    def leaves(length: int, steps: list[int]) -> int:
        if not steps:
            return 1
        whole, rest = divmod(length, steps[0])
        return whole * leaves(steps[0], steps[1:]) + (leaves(rest, steps[1:]) if rest else 0)

    memo: dict[tuple[str, int], int] = {}
    totals = []
    for unit in units:
        lengths = [(dim, int(unit[number, 1] - unit[number, 0])) for number, dim in enumerate(dims)]
        for key in lengths:
            if key not in memo:
                memo[key] = leaves(key[1], tiles[key[0]])
        totals.append(prod(memo[key] for key in lengths))
    return np.array(totals, np.int64)


class _SamplePlan:
    """Which steps are simulated: all, or a cold start and evenly spaced windows, each after a warm-up as long.

    With more units than run at once, whole batches of units are sampled instead of steps.
    """

    WINDOWS = 8

    def __init__(self, steps: Ints, walkers: Walkers) -> None:
        self._total = int(steps.sum())
        batches = -(-len(steps) // min(walkers.parallel, len(steps)))
        self.exact = self._total <= walkers.budget
        self.batches = np.zeros(batches, np.int64)
        self.windows = np.zeros((1, 3), np.int64)
        self.count = 1
        if self.exact:
            return
        share = walkers.budget / self._total
        if batches >= 4 * self.WINDOWS:
            self._sample_batches(batches, share)
        else:
            self.exact = batches > 1
            if not self.exact:
                self._sample_steps(int(steps.max()), share)

    def _sample_batches(self, batches: int, share: float) -> None:
        """Pairs of neighbouring batches, the first to warm up, evenly spaced; the first pair counts whole."""
        pairs = max(2, min(self.WINDOWS, int(share * batches / 2)))
        self.batches[:] = SKIP_BATCH
        self.count = pairs + 1
        for pair, start in enumerate(np.linspace(0, batches - 2, pairs).astype(int)):
            self.batches[start] = 0 if pair == 0 else pairs
            self.batches[start + 1] = pair
        self._warm = pairs

    def _sample_steps(self, longest: int, share: float) -> None:
        length = max(1, int(longest * share / (2 * self.WINDOWS)))
        starts = np.linspace(0, longest - 2 * length, self.WINDOWS).astype(np.int64)
        self.windows = np.stack([starts, starts + length, starts + 2 * length], axis=1)
        self.windows[0, 1] = 0
        self.batches[:] = BY_STEPS
        self.count = self.WINDOWS
        self._warm = -1

    def result(self, chain: ImplicitChain, tally: Tally, steps: Ints) -> StreamResult:
        if self.exact:
            busiest = tally.work.max(axis=0)
            return StreamResult(chain.traffic(tally.stats[0].astype(float)), float(busiest[0]), float(busiest[1]),
                                float(busiest[2]), None)
        counted = [window for window in range(self.count) if window != self._warm and tally.steps[window]]
        first, others = counted[0], counted[1:]
        rates = np.array([tally.stats[window] / tally.steps[window] for window in others])
        left = self._total - int(tally.steps[first])
        stats = tally.stats[first] + rates.mean(axis=0) * left
        dram = rates[:, -1, :, :2].sum(axis=(1, 2))
        estimate = float(stats[-1, :, :2].sum())
        error = float(dram.std(ddof=1) / np.sqrt(len(others)) * left / estimate) if len(others) > 1 and estimate else 0.0
        seen = int(tally.steps[counted].sum())
        work = tally.work.sum(axis=0) / seen * float(steps.max())
        return StreamResult(chain.traffic(stats), float(work[0]), float(work[1]), float(work[2]),
                            Sampling(seen / self._total, error))
