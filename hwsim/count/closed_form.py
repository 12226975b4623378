"""The closed form: every level's traffic from the loops alone, without walking them.

It is exact for ragged tiles, halos and spatial loops.

Write S(t) for the tile a level holds at step t of the loops outside it. A tile is a box: on each
axis a set that depends only on the loops over that axis' dims. When the loop j advances, the loops
outside it stay, those inside it go from their last to their first value, so for every axis the sets
before and after, A and A', are known without walking the other axes. The words that instances s of
a level ask of the level outside, counted once when several ask for the same word, are

    sum over steps of   prod_axes |union_s A'_s|
                      - prod_axes |{x in union_s A'_s : every s that needs x had it}|

because the instances of different axes are independent: a word is asked for by nobody exactly when
on every axis every instance that needs its coordinate had it. Both products' sums over steps factor
over the axes. Dims that a tensor does not use are axes of one point that is there or, at a ragged
edge, not.

Partial sums leave as they came (the same sum with time reversed); a returning partial sum is read,
a first visit is not. Partial sums of a word that reach a level at one step are added on the way;
those that reach it at different steps meet there, and what lies there is read.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

from hwsim.errors import TooLarge
from hwsim.ir.counts import NestCounts, Traffic
from hwsim.ir.nest import COMPUTE, Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.tensor import Axis, Tensor
from hwsim.ir.transform import backing

MOST_TAPS = 4096
MOST_STEPS = 10_000_000  # of one dim, some hundred bytes each
Ints = npt.NDArray[np.int64]
Pairs = tuple[Ints, Ints]


@lru_cache(maxsize=256)
def count(nest: Nest) -> NestCounts:
    """Exact traffic of every level and tensor of a verified nest, in words."""
    traffic: dict[tuple[str, str], Traffic] = {}
    for tensor in nest.stage.tensors:
        traffic.update(_tensor_traffic(nest, tensor))
    instances = {hold.level: nest.instances(nest.loops_above(hold)) for hold in nest.holds}
    instances[COMPUTE] = nest.instances(nest.loops)
    return NestCounts(traffic, instances)


@lru_cache(maxsize=1024)
def touched_words(stage: Stage) -> dict[str, int]:
    """Distinct words of each tensor that a stage's loops touch."""
    level = "everything"
    loops = tuple(Loop(dim, 1) for dim, bound in stage.bounds if bound > 1)
    counts = count(Nest(stage, (backing(stage, level), *loops)))
    return {tensor.name: counts.of(level, tensor.name).peak for tensor in stage.tensors}


def touched_together(stages: Sequence[Stage], names: Collection[str]) -> dict[str, int]:
    """Distinct words of each of these tensors that any of a layer's stages touch.

    Phases of a layer are every pair of a set of rows and a set of columns, so a union of all is the
    product of the axes' unions. A filter's taps that meet no input, but padding alone, are touched
    by nobody who looks where he multiplies.
    """
    masks: dict[str, list[int]] = {}
    for stage in stages:
        idle = _idle_taps(stage)
        for tensor in (tensor for tensor in stage.tensors if tensor.name in names):
            own = [
                _meeting_mask(axis, stage, idle)
                if tensor.role == "weight"
                else _mask(axis, tuple((0, stage.extents[dim]) for dim in axis.dims))
                for axis in tensor.axes
            ]
            masks[tensor.name] = [
                a | b for a, b in zip(masks.get(tensor.name, own), own, strict=True)
            ]
    return {name: prod(mask.bit_count() for mask in own) for name, own in masks.items()}


def _idle_taps(stage: Stage) -> dict[str, frozenset[int]]:
    """Values of dims at which no place meets a word of an activation's axis.

    The dims are those that slide over the axis, beside another.
    """
    found: dict[str, frozenset[int]] = {}
    for tensor in stage.inputs:
        for axis in tensor.axes if tensor.role == "activation" else ():
            if len(axis.terms) != 2:
                continue
            for (dim, step), (other, apart) in (axis.terms, axis.terms[::-1]):
                if dim in stage.output.dims or stage.extents[dim] > MOST_TAPS:
                    continue
                places = np.arange(stage.extents[other], dtype=np.int64) * apart + axis.offset
                found[dim] = frozenset(
                    tap
                    for tap in range(stage.extents[dim])
                    if not (
                        (places + tap * step + axis.span > 0) & (places + tap * step < axis.size)
                    ).any()
                )
    return found


