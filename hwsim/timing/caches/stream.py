"""What a nest asks of the implicit memories below it, as arrays of loops and accesses.

Tensors are at addresses.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod

import numpy as np

from hwsim.compiled import about_to_run
from hwsim.describe.units import size_text
from hwsim.errors import HwsimError
from hwsim.ir.nest import NO_VECTORS, Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.cache import Cache
from hwsim.results.result import Sampling
from hwsim.timing.caches.look_ups import (
    BY_DISTANCE,
    CAPACITY,
    COLD,
    KINDS,
    LAST_MISS,
    MISSES,
    PREFETCHES,
    READS,
    WRITEBACKS,
    WRITES,
    Ints,
)
from hwsim.timing.caches.remembered import once
from hwsim.timing.caches.repeating import repeating, with_events
from hwsim.timing.caches.set_samples import SetSample, can_be_sampled, set_sample
from hwsim.timing.caches.sets import fill, flush
from hwsim.timing.caches.state import ALL_SETS, empty_caches, log2_of, one_line
from hwsim.timing.caches.steps import (
    LONGEST_STRETCH,
    chunk_sizes,
    cut_long,
    entries_of,
    trips_of,
    unit_steps,
    units_of,
    vector_iterations,
)
from hwsim.timing.caches.stretches import Stretches, stretches
from hwsim.timing.caches.tables import IS_OUTPUT, TERMS
from hwsim.timing.caches.walk import (
    ITERATIONS,
    SKIP_BATCH,
    Schedule,
    Tensors,
    Turns,
    places,
    walk,
)

PAGE = 4096
WIDEST_PANEL = 128  # words
Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
SUM_BYTES = 4  # partial sums are at least this wide
WHOLE_STRETCH = 64  # steps that are recorded together at least, where loops allow
KEPT_LOOKUPS = 1 << 20
ALL_AT_ONCE = 1 << 60  # steps a turn of a unit that runs alone
NOWHERE = -1  # axes of a tensor that this stage does not have


@dataclass(frozen=True)
class LevelTraffic:
    """Lines of one tensor at one cache (or DRAM).

    They are looked up for reading and writing, missed, written back (or handed down to an exclusive
    cache), and brought before they were asked for. cold, capacity: of the misses, where they are
    told apart (hwsim.timing.caches.miss_kinds).
    """

    reads: float
    writes: float
    misses: float
    writebacks: float
    prefetches: float = 0.0
    cold: float = 0.0
    capacity: float = 0.0

    def times(self, share: float) -> LevelTraffic:
        """So large a share of it."""
        return LevelTraffic(
            self.reads * share,
            self.writes * share,
            self.misses * share,
            self.writebacks * share,
            self.prefetches * share,
            self.cold * share,
            self.capacity * share,
        )

    def __add__(self, other: LevelTraffic) -> LevelTraffic:
        return LevelTraffic(
            self.reads + other.reads,
            self.writes + other.writes,
            self.misses + other.misses,
            self.writebacks + other.writebacks,
            self.prefetches + other.prefetches,
            self.cold + other.cold,
            self.capacity + other.capacity,
        )


@dataclass(frozen=True)
class StreamResult:
    """Lines by (level, tensor), and instruction counts of the busiest unit.

    Levels go from the first cache to 'dram' last.

    steps: of the busiest unit, each with one tile of every tensor. entries: of all its loops.
    crowds: its fills of the first level by how many misses ago their set was filled. off: lines
    that a level's figures may be off where sets were sampled.
    """

    traffic: dict[tuple[str, str], LevelTraffic]
    vector_iterations: float
    loads: float
    stores: float
    sampling: Sampling | None
    steps: int = 0
    entries: int = 0
    crowds: tuple[int, ...] = ()
    off: tuple[float, ...] = ()


def _room(tensor: Tensor) -> int:
    """A tensor's bytes as it lies.

    Weights and blocks have room for a last panel that is not full.
    """
    rows = tensor.bytes // tensor.fastest.size
    ragged = max(tensor.block, WIDEST_PANEL if tensor.role == "weight" else 0)
    return rows * (tensor.row + ragged)


class AddressSpace:
    """A layer's tensors one after another, page aligned, in the order they are named.

    Parts of a tensor lie inside its buffer.
    """

    def __init__(self, stages: Iterable[Stage]) -> None:
        tensors = [tensor for stage in stages for tensor in stage.tensors]
        sizes: dict[str, int] = {}
        for tensor in tensors:
            whole = tensor.bytes * (tensor.part_of[1] + 1) if tensor.part_of else _room(tensor)
            sizes[tensor.buffer] = max(sizes.get(tensor.buffer, 0), whole)
        self._sizes = sizes
        self._base: dict[str, int] = {}
        self.end = PAGE
        for name, size in sizes.items():
            self._base[name] = self.end
            self.end += -(-size // PAGE) * PAGE + PAGE
        self.buffers = {name: name for name in sizes}
        for tensor in tensors:
            if tensor.part_of:
                self.buffers[tensor.name] = tensor.buffer
                self._base[tensor.name] = (
                    self._base[tensor.buffer] + tensor.part_of[1] * tensor.bytes
                )
        self.names = list(self.buffers)

    @property
    def starts(self) -> list[int]:
        """Where each name's own addresses begin; a part has none, its words are its buffer's."""
        return [
            self._base[name] if buffer == name else 1 << 62 for name, buffer in self.buffers.items()
        ]

    def size(self, buffer: str) -> int:
        """Bytes of a buffer."""
        return self._sizes[buffer]

    def base(self, name: str) -> int:
        return self._base[name]

    def index(self, name: str) -> int:
        return self.names.index(name)


class ImplicitChain:
    """A machine's caches, first level first, warm from one stage of a layer to the next.

    by_kind: misses are told apart by kind, which takes longer. clean: a store leaves nothing to be
    written back, as in a TLB. sampled: not all sets are walked, where a sample of them can be
    taken (may_be_sampled). off_at_flush: lines of each level that `flush` may be off then.
    """

    def __init__(
        self,
        caches: Sequence[tuple[str, Cache]],
        units: int,
        space: AddressSpace,
        by_kind: bool = False,
        clean: bool = False,
        sampled: bool = False,
    ) -> None:
        if space.end // one_line(caches) >= 1 << 30:
            raise HwsimError(
                f"tensors of {size_text(space.end)} in one layer; expected fewer than 2^30 lines "
                f"of {one_line(caches)} bytes"
            )
        self.names = [name for name, _ in caches]
        self.space = space
        self.line = one_line(caches)
        self.by_kind = by_kind
        self.clean = clean
        lines = space.end // self.line + 1 if by_kind else 0
        self.may_be_sampled = can_be_sampled(caches, by_kind)
        self.sample = self._set_sample() if sampled and self.may_be_sampled else None
        groups = ALL_SETS if self.sample is None else self.sample.groups
        self.state = empty_caches(caches, units, space.starts, np.int32, lines, groups)
        self._stays: Mapping[str, float] = {}
        self.off_at_flush: Floats = np.zeros(len(self.names) + 1)

    def _set_sample(self) -> SetSample:
        buffers = self.space.buffers.values()
        lines = {
            name: (self.space.base(name) // self.line, -(-self.space.size(name) // self.line))
            for name in buffers
        }
        return set_sample([lines[name] for name in buffers])

    def no_counts(self, windows: int = 1) -> Ints:
        """Counts to begin with, [window, level, tensor, kind]: of each group of sets, too."""
        groups = self.sample.count if self.sample is not None else 0
        shape = (windows + groups, len(self.names) + 1, len(self.space.names), KINDS)
        return np.zeros(shape, np.int64)

    def begin_with(self, found: Mapping[str, float], stays: Mapping[str, float]) -> None:
        """Load the last of some buffers' lines before a layer begins, so large a share of each.

        stays: shares of buffers that need not be written when it ends.
        """
        self._stays = stays
        stats = self.no_counts()
        for buffer, share in found.items():
            first, size = self.space.base(buffer), self.space.size(buffer)
            begin = first + ceil(size * (1 - share))
            fill(self.state, -(-begin // self.line), (first + size) // self.line, stats)

    def crowds(self) -> tuple[int, ...]:
        """Fills of a first-level cache by how long before their set was filled.

        [distance]: fills of the busiest core's cache, since the last call, whose set was filled 1,
        2 ... FAR or more misses before.
        """
        found = self.state.crowds[:, BY_DISTANCE + 1 : LAST_MISS]
        busiest = tuple(found[found.sum(axis=1).argmax()].tolist())
        found[:] = 0
        return busiest

    def flush(self) -> dict[tuple[str, str], LevelTraffic]:
        """Lines written back when the layer ends."""
        stats = self.no_counts()
        flush(self.state, stats)
        found = stats[0].astype(float)
        if self.sample is not None:
            found, self.off_at_flush = self.sample.estimated(stats)
        return {
            (level, buffer): lines.times(1 - self._stays.get(buffer, 0.0))
            for (level, buffer), lines in self.traffic(found).items()
        }

    def traffic(self, stats: Floats) -> dict[tuple[str, str], LevelTraffic]:
        found: dict[tuple[str, str], LevelTraffic] = {}
        for level, name in enumerate([*self.names, "dram"]):
            for number, buffer in enumerate(self.space.buffers.values()):
                row = stats[level, number]
                if row.any():
                    lines = LevelTraffic(
                        float(row[READS]),
                        float(row[WRITES]),
                        float(row[MISSES]),
                        float(row[WRITEBACKS]),
                        float(row[PREFETCHES]),
                        float(row[COLD]),
                        float(row[CAPACITY]),
                    )
                    found[name, buffer] = (
                        found[name, buffer] + lines if (name, buffer) in found else lines
                    )
        return found


@dataclass(frozen=True)
class Walkers:
    """Who runs the nest: units at once, steps a turn, a vector access' width, steps walked.

    All steps up to `budget` are walked; of more, a sample where many batches of units run one after
    another.
    """

    parallel: int
    quantum: int
    vector_bytes: int
    budget: int = sys.maxsize


def run_stream(
    nest: Nest, boundary: Hold, unit_axes: frozenset[str], chain: ImplicitChain, walkers: Walkers
) -> StreamResult:
    """Send a nest's loads and stores through the caches; sampled when its steps exceed the budget.

    boundary: the explicit level whose fills the caches serve. unit_axes: the spatial axes that make
    units.
    """
    outside = list(nest.loops_above(boundary))
    loops = [loop for loop in outside if loop.spatial not in unit_axes]
    temporal = cut_long(loops)
    if any(loop.spatial is not None for loop in temporal):
        raise HwsimError(
            f"{nest.stage.name}: a spatial loop outside {boundary.level} that no unit takes"
        )
    units = units_of(nest, [loop for loop in outside if loop.spatial in unit_axes])
    schedule = _schedule(nest, temporal, units)
    chunks = chunk_sizes(nest, temporal, units)
    vector_dim, lanes = _vector(nest, chunks, walkers.vector_bytes)
    tensors = _tensors(nest, temporal, chain.space, vector_dim, chunks if nest.packed else None)
    if chain.clean:
        tensors.tensors[:, IS_OUTPUT] = 0
    steps = unit_steps(nest, temporal, units)
    kept, picked = _stretches(nest, temporal, units, tensors, chain.sample is not None)
    plan = _SamplePlan(steps, walkers)
    parallel = min(walkers.parallel, len(steps))
    turns = Turns(
        parallel,
        walkers.quantum if parallel > 1 else ALL_AT_ONCE,
        log2_of(walkers.vector_bytes if lanes > 1 else int(nest.stage.output.width)),
        vector_dim,
        log2_of(lanes),
        plan.batches,
    )
    stats = chain.no_counts(plan.count)
    counted, work = np.zeros(plan.count, np.int64), np.zeros((len(steps), 3), np.int64)
    at = places(turns.parallel, len(temporal), len(chain.space.names), tensors.axes.shape[1])
    owners = [chain.space.index(chain.space.buffers[name]) for name in chain.space.names]
    trips = trips_of(nest, temporal, units)
    loops_of = (temporal, trips, kept.first)
    again, depth = repeating(
        nest, loops_of, (tensors.tensors, tensors.axes), owners, chain.state, parallel, stats.shape
    )
    state = with_events(chain.state, depth) if again.on else chain.state
    about_to_run(walk)
    once(
        walk,
        (state, schedule, tensors, turns, at, kept, picked, again, stats, counted, work),
        (state.tags, state.crowds, stats, counted, work),
    )
    chain.state.tags[:] = state.tags[: len(chain.state.tags)]
    vectors = int(vector_iterations(nest, temporal, units, vector_dim, lanes).max())
    found = _of_sets(chain, stats, work) or plan.result(chain, stats, counted, work, vectors)
    return replace(
        found,
        steps=int(steps.max()),
        entries=entries_of(trips_of(nest, loops, units)),
        crowds=chain.crowds(),
    )


def _schedule(nest: Nest, temporal: list[Loop], units: Ints) -> Schedule:
    dims = [dim for dim, _ in nest.stage.bounds]
    deep = np.full(len(dims), -1, np.int64)
    rows = []
    for number, loop in enumerate(temporal):
        dim = dims.index(loop.dim)
        rows.append([dim, loop.tile, int(deep[dim]), int(loop.dim not in nest.stage.output.dims)])
        deep[dim] = number
    return Schedule(np.array(rows, np.int64).reshape(len(rows), 4), deep, units)


def _stretches(
    nest: Nest, temporal: list[Loop], units: Ints, tensors: Tensors, sampled: bool
) -> tuple[Stretches, Stretches]:
    """Stretches of as many inner loops as make WHOLE_STRETCH steps, and room for what is picked.

    They are fewer where the next would make too many. sampled: some are picked of their look-ups.
    """
    trips = trips_of(nest, temporal, units)
    first, steps = len(temporal), 1
    while first > 0 and steps < WHOLE_STRETCH and steps * trips[first - 1] <= LONGEST_STRETCH:
        first -= 1
        steps *= trips[first]
    dims = [dim for dim, _ in nest.stage.bounds]
    deep = np.full(len(dims), -1, np.int64)
    for number, loop in enumerate(temporal[:first]):
        deep[dims.index(loop.dim)] = number
    count = len(tensors.tensors)
    key = len(dims) + 1 + count * (tensors.axes.shape[1] + 2)
    room = KEPT_LOOKUPS if steps > 1 else 0
    kept = stretches(first, deep, key, count, room)
    return kept, stretches(first, deep, 1 + count, count, room if sampled else 0)


def _vector(nest: Nest, sizes: dict[str, int], vector_bytes: int) -> tuple[int, int]:
    """(the dim that vectors run along, elements a vector).

    The dim is the stated one, or the output dim whose tile leaves the least of its vectors empty,
    the longest of equals.
    """
    dims = [dim for dim, _ in nest.stage.bounds]
    if nest.code.vector == NO_VECTORS:
        return 0, 1
    if nest.code.vector:
        return dims.index(nest.code.vector), vector_lanes(nest, vector_bytes)
    candidates = [dim for dim in dims if dim in nest.stage.output.dims] or dims
    lanes = vector_lanes(nest, vector_bytes)

    def used(dim: str) -> tuple[float, int, int]:
        return sizes[dim] / -(-sizes[dim] // lanes), sizes[dim], dims.index(dim)

    return dims.index(max(candidates, key=used)), lanes


def vector_lanes(nest: Nest, vector_bytes: int) -> int:
    """Elements a vector: as many as its sums."""
    return max(1, int(vector_bytes // max(SUM_BYTES, nest.stage.output.width)))


def _tensors(
    nest: Nest,
    temporal: list[Loop],
    space: AddressSpace,
    vector_dim: int,
    panels: dict[str, int] | None,
) -> Tensors:
    """Arrays indexed by the tensor's number in the address space; absent tensors are skipped."""
    stage, names = nest.stage, space.names
    dims = [dim for dim, _ in stage.bounds]
    axes = max(len(tensor.axes) for tensor in stage.tensors)
    terms = max(len(axis.terms) for tensor in stage.tensors for axis in tensor.axes)
    moves = np.zeros((len(names), axes + 1, max(len(temporal), 1)), np.bool_)
    table = np.zeros((len(names), 8), np.int64)
    places = np.full((len(names), axes, TERMS + 2 * max(terms, 1)), -1, np.int64)
    for tensor in stage.tensors:
        number = space.index(tensor.name)
        fast, row = tensor.fastest, tensor.row
        if panels and tensor.role == "weight" and tensor.stated:
            raise HwsimError(
                f"{stage.name}: {nest.dataflow} packs {tensor.name}, however it lies; expected "
                f"{nest.dataflow}:packed=no, or {tensor.name} not stated"
            )
        vectorised = dims[vector_dim] in fast.dims
        panel = (
            prod(panels[dim] for dim in fast.dims)
            if panels and tensor.role == "weight"
            else tensor.block or row
        )
        table[number] = (
            space.base(tensor.name),
            tensor.order[-1],
            tensor.width,
            tensor.role == "output",
            vectorised,
            len(tensor.axes),
            panel,
            panel * (tensor.elements // fast.size) * tensor.width,
        )
        for place, axis in enumerate(tensor.axes):
            columns = [
                axis.size,
                axis.offset,
                axis.span,
                tensor.strides[place] // row * panel * tensor.width,
            ]
            columns += [
                number
                for dim, coefficient in axis.terms
                for number in (dims.index(dim), coefficient)
            ]
            places[number, place, : len(columns)] = columns
        for start in range(len(temporal)):
            inside = {loop.dim for loop in temporal[start:]}
            moves[number, : len(tensor.axes), start] = [
                not inside.isdisjoint(axis.dims) for axis in tensor.axes
            ]
            moves[number, axes, start] = not inside.isdisjoint(tensor.dims)
    table[[number for number, name in enumerate(names) if not table[number, 2]], 5] = NOWHERE
    return Tensors(table, places, moves)


def _stream_result(
    chain: ImplicitChain, lines: Floats, busiest: Floats | Ints, sampling: Sampling | None
) -> StreamResult:
    iterations, loads, stores = (float(part) for part in busiest)
    return StreamResult(chain.traffic(lines), iterations, loads, stores, sampling)


def _of_sets(chain: ImplicitChain, stats: Ints, work: Ints) -> StreamResult | None:
    """What a sample of the sets gives, None where all were walked."""
    if chain.sample is None:
        return None
    lines, off = chain.sample.estimated(stats)
    return replace(_stream_result(chain, lines, work.max(axis=0), None), off=tuple(off))


class _SamplePlan:
    """Which batches of units are walked.

    They are all, or pairs of them evenly spaced, one to warm the caches and one to count, where
    there are many more units than run at once.
    """

    MOST_PAIRS, FEWEST_PAIRS = 8, 4

    def __init__(self, steps: Ints, walkers: Walkers) -> None:
        self._total = int(steps.sum())
        batches = -(-len(steps) // min(walkers.parallel, len(steps)))
        self.batches = np.zeros(batches, np.int64)
        self.count = 1
        self._sampled = self._total > walkers.budget and batches >= 4 * self.MOST_PAIRS
        if self._sampled:
            self._sample(batches, walkers.budget / self._total)

    def _sample(self, batches: int, share: float) -> None:
        pairs = max(self.FEWEST_PAIRS, min(self.MOST_PAIRS, int(share * batches / 2)))
        self.batches[:] = SKIP_BATCH
        self.count = pairs + 1
        for pair, start in enumerate(np.linspace(0, batches - 2, pairs).astype(int)):
            self.batches[start] = 0 if pair == 0 else pairs
            self.batches[start + 1] = pair

    def result(
        self, chain: ImplicitChain, stats: Ints, counted: Ints, work: Ints, iterations: int
    ) -> StreamResult:
        """Put windows together.

        iterations: of the busiest unit. Loads and stores that were not all seen are as many to an
        iteration as those that were.
        """
        if not self._sampled:
            return _stream_result(chain, stats[0].astype(float), work.max(axis=0), None)
        lines, error = self._extrapolated(stats, counted)
        seen = work.sum(axis=0)
        busiest = seen / max(int(seen[ITERATIONS]), 1) * iterations
        sampling = Sampling(int(counted.sum()) / self._total, error)
        return _stream_result(chain, lines, busiest, sampling)

    def _extrapolated(self, stats: Ints, counted: Ints) -> tuple[Floats, float]:
        """The first pair whole, the others' mean rate for the rest."""
        others = range(1, self.count - 1)
        rates = np.array([stats[window] / counted[window] for window in others])
        left = self._total - int(counted[0])
        lines = stats[0] + rates.mean(axis=0) * left
        dram = rates[:, -1, :, :2].sum(axis=(1, 2))
        estimate = float(lines[-1, :, :2].sum())
        error = (
            float(dram.std(ddof=1) / np.sqrt(len(dram)) * left / estimate)
            if len(dram) > 1 and estimate
            else 0.0
        )
        return lines, error
