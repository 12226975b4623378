"""The best mapping of a space, with a proof: branch and bound over tables of factors.

A subproblem is a skeleton and a spread. Its bound multiplies, for every term of the cost, the least factors of the
groups that are not chosen yet (the most, where a term is subtracted); a sum of products of non-negative factors is
never less than with every factor at its least, so no mapping below is better than the bound. Subproblems are taken in
the order of their bounds; the first whose bound is no better than the best mapping found ends the search, and proves it.
Inside one, groups are chosen one after another under the same bound; the outer tiles, whose own cost and room do not
depend on the rest, come last, the cheapest first, until cost and bound together are no better.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt

from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold
from hwsim.mapper.model import Group, Model, Terms
from hwsim.mapper.space import IDLE, OUTER, Skeleton, Space, Tiling, beside_of
from hwsim.mapper.tables import Floats, Ints
from hwsim.parts.scratchpad import Scratchpad
from hwsim.units import size_text

Objective = Literal["latency", "energy", "edp", "dram"]
OBJECTIVES: tuple[Objective, ...] = ("latency", "energy", "edp", "dram")

_jit: Any = numba.njit(cache=True, nogil=True, error_model="numpy")
TIE = 1e-7  # how much the second criterion counts against the first
LATENCY, ENERGY, EDP, DRAM = range(4)


@dataclass(frozen=True)
class Found:
    """The best mapping met. bound: no mapping of the space costs less; equal to cost when the search was finished.

    metrics: by name, as hwsim.mapper.model counts them. evaluated: mappings whose cost was computed; discarded: subproblems
    that the bound ruled out without looking inside.
    """

    space: Space
    objective: Objective
    skeleton: Skeleton
    tiling: Tiling
    metrics: dict[str, float]
    cost: float
    bound: float
    evaluated: int
    seconds: float

    @property
    def gap(self) -> float:
        """How much better the optimum could be, as a share of the cost; 0 when this is the optimum."""
        return max(0.0, 1.0 - self.bound / self.cost) if self.cost else 0.0

    @property
    def optimal(self) -> bool:
        return self.gap <= 10 * TIE


@_jit
def _score(kind: int, metrics: Any, tie: float) -> float:
    longest = 0.0
    for number in range(2, len(metrics)):
        longest = max(longest, metrics[number])
    if kind == LATENCY:
        return longest + tie * metrics[0]
    if kind == ENERGY:
        return metrics[0] + tie * longest
    if kind == EDP:
        return metrics[0] * longest
    return metrics[1] + tie * metrics[0]


@_jit
def _bound(kind: int, tie: float, weights: Any, constant: Any, new_low: Any, new_high: Any, kept_low: Any, kept_high: Any,
           metrics: Any) -> float:
    """The score with every unknown factor at its best; leaves the metrics' bounds in `metrics`."""
    for metric in range(len(metrics)):
        metrics[metric] = constant[metric]
    for term in range(weights.shape[1]):
        low = max(0.0, new_low[term] - kept_high[term])
        high = new_high[term] - kept_low[term]
        for metric in range(len(metrics)):
            weight = weights[metric, term]
            if weight > 0.0:
                metrics[metric] += weight * low
            elif weight < 0.0:
                metrics[metric] += weight * high
    for metric in range(len(metrics)):
        metrics[metric] = max(metrics[metric], 0.0)
    return _score(kind, metrics, tie)


@_jit
def root_bounds(kind: int, tie: float, columns: Any, weights: Any, constant: Any, least: Any, is_open: Any, outer_least: Any, spreads: Any,
                result: Any) -> None:
    """Bounds of a skeleton under every spread. least [groups][spread of the group, column, 4]: extremes of the factors."""
    terms = columns.shape[0]
    new_low, new_high, kept_low, kept_high = np.ones(terms), np.ones(terms), np.ones(terms), np.ones(terms)
    metrics = np.zeros(len(constant))
    base = constant + outer_least
    for spread in range(spreads.shape[0]):
        possible = True
        for group in range(columns.shape[1]):
            possible = possible and is_open[group, spreads[spread, group]]
        if not possible:
            result[spread] = np.inf
            continue
        for term in range(terms):
            a, b, c, d = 1.0, 1.0, 1.0, 1.0
            for group in range(columns.shape[1]):
                extreme = least[group, spreads[spread, group], columns[term, group]]
                a *= extreme[0]
                b *= extreme[1]
                c *= extreme[2]
                d *= extreme[3]
            new_low[term], new_high[term], kept_low[term], kept_high[term] = a, b, c, d
        result[spread] = _bound(kind, tie, weights, base, new_low, new_high, kept_low, kept_high, metrics)