def _meeting_mask(axis: Axis, stage: Stage, idle: dict[str, frozenset[int]]) -> int:
    """The coordinates of a filter's axis that are multiplied with a word."""
    whole = _mask(axis, tuple((0, stage.extents[dim]) for dim in axis.dims))
    if len(axis.dims) != 1 or not idle.get(axis.dims[0]):
        return whole
    (dim,) = axis.dims
    return sum(
        _mask(axis, ((tap, tap + 1),)) for tap in range(stage.extents[dim]) if tap not in idle[dim]
    )


def _tensor_traffic(nest: Nest, tensor: Tensor) -> dict[tuple[str, str], Traffic]:
    """Walk the levels that hold a tensor from the outside in.

    fresh: entries of a level that begin a new partial sum, so that the first read inside is elided.
    Of a sum that lies in a level, each arrival but the first must find the one before: it was read
    to be added to inside, or is read when the arrival is added to it (sums of neighbours that leave
    at different steps). So a level reads updates - fresh.
    """
    chain = nest.chain(tensor.name)
    output = tensor.role == "output"
    result: dict[tuple[str, str], Traffic] = {}
    outer = _Demand(nest, tensor, chain[0], None)
    entries, filled = outer.entries, 0
    fresh, drains = entries, 0
    for hold, inner in itertools.pairwise(chain):
        assert hold is not None
        demand = _Demand(nest, tensor, inner, hold)
        updates = demand.returned if output else 0
        serves = updates - fresh if output else demand.asked
        result[hold.level, tensor.name] = Traffic(
            fills=filled, serves=serves, updates=updates, drains=drains, peak=outer.peak
        )
        if inner is None:
            break
        entries = demand.entries
        filled = demand.asked - fresh if output else entries
        fresh = entries - filled if output else 0
        drains = entries if output else 0
        outer = demand
    return result


class _Demand:
    """What one level (or the multipliers) asks of the level `outside` it, for one tensor."""

    def __init__(self, nest: Nest, tensor: Tensor, hold: Hold | None, outside: Hold | None) -> None:
        self._nest, self._tensor, self._hold = nest, tensor, hold
        self._loops = nest.loops_above(hold)
        shared = self._loops[len(nest.loops_above(outside)) if outside else 0 :]
        self._shared = frozenset(id(loop) for loop in shared if loop.spatial is not None)
        self._refetch = hold is not None and hold.halo == "refetch" and tensor.role != "output"
        self._multicast = hold.multicast if hold else nest.compute_multicast
        self._reduce = hold.reduce if hold else nest.compute_reduce

    @cached_property
    def entries(self) -> int:
        """Words that enter, summed over instances."""
        return self._sum(shared=False, backwards=False)

    @cached_property
    def asked(self) -> int:
        """Words read outside: with multicast, what several instances ask for at once is read once.

        Partial sums come back once in either case, to one of the instances that add to them.
        """
        shared = self._multicast or self._tensor.role == "output"
        return self._sum(shared=True, backwards=False) if shared and self._shared else self.entries

    @cached_property
    def returned_once(self) -> int:
        return self._sum(shared=True, backwards=True) if self._shared else self.entries

    @cached_property
    def returned(self) -> int:
        """Partial sums arriving outside, added on the way when the wires reduce."""
        return self.returned_once if self._reduce else self.entries

    @cached_property
    def peak(self) -> int:
        """The most words one instance holds."""
        return prod(axis.peak for axis, _ in self._axes(shared=False))

    def _sum(self, shared: bool, backwards: bool) -> int:
        if self._hold is None and not shared and self._always_inside():
            return self._nest.stage.iterations * prod(axis.extent for axis in self._tensor.axes)
        axes = self._axes(shared)
        if self._hold is None:
            return prod(axis.everything for axis, _ in axes)
        total = prod(axis.at_end(backwards) for axis, _ in axes)
        before: Counter[str] = Counter()  # temporal loops of each dim outside
        for loop in self._loops:
            if loop.spatial is not None:
                continue
            sums = [
                axis.moved(tuple((before[dim], dim == loop.dim) for dim in dims), backwards)
                for axis, dims in axes
            ]
            total += prod(new for new, _ in sums) - prod(kept for _, kept in sums)
            before[loop.dim] += 1
        return total

    def _always_inside(self) -> bool:
        """Is no coordinate of any iteration padding?"""
        extents = self._nest.stage.extents
        return all(axis.overhang(extents) == (0, 0) for axis in self._tensor.axes)

    def _axes(self, shared: bool) -> list[tuple[_AxisSum, tuple[str, ...]]]:
        """The axes of the tensor and the dims that it does not use, each with its dims."""
        together = self._shared if shared else frozenset()
        tables = {
            dim: _kept_table(dim, bound, self._loops, together)
            for dim, bound in self._nest.stage.bounds
        }
        unused = [dim for dim, _ in self._nest.stage.bounds if dim not in self._tensor.dims]
        of_dims = [(axis, axis.dims) for axis in self._tensor.axes]
        return [
            (_kept_sum(axis, tuple(tables[dim] for dim in dims), self._refetch), dims)
            for axis, dims in [*of_dims, *((None, (dim,)) for dim in unused)]
        ]