@_jit
def solve(kind: int, tie: float, tables: Any, keeps: Any, extremes: Any, is_open: Any, inner_counts: Any, columns: Any, weights: Any, full_columns: Any, full_weights: Any,
          constant: Any, starts: Any, ends: Any, limits: Any, level_of: Any, widths: Any, room: Any, room_least: Any, outer_choices: Any, outer_metrics: Any, outer_keys: Any,
          outer_least: Any, best: Any, choice: Any, tally: Any) -> None:
    """Search one subproblem. best[0]: the score to beat, shared; best[1]: not 0 to stop. choice: outer rows, then inner.

    tables [groups, rows, columns, 2]; extremes [groups, inner, columns, 4]; room [groups, rows, held]: words of every held
    tensor's tile; room_least the same over inner choices alone.
    """
    groups, terms, held = columns.shape[1], columns.shape[0], len(widths)
    low = np.ones((groups + 1, terms))
    high = np.ones((groups + 1, terms))
    kept_low = np.ones((groups + 1, terms))
    kept_high = np.ones((groups + 1, terms))
    rest = np.ones((groups + 1, terms, 4))
    for group in range(groups - 1, -1, -1):
        for term in range(terms):
            a, b, c, d = np.inf, 0.0, np.inf, 0.0
            column = columns[term, group]
            for y in range(starts[group], ends[group]):
                if not is_open[group, y]:
                    continue
                extreme = extremes[group, y, column]
                a, b, c, d = min(a, extreme[0]), max(b, extreme[1]), min(c, extreme[2]), max(d, extreme[3])
            rest[group, term, 0] = rest[group + 1, term, 0] * a
            rest[group, term, 1] = rest[group + 1, term, 1] * b
            rest[group, term, 2] = rest[group + 1, term, 2] * c
            rest[group, term, 3] = rest[group + 1, term, 3] * d
    room_rest = np.ones((groups + 1, held))
    for group in range(groups - 1, -1, -1):
        for member in range(held):
            smallest = np.inf
            for y in range(starts[group], ends[group]):
                smallest = min(smallest, room_least[group, y, member])
            room_rest[group, member] = room_rest[group + 1, member] * smallest
    room_so_far = np.ones((groups + 1, held))
    need = np.zeros(len(limits))
    metrics = np.zeros(len(constant))
    exact, lower = np.zeros(len(constant)), np.zeros(len(constant))
    full_terms = full_columns.shape[0]
    values, kept = np.zeros(full_terms), np.zeros(full_terms)
    base = constant + outer_least
    position = starts.copy()
    inner, rows = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    a_low, a_high, a_kept, a_most = np.ones(terms), np.ones(terms), np.ones(terms), np.ones(terms)
    own, per_term = _gather(tables, inner_counts, full_columns, starts, ends), np.ascontiguousarray(full_weights.T)
    cells = ends - starts
    key_metric = 0 if kind in (ENERGY, EDP) else 1
    key_weights = np.ascontiguousarray(per_term[:, key_metric])
    options = np.zeros((groups + 1, outer_choices.shape[0]), np.int64)  # outer choices that keep to the running loops so far
    options[0] = np.arange(outer_choices.shape[0])
    open_count = np.zeros(groups + 1, np.int64)
    open_count[0] = outer_choices.shape[0]
    depth = 0
    while depth >= 0:
        if best[1] != 0.0:
            return
        if position[depth] >= ends[depth]:
            position[depth] = starts[depth]
            depth -= 1
            continue
        y = position[depth]
        position[depth] += 1
        if not is_open[depth, y]:
            continue
        inner[depth] = y
        fits = True
        need[:] = 0.0
        for member in range(held):
            room_so_far[depth + 1, member] = room_so_far[depth, member] * room_least[depth, y, member]
            need[level_of[member]] += widths[member] * room_so_far[depth + 1, member] * room_rest[depth + 1, member]
        for level in range(len(limits)):
            if need[level] > limits[level]:
                fits = False
        if not fits:
            continue
        count = 0
        for number in range(open_count[depth]):
            option = options[depth, number]
            if keeps[depth, outer_choices[option, depth] * inner_counts[depth] + y]:
                options[depth + 1, count] = option
                count += 1
        open_count[depth + 1] = count
        if count == 0:
            continue
        if kind != LATENCY:
            base[key_metric] = constant[key_metric] + outer_metrics[options[depth + 1, 0], key_metric]
        for term in range(terms):
            extreme = extremes[depth, y, columns[term, depth]]
            low[depth + 1, term] = low[depth, term] * extreme[0]
            high[depth + 1, term] = high[depth, term] * extreme[1]
            kept_low[depth + 1, term] = kept_low[depth, term] * extreme[2]
            kept_high[depth + 1, term] = kept_high[depth, term] * extreme[3]
            a_low[term] = low[depth + 1, term] * rest[depth + 1, term, 0]
            a_high[term] = high[depth + 1, term] * rest[depth + 1, term, 1]
            a_kept[term] = kept_low[depth + 1, term] * rest[depth + 1, term, 2]
            a_most[term] = kept_high[depth + 1, term] * rest[depth + 1, term, 3]
        tally[1] += 1
        if _bound(kind, tie, weights, base, a_low, a_high, a_kept, a_most, metrics) >= best[0]:
            continue
        if depth < groups - 1:
            depth += 1
            position[depth] = starts[depth]
            continue
        _bound(kind, tie, weights, constant, a_low, a_high, a_kept, a_most, metrics)
        for number in range(open_count[groups]):
            option = options[groups, number]
            # the bound with the cheapest other metrics: it only grows along the list
            for metric in range(len(exact)):
                exact[metric] = metrics[metric] + outer_least[metric]
            if kind == LATENCY:
                if _longest(metrics, outer_metrics[option]) >= best[0] and outer_keys[option] >= best[0]:
                    break
            else:
                exact[key_metric] = metrics[key_metric] + outer_metrics[option, key_metric]
                if _score(kind, exact, tie) >= best[0]:
                    break
            for metric in range(len(exact)):
                exact[metric] = metrics[metric] + outer_metrics[option, metric]
            if _score(kind, exact, tie) >= best[0]:
                continue
            fits = True
            need[:] = 0.0
            for member in range(held):
                words = widths[member]
                for group in range(groups):
                    words *= room[group, outer_choices[option, group] * inner_counts[group] + inner[group], member]
                need[level_of[member]] += words
            for level in range(len(limits)):
                if need[level] > limits[level]:
                    fits = False
            if not fits:
                continue
            for metric in range(len(exact)):
                exact[metric] = constant[metric] + outer_metrics[option, metric]
            for group in range(groups):
                rows[group] = outer_choices[option, group] * cells[group] + inner[group] - starts[group]
            for term in range(full_terms):
                values[term] = own[0, rows[0], 0, term]
                kept[term] = own[0, rows[0], 1, term]
            for group in range(1, groups):
                row = rows[group]
                for term in range(full_terms):
                    values[term] *= own[group, row, 0, term]
                    kept[term] *= own[group, row, 1, term]
            for term in range(full_terms):
                values[term] -= kept[term]
                exact[key_metric] += key_weights[term] * values[term]
            tally[0] += 1
            if kind != LATENCY:
                lower[:] = metrics
                lower[key_metric] = exact[key_metric]
                if _score(kind, lower, tie) >= best[0]:
                    continue
            for term in range(full_terms):
                if values[term] != 0.0:
                    for metric in range(len(exact)):
                        if metric != key_metric:
                            exact[metric] += per_term[term, metric] * values[term]
            score = _score(kind, exact, tie)
            if score < best[0]:
                best[0] = score
                choice[0] = score
                for group in range(groups):
                    choice[1 + group] = outer_choices[option, group]
                    choice[1 + groups + group] = inner[group]