STEP, APART, TOGETHER = range(3)  # a temporal loop; a spatial one, of askers apart or as one
Cut = tuple[int, int]  # a loop's tile, and which of these it is
MOST_KEPT = 4_000_000  # numbers of all tables that are kept for nests with the same loops


class _Kept:
    """Tables and sums of nests that were counted before.

    Candidates of one stage, and the same layers on other machines, share most of their loops. All
    are let go when they grow too large.
    """

    def __init__(self) -> None:
        self.tables: dict[tuple[int, tuple[Cut, ...]], _Table] = {}
        self.sums: dict[tuple[Axis | None, tuple[_Table, ...], bool], _AxisSum] = {}
        self.words = 0

    def makes_room(self, words: int) -> None:
        """Count what is to be kept, and let go what is there where that is too much."""
        self.words += words
        if self.words > MOST_KEPT:
            self.tables, self.sums, self.words = {}, {}, words


_kept = _Kept()


def _kept_table(dim: str, bound: int, loops: Sequence[Loop], shared: frozenset[int]) -> _Table:
    """The table of a dim; only its own loops matter. shared: loops whose positions ask as one."""
    cuts = tuple(
        (loop.tile, STEP if loop.spatial is None else TOGETHER if id(loop) in shared else APART)
        for loop in loops
        if loop.dim == dim
    )
    table = _kept.tables.get((bound, cuts))
    if table is None:
        table = _Table(dim, bound, cuts)
        _kept.makes_room(table.words)
        _kept.tables[bound, cuts] = table
    return table


def _kept_sum(axis: Axis | None, tables: tuple[_Table, ...], refetch: bool) -> _AxisSum:
    key = (axis, tables, refetch)
    found = _kept.sums.get(key)
    if found is None:
        found = _kept.sums[key] = _AxisSum(*key)
    return found


class _Table:
    """Every chunk of one dim that its loops outside a level make.

    Rows are the temporal steps in order, columns the spatial positions: start and end (empty when
    end <= start). Temporal loops run as long as the first spatial position has work. `group`
    numbers the columns of one asker.
    """

    def __init__(self, dim: str, bound: int, cuts: Sequence[Cut]) -> None:
        self.start = np.zeros((1, 1), np.int64)
        self.end = np.full((1, 1), bound, np.int64)
        self.group = np.zeros(1, np.int64)
        self._dim = dim
        self._ancestors = [np.zeros(1, np.int64)]
        for tile, how in cuts:
            if how == STEP:
                self._step(tile)
            else:
                self._spread(tile, how == TOGETHER)

    def _step(self, tile: int) -> None:
        chunks = -(-(self.end[:, 0] - self.start[:, 0]) // tile)
        number = int(np.maximum(chunks, 0).sum())
        if number > MOST_STEPS:
            raise TooLarge(
                f"a loop of {number:.2g} steps over {self._dim}; at most {MOST_STEPS:.2g} are "
                f"counted, "
                "so expected a smaller layer"
            )
        rows = np.repeat(np.arange(len(chunks)), chunks)
        first = np.cumsum(chunks) - chunks
        index = np.arange(len(rows)) - first[rows]
        limit = self.end[rows]
        self.start = self.start[rows] + (index * tile)[:, None]
        self.end = np.minimum(limit, self.start + tile)
        self._ancestors = [group[rows] for group in self._ancestors] + [np.arange(len(rows))]

    def _spread(self, tile: int, shared: bool) -> None:
        chunks = -(-int((self.end[:, 0] - self.start[:, 0]).max()) // tile)
        position = np.tile(np.arange(chunks), self.start.shape[1])
        columns = np.repeat(np.arange(self.start.shape[1]), chunks)
        limit = self.end[:, columns]
        self.start = self.start[:, columns] + position * tile
        self.end = np.minimum(limit, self.start + tile)
        asker = self.group[columns]
        self.group = asker if shared else asker * chunks + position

    @property
    def rows(self) -> Ints:
        return np.arange(self.start.shape[0])

    @property
    def words(self) -> int:
        """Numbers that it takes to keep."""
        return self.start.size * 2 + len(self._ancestors) * len(self._ancestors[0])

    def moves(self, depth: int, own: bool) -> Pairs:
        """(rows before, rows after) for every way this dim passes through an advance of a loop.

        The loop is inside `depth` of its temporal loops. own: it is the dim's.
        """
        outside = self._ancestors[depth]
        if own:
            inside = self._ancestors[depth + 1]
            here = np.flatnonzero((outside[1:] == outside[:-1]) & (inside[1:] != inside[:-1]))
            return here, here + 1
        edges = np.flatnonzero(np.diff(outside))
        return np.append(edges, len(outside) - 1), np.insert(edges + 1, 0, 0)


class _AxisSum:
    """Sums of |union| and |kept| over the steps of one axis.

    Axis None is a dim that the tensor does not use.
    """

    def __init__(self, axis: Axis | None, tables: tuple[_Table, ...], refetch: bool) -> None:
        self._axis, self._tables, self._refetch = axis, tables, refetch
        self._blocks = axis is not None and _disjoint(axis, tables)
        self._moved: dict[tuple[tuple[tuple[int, bool], ...], bool], tuple[int, int]] = {}
        self._ends: dict[bool, int] = {}

    @cached_property
    def everything(self) -> int:
        """Sum of |union| over all steps."""
        rows = [table.rows for table in self._tables]
        return self._sums(rows, None)[0]

    def at_end(self, last: bool) -> int:
        """|union| at the first step, or at the last."""
        if last not in self._ends:
            rows = [np.array([len(table.rows) - 1 if last else 0]) for table in self._tables]
            self._ends[last] = self._sums(rows, None)[0]
        return self._ends[last]

    def moved(self, places: tuple[tuple[int, bool], ...], backwards: bool) -> tuple[int, int]:
        """Sums over the advances of a loop of the words needed now, and of those nobody lacks.

        places: for each dim, its temporal loops outside that loop, and whether it is its own.
        """
        found = self._moved.get((places, backwards))
        if found is None:
            pairs = [table.moves(*place) for table, place in zip(self._tables, places, strict=True)]
            before, after = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            found = self._sums(before, after) if backwards else self._sums(after, before)
            self._moved[places, backwards] = found
        return found

    @cached_property
    def peak(self) -> int:
        """The most coordinates at any step and position."""
        if self._axis is None:
            return 1
        if self._blocks:
            longest = max(
                (int((table.end - table.start).max()) for table in self._tables), default=1
            )
            return longest * self._axis.extent
        return max(
            (_mask(self._axis, ranges).bit_count() for ranges in self._distinct_ranges()), default=0
        )

    def _distinct_ranges(self) -> set[tuple[tuple[int, int], ...]]:
        found: set[tuple[tuple[int, int], ...]] = {()}
        for table in self._tables:
            own = set(zip(table.start.ravel().tolist(), table.end.ravel().tolist(), strict=True))
            found = {(*ranges, chunk) for ranges in found for chunk in own}
        return found

    def _sums(self, now: list[Ints], then: list[Ints] | None) -> tuple[int, int]:
        if self._axis is None:
            return self._presence(now[0], None if then is None else then[0])
        if self._blocks:
            return self._block_sums(now, then)
        return self._set_sums(now, then)

    def _presence(self, now: Ints, then: Ints | None) -> tuple[int, int]:
        table = self._tables[0]
        here = table.end[now] > table.start[now]
        needed = _any_by_group(here, table.group)
        if then is None:
            return int(needed.sum()), 0
        lacking = here & ~(table.end[then] > table.start[then])
        kept = needed & ~_any_by_group(lacking, table.group)
        return int(needed.sum()), int(kept.sum())

    def _block_sums(self, now: list[Ints], then: list[Ints] | None) -> tuple[int, int]:
        """Chunks of different positions never overlap, so a union is a sum."""
        assert self._axis is not None
        if not self._tables:
            return self._axis.extent, self._axis.extent
        table = self._tables[0]
        start, end = table.start[now[0]], table.end[now[0]]
        needed = int(np.maximum(end - start, 0).sum()) * self._axis.extent
        if then is None:
            return needed, 0
        old_start, old_end = table.start[then[0]], table.end[then[0]]
        if self._refetch:
            same = (start == old_start) & (end == old_end)
            kept = np.where(same, np.maximum(end - start, 0), 0)
        else:
            kept = np.maximum(np.minimum(end, old_end) - np.maximum(start, old_start), 0)
        return needed, int(kept.sum()) * self._axis.extent

    def _set_sums(self, now: list[Ints], then: list[Ints] | None) -> tuple[int, int]:
        """Sets as bit masks, one step and asker at a time.

        Equal cases are counted once and multiplied.
        """
        needed = kept = 0
        for case, times in _cases(self._tables, now, then):
            union, lacked = 0, 0
            for ranges, old_ranges in case:
                mask = _mask(self._cached_axis, ranges)
                union |= mask
                if old_ranges is not None:
                    old = _mask(self._cached_axis, old_ranges)
                    lacked |= (0 if mask == old else mask) if self._refetch else mask & ~old
            needed += times * union.bit_count()
            kept += times * (union & ~lacked).bit_count()
        return needed, kept if then is not None else 0

    @property
    def _cached_axis(self) -> Axis:
        assert self._axis is not None
        return self._axis


def _any_by_group(flags: npt.NDArray[np.bool_], group: Ints) -> npt.NDArray[np.bool_]:
    """flags [rows, columns] -> [rows, groups]: is any of a group's columns set?"""
    if len(group) == 1:
        return flags
    result = np.zeros((flags.shape[0], int(group.max()) + 1), np.int64)
    np.add.at(result.T, group, flags.T)
    return result > 0


def _disjoint(axis: Axis, tables: tuple[_Table, ...]) -> bool:
    """True when different dim values touch different coordinates, all of them inside the tensor."""
    if len(axis.terms) > 1 or axis.offset < 0:
        return False
    if not axis.terms:
        return axis.offset + axis.span <= axis.size
    coefficient = axis.terms[0][1]
    top = int(tables[0].end.max()) - 1
    return coefficient >= axis.span and axis.offset + coefficient * top + axis.span <= axis.size


Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Choice:
    """One dim's part of a case: its chunks now and then, for the columns of one asker."""

    now: tuple[tuple[int, int], ...]
    then: tuple[tuple[int, int], ...] | None


def _cases(
    tables: tuple[_Table, ...], now: list[Ints], then: list[Ints] | None
) -> list[tuple[list[tuple[Ranges, Ranges | None]], int]]:
    """Combinations of the dims' steps and askers: ([(ranges, old ranges)], times).

    Equal ones are merged.
    """
    combined: list[tuple[list[tuple[Ranges, Ranges | None]], int]] = [
        ([((), None if then is None else ())], 1)
    ]
    for index, table in enumerate(tables):
        choices = _choices(table, now[index], None if then is None else then[index])
        combined = [
            (_cross(case, choice), times * more)
            for case, times in combined
            for choice, more in choices.items()
        ]
    return combined


def _choices(table: _Table, now: Ints, then: Ints | None) -> dict[_Choice, int]:
    found: dict[_Choice, int] = {}
    for asker in range(int(table.group.max()) + 1):
        columns = np.flatnonzero(table.group == asker)
        parts = [table.start[np.ix_(now, columns)], table.end[np.ix_(now, columns)]]
        if then is not None:
            parts += [table.start[np.ix_(then, columns)], table.end[np.ix_(then, columns)]]
        rows, times = np.unique(np.concatenate(parts, axis=1), axis=0, return_counts=True)
        width = len(columns)
        for row, number in zip(rows.tolist(), times.tolist(), strict=True):
            chunks = tuple(zip(row[:width], row[width : 2 * width], strict=True))
            old = (
                tuple(zip(row[2 * width : 3 * width], row[3 * width :], strict=True))
                if then is not None
                else None
            )
            choice = _Choice(chunks, old)
            found[choice] = found.get(choice, 0) + number
    return found


def _cross(
    case: list[tuple[Ranges, Ranges | None]], choice: _Choice
) -> list[tuple[Ranges, Ranges | None]]:
    crossed: list[tuple[Ranges, Ranges | None]] = []
    for ranges, old in case:
        for position, chunk in enumerate(choice.now):
            then = None if old is None or choice.then is None else (*old, choice.then[position])
            crossed.append(((*ranges, chunk), then))
    return crossed


@lru_cache(maxsize=1 << 16)
def _mask(axis: Axis, ranges: Ranges) -> int:
    """The coordinates that chunks of the axis' dims touch, as bits; padding removed."""
    mask, low = _repeat(1, axis.step, axis.extent), axis.offset
    for (_, coefficient), (start, end) in zip(axis.terms, ranges, strict=True):
        if end <= start:
            return 0
        low += coefficient * start
        mask = _repeat(mask, coefficient, end - start)
    mask = mask << low if low >= 0 else mask >> -low
    return mask & ((1 << axis.size) - 1)


def _repeat(mask: int, step: int, times: int) -> int:
    """The union of `times` copies of a mask, each `step` above the one before."""
    result, done = mask, 1
    while done < times:
        more = min(done, times - done)
        result |= result << (step * more)
        done += more
    return result