@_jit
def _gather(tables: Any, inner_counts: Any, columns: Any, starts: Any, ends: Any) -> Any:
    """The factors that a subproblem uses, side by side: [groups, outer * cells, 2, terms]."""
    groups, terms = columns.shape[1], columns.shape[0]
    most = 0
    for group in range(groups):
        most = max(most, tables.shape[1] // inner_counts[group] * (ends[group] - starts[group]))
    own = np.ones((groups, most, 2, terms))
    for group in range(groups):
        cells = ends[group] - starts[group]
        for x in range(tables.shape[1] // inner_counts[group]):
            for y in range(cells):
                for term in range(terms):
                    own[group, x * cells + y, 0, term] = tables[group, x * inner_counts[group] + starts[group] + y, columns[term, group], 0]
                    own[group, x * cells + y, 1, term] = tables[group, x * inner_counts[group] + starts[group] + y, columns[term, group], 1]
    return own


@_jit
def _longest(first: Any, second: Any) -> float:
    longest = 0.0
    for number in range(2, len(first)):
        longest = max(longest, first[number] + second[number])
    return longest


@_jit
def evaluate_batch(tables: Any, inner_counts: Any, columns: Any, weights: Any, constant: Any, outer: Any, inner: Any, result: Any) -> None:
    """Metrics [mappings, metrics] of many mappings of one skeleton: outer and inner choices [mappings, groups]."""
    groups = columns.shape[1]
    for mapping in range(outer.shape[0]):
        for metric in range(len(constant)):
            result[mapping, metric] = constant[metric]
        for term in range(columns.shape[0]):
            new, kept = 1.0, 1.0
            for group in range(groups):
                row = outer[mapping, group] * inner_counts[group] + inner[mapping, group]
                new *= tables[group, row, columns[term, group], 0]
                kept *= tables[group, row, columns[term, group], 1]
            value = new - kept
            if value != 0.0:
                for metric in range(len(constant)):
                    result[mapping, metric] += weights[metric, term] * value


@dataclass(frozen=True)
class _Packed:
    """The groups' tables side by side, padded to one shape."""

    tables: Floats
    inner_counts: Ints
    spread_rows: Ints


@dataclass(frozen=True)
class _Extremes:
    """Least and most of new and kept over the tilings that keep to a skeleton's running loops.

    keeps [groups, rows]: which candidates do.
    inner [groups, inner, columns, 4] over outer choices; spread [groups, spread, columns, 4] over cells as well; an inner
    choice that no outer choice goes with is not `open`.
    """

    keeps: npt.NDArray[np.bool_]
    inner: Floats
    open: npt.NDArray[np.bool_]
    spread: Floats
    spread_open: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Outer:
    """Outer choices that fit the first memory, cheapest first."""

    choices: Ints
    metrics: Floats
    keys: Floats
    least: Floats


Progress = Callable[[int, int], None]


class Search:
    """One search. Construct with a model; `run` finds the best mapping, `pack` prepares the tables."""

    def __init__(self, model: Model, objective: Objective) -> None:
        self.model, self.space, self.objective = model, model.space, objective
        self._kind = OBJECTIVES.index(objective)
        self._best = np.array([np.inf, 0.0])
        self._terms = [(model.outer_terms(skeleton), model.inner_terms(skeleton), model.inner_bounds(skeleton)) for skeleton in self.space.skeletons]
        self._packed = pack(model)
        self._tie = self._tie_weight()
        self._outer: dict[Any, _Outer] = {}
        self._rooms: dict[Any, Any] = {}
        self._extremes: dict[tuple[str, str, str], _Extremes] = {}
        self._result: tuple[float, Skeleton, Tiling] | None = None
        self._lock = threading.Lock()

    def run(self, seconds: float | None = None, progress: Progress | None = None, workers: int | None = None) -> Found:
        """The best mapping. seconds: stop after so long, with what was found. Raises HwsimError when no mapping fits."""
        started = time.perf_counter()
        tasks = self._tasks()
        tally = np.zeros(2, np.int64)
        open_bound = np.inf
        position = iter(range(len(tasks)))
        running: dict[int, float] = {}
        ended = threading.Event()

        def work() -> None:
            mine = np.zeros(2, np.int64)
            while not ended.is_set():
                with self._lock:
                    number = next(position, None)
                    if number is None or tasks[number][0] >= self._best[0]:
                        break
                    running[number] = tasks[number][0]
                self._solve(*tasks[number][1:], mine)
                with self._lock:
                    if self._best[1] == 0.0:
                        del running[number]
            with self._lock:
                tally[:] += mine

        pool = ThreadPoolExecutor(workers)
        futures = [pool.submit(work) for _ in range(workers or 2)]
        interrupted = False
        try:
            while not all(future.done() for future in futures):
                time.sleep(0.002)
                if progress is not None:
                    progress(0, 0)
                if seconds is not None and time.perf_counter() - started > seconds:
                    self._best[1] = 1.0
                    ended.set()
        except KeyboardInterrupt:
            self._best[1] = 1.0
            ended.set()
            interrupted = True
        for future in futures:
            future.result()
        pool.shutdown()
        if self._best[1] != 0.0:
            left = next(position, None)
            open_bound = min([*running.values(), *([tasks[left][0]] if left is not None else [])], default=np.inf)
        if self._result is None:
            raise KeyboardInterrupt if interrupted else HwsimError(self._nothing_fits())
        cost, skeleton, tiling = self._result
        return Found(self.space, self.objective, skeleton, tiling, self._metrics(skeleton, tiling), cost, min(cost, open_bound),
                     int(tally[0]), time.perf_counter() - started)

    # -- preparation --------------------------------------------------------------------------------------------------

    def _tie_weight(self) -> float:
        """The tie-break's weight: a share TIE of the first criterion at the least of both."""
        constant = np.min([inner.constant for _, inner, _ in self._terms], axis=0)
        compute = self.space.stage.iterations / self.space.machine.compute.peak_macs_per_cycle(self.space.stage.dtype or self.space.machine.dtype)
        energy = max(constant[0], 1.0)
        return {LATENCY: TIE * compute / energy, ENERGY: TIE * energy / compute, EDP: 0.0, DRAM: TIE / energy}[self._kind]

    def _tasks(self) -> list[tuple[float, int, int]]:
        """(bound, skeleton, spread), the most promising first."""
        packed, found = self._packed, []
        for number, (_, _, inner) in enumerate(self._terms):
            outer = self._outer_of(number)
            if not len(outer.choices):
                continue
            bounds = np.empty(len(self.space.spreads))
            extremes = self._extremes_of(number)
            root_bounds(self._kind, self._tie, inner.columns, inner.weights, inner.constant, extremes.spread, extremes.spread_open, outer.least,
                        packed.spread_rows, bounds)
            found += [(float(bounds[spread]), number, int(spread)) for spread in np.flatnonzero(np.isfinite(bounds))]
        return sorted(found)

    def _extremes_of(self, number: int) -> _Extremes:
        running = self.space.skeletons[number].running
        if running not in self._extremes:
            self._extremes[running] = extremes_of(self.model, running)
        return self._extremes[running]

    def _outer_of(self, number: int) -> _Outer:
        """The outer choices of a skeleton: those that fit, their own cost, sorted."""
        skeleton, terms = self.space.skeletons[number], self._terms[number][0]
        first = self._first_holds(skeleton)
        key = (terms.columns.tobytes(), terms.weights.tobytes(), tuple((hold.level, hold.tensors) for hold in first),
               skeleton.running[0])
        if key not in self._outer:
            self._outer[key] = self._enumerate(skeleton, terms, first)
        return self._outer[key]

    def _first_holds(self, skeleton: Skeleton) -> tuple[Hold, ...]:
        """On-chip levels whose tiles x alone decides."""
        return tuple(hold for hold in skeleton.holds if skeleton.slots_above(hold)
                     and all(slot.tile == OUTER for slot in skeleton.slots_above(hold)))

    def _enumerate(self, skeleton: Skeleton, terms: Terms, holds: tuple[Hold, ...]) -> _Outer:
        model = self.model
        grids = np.meshgrid(*(np.arange(len(group.outer)) for group in model.groups), indexing="ij")
        choices = np.stack([grid.ravel() for grid in grids], axis=1)
        fits = np.ones(len(choices), np.bool_)
        for hold in holds:
            widths, sizes = model.sizes(skeleton, hold)
            need = np.zeros(len(choices))
            for member, (width, (name,)) in enumerate(widths):
                words = np.ones(len(choices))
                for group, size in enumerate(sizes):
                    words = words * size[:: len(model.groups[group].inner), member][choices[:, group]]
                whole = words >= model.stage.tensor(name).elements
                need += words * np.where(whole, width / hold.buffers, width)
            fits &= need <= self._room(hold)
        for number, group in enumerate(model.groups):
            fits &= _keeps(group, self.space, (skeleton.running[0], "", ""))[:: len(group.inner)][choices[:, number]]
        choices = choices[fits]
        metrics = np.zeros((len(choices), len(model.metrics)))
        for column, weight in zip(terms.columns, terms.weights.T, strict=True):
            new, kept = np.ones(len(choices)), np.ones(len(choices))
            for group in range(len(model.groups)):
                values = model.table(group)[:: len(model.groups[group].inner), column[group]][choices[:, group]]
                new, kept = new * values[:, 0], kept * values[:, 1]
            metrics += (new - kept)[:, None] * weight[None, :]
        keys = {LATENCY: metrics[:, 2:].max(axis=1, initial=0.0), ENERGY: metrics[:, 0], EDP: metrics[:, 0], DRAM: metrics[:, 1]}[self._kind]
        order = np.argsort(keys, kind="stable")
        least = metrics.min(axis=0) if len(choices) else np.zeros(len(model.metrics))
        return _Outer(np.ascontiguousarray(choices[order]), np.ascontiguousarray(metrics[order]), np.ascontiguousarray(keys[order]), least)

    def _room(self, hold: Hold) -> int:
        part = self.space.machine.memories[hold.level]
        reserved = self.space.placement.reserved if hold.level == self.space.placement.level else 0
        return part.capacity - reserved

    # -- search -------------------------------------------------------------------------------------------------------

    def _solve(self, number: int, spread: int, tally: Ints) -> None:
        packed, (_, inner, low), outer = self._packed, self._terms[number], self._outer_of(number)
        limits, level_of, widths, room, least = self._inner_room(number)
        ranges = [group.range_of(tuple(self.space.spreads[spread][dim] for dim in group.dims)) for group in self.model.groups]
        starts = np.array([first for first, _ in ranges], np.int64)
        ends = np.array([last for _, last in ranges], np.int64)
        choice = np.full(1 + 2 * len(self.model.groups), np.inf)
        extremes = self._extremes_of(number)
        solve(self._kind, self._tie, packed.tables, extremes.keeps, extremes.inner, extremes.open, packed.inner_counts, low.columns, low.weights, inner.columns,
              inner.weights, inner.constant, starts, ends, limits, level_of, widths, room, least, outer.choices, outer.metrics, outer.keys, outer.least, self._best, choice, tally)
        if np.isfinite(choice[0]):
            rows = [int(value) for value in choice[1:]]
            half = len(self.model.groups)
            with self._lock:
                if self._result is None or choice[0] < self._result[0]:
                    self._result = (float(choice[0]), self.space.skeletons[number], self.model.tiling(rows[:half], rows[half:]))

    def _inner_room(self, number: int) -> Any:
        """Limits of the levels inside, and the words of every tensor held there."""
        skeleton = self.space.skeletons[number]
        first = self._first_holds(skeleton)
        holds = tuple(hold for hold in skeleton.holds if skeleton.slots_above(hold) and hold not in first)
        key = tuple((hold.level, hold.tensors, skeleton.slots_above(hold)) for hold in holds)
        if key not in self._rooms:
            self._rooms[key] = self._measure(skeleton, holds)
        return self._rooms[key]

    def _measure(self, skeleton: Skeleton, holds: tuple[Hold, ...]) -> Any:
        groups = self.model.groups
        levels = list(dict.fromkeys(hold.level for hold in holds))
        limits = np.array([self._room(next(hold for hold in holds if hold.level == level)) for level in levels], np.float64)
        level_of, widths, columns = [], [], [[] for _ in groups]  # type: ignore[var-annotated]
        for hold in holds:
            needs, sizes = self.model.sizes(skeleton, hold)
            level_of += [levels.index(hold.level)] * len(needs)
            widths += [width for width, _ in needs]
            for group, size in enumerate(sizes):
                columns[group].append(size)
        most = max(len(group.chains) for group in groups)
        room = np.ones((len(groups), most, len(widths)))
        least = np.ones((len(groups), max(len(group.inner) for group in groups), len(widths)))
        for number, group in enumerate(groups):
            if widths:
                words = np.concatenate(columns[number], axis=1)
                room[number, : len(words)] = words
                least[number, : len(group.inner)] = words.reshape(len(group.outer), len(group.inner), -1).min(axis=0)
        return limits, np.array(level_of, np.int64), np.array(widths, np.float64), room, least

    def _metrics(self, skeleton: Skeleton, tiling: Tiling) -> dict[str, float]:
        from hwsim.mapper.model import evaluate

        values = evaluate(self.model, skeleton, tiling)
        return dict(zip(self.model.metrics, values.tolist(), strict=True))

    def _nothing_fits(self) -> str:
        """Which memory is too small for even the smallest tiles, and by how much."""
        smallest = Tiling({dim: min(self.space.outer[dim]) for dim in self.space.dims}, dict.fromkeys(self.space.dims, 1),
                          {dim: min(self.space.cell[dim]) for dim in self.space.dims})
        skeleton = self.space.skeletons[0]
        for hold in skeleton.holds[1:]:
            part = self.space.machine.memories[hold.level]
            if isinstance(part, Scratchpad):
                widths, sizes = self.model.sizes(skeleton, hold)
                need = {name: width * float(np.prod([size[:, member].min() for size in sizes])) for member, (width, (name,)) in enumerate(widths)}
                if sum(need.values()) > self._room(hold):
                    worst = max(need, key=lambda name: need[name])
                    return (f"{self.space.machine.name}: {self.space.stage.name}: the smallest tiles take {size_text(int(sum(need.values())))} of "
                            f"{hold.level}, which has {size_text(self._room(hold))}; most of it is {worst}")
        del smallest
        return f"{self.space.machine.name}: {self.space.stage.name}: no mapping of the space fits the memories together"


def pack(model: Model) -> _Packed:
    """All groups' tables in one array, and which of a group's spreads a spread of the space is."""
    groups = model.groups
    widest = max(model.table(number).shape[1] for number in range(len(groups)))
    tables = np.ones((len(groups), max(len(group.chains) for group in groups), widest, 2))
    for number in range(len(groups)):
        table = model.table(number)
        tables[number, : table.shape[0], : table.shape[1]] = table
    rows = np.array([[_spreads_of(group).index(tuple(spread[dim] for dim in group.dims)) for group in groups]
                     for spread in model.space.spreads], np.int64)
    return _Packed(tables, np.array([len(group.inner) for group in groups], np.int64), rows)


def _spreads_of(group: Group) -> list[tuple[int, ...]]:
    return list(dict.fromkeys(spread for spread, _ in group.inner))


def extremes_of(model: Model, running: tuple[str, str, str]) -> _Extremes:
    """Extremes of all groups' factors under one choice of running loops."""
    parts = [_group_extremes(group, model.table(number), model.space, running) for number, group in enumerate(model.groups)]
    widest = max(part[0].shape[1] for part in parts)

    def padded(arrays: list[Floats], fill: float) -> Floats:
        shape = (len(arrays), max(array.shape[0] for array in arrays), widest, 4)
        result = np.full(shape, fill)
        for number, array in enumerate(arrays):
            result[number, : array.shape[0], : array.shape[1]] = array
        return result

    def flags(arrays: list[npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
        result = np.zeros((len(arrays), max(len(array) for array in arrays)), np.bool_)
        for number, array in enumerate(arrays):
            result[number, : len(array)] = array
        return result

    return _Extremes(flags([_keeps(group, model.space, running) for group in model.groups]), padded([part[0] for part in parts], 1.0), flags([part[1] for part in parts]), padded([part[2] for part in parts], 1.0),
                     flags([part[3] for part in parts]))


def _group_extremes(group: Group, table: Floats, space: Space, running: tuple[str, str, str]) -> Any:
    """(extremes by inner choice, is it open, extremes by spread, is it open) of one group."""
    cube = table.reshape(len(group.outer), len(group.inner), table.shape[1], 2)
    keeps = _keeps(group, space, running).reshape(len(group.outer), len(group.inner), 1)
    new_low, kept_low = (np.where(keeps, cube[..., side], np.inf).min(axis=0) for side in (0, 1))
    new_high, kept_high = (np.where(keeps, cube[..., side], 0.0).max(axis=0) for side in (0, 1))
    inner = np.stack([new_low, new_high, kept_low, kept_high], axis=-1)
    is_open = keeps[..., 0].any(axis=0)
    spread, spread_open = [], []
    for neighbours in _spreads_of(group):
        first, last = group.range_of(neighbours)
        block, some = inner[first:last], is_open[first:last]
        spread_open.append(bool(some.any()))
        block = block[some] if some.any() else np.ones((1, *block.shape[1:]))
        spread.append(np.stack([block[..., 0].min(axis=0), block[..., 1].max(axis=0), block[..., 2].min(axis=0), block[..., 3].max(axis=0)], axis=-1))
    inner[~is_open] = 1.0
    return inner, is_open, np.stack(spread), np.array(spread_open)


def _keeps(group: Group, space: Space, running: tuple[str, str, str]) -> npt.NDArray[np.bool_]:
    """Candidates whose loops run where the skeleton says so, in a ragged last pass too, and idle where it says that."""
    keeps = np.ones(len(group.chains), np.bool_)
    for place, dim in enumerate(group.dims):
        x, a = group.chains[:, 4 * place], group.chains[:, 4 * place + 1]
        bound = space.stage.extents[dim]
        last = bound % x
        for block, (runs, always) in enumerate(((x < bound, x < bound), (a < x, (a < x) & ((last == 0) | (last > a))))):
            if running[block] == dim:
                keeps &= always
            elif running[block] == IDLE:
                keeps &= ~runs
        if running[2] == dim:
            keeps &= (a < x) & ((last == 0) | (last > a))
        elif running[2] == IDLE and dim != running[1] and dim not in beside_of(space.stage, running[1], space.dims):
            keeps &= ~(a < x)
    return keeps


def iterate(space: Space, groups: tuple[Group, ...]) -> Iterator[tuple[Skeleton, Tiling]]:
    """Every mapping of a (small) space, for exhaustive checks."""
    import itertools

    for skeleton in space.skeletons:
        for spread in space.spreads:
            cells = [range(*group.range_of(tuple(spread[dim] for dim in group.dims))) for group in groups]
            for inner in itertools.product(*cells):
                for outer in itertools.product(*(group.outer for group in groups)):
                    x, f, t = {}, {}, {}
                    for group, tiles, row in zip(groups, outer, inner, strict=True):
                        x.update(zip(group.dims, tiles, strict=True))
                        f.update(zip(group.dims, group.inner[row][0], strict=True))
                        t.update(zip(group.dims, group.inner[row][1], strict=True))
                    yield skeleton, Tiling(x, f, t)
