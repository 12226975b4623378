"""The best mapping of a space, with a proof: branch and bound over tables of factors.
 A subproblem is a skeleton and a spread. Its bound multiplies, for every term of the cost, the
least factors of the groups that are not chosen yet (the most, where a term is subtracted); a sum of
products of non-negative factors is never less than with every factor at its least, so no mapping
below is better than the bound. Subproblems are taken in the order of their bounds; the first whose
bound is no better than the best mapping found ends the search, and proves it. Inside one, groups
are chosen one after another under the same bound; the outer tiles, whose own cost and room do not
depend on the rest, come last, the cheapest first, until cost and bound together are no better.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hwsim.describe.units import size_text
from hwsim.energy.account import energy_pj, pj_per_byte
from hwsim.energy.tables import table_for
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Nest
from hwsim.parts.dram import Dram
from hwsim.parts.scratchpad import Scratchpad
from hwsim.schedule.mapper.extremes import Extremes, extremes_of
from hwsim.schedule.mapper.groups import keeps
from hwsim.schedule.mapper.kernels import DRAM, EDP, ENERGY, LATENCY, root_bounds, solve
from hwsim.schedule.mapper.model import Model, Terms, evaluate
from hwsim.schedule.mapper.space import OUTER, Skeleton, Space, Tiling
from hwsim.schedule.mapper.tables import Floats, Ints

Objective = Literal["latency", "energy", "edp", "dram"]
OBJECTIVES: tuple[Objective, ...] = ("latency", "energy", "edp", "dram")

TIE = 1e-7  # how much the second criterion counts against the first


@dataclass(frozen=True)
class Found:
    """The best mapping met. bound: no mapping of the space costs less; equal to cost when the
    search was finished.

    metrics: by name, as hwsim.schedule.mapper.model counts them. evaluated: mappings whose cost was
    computed; discarded: subproblems that the bound ruled out without looking inside.
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
    interrupted: bool = False

    @property
    def nest(self) -> Nest:
        """The mapping as a nest."""
        return self.space.nest(self.skeleton, self.tiling)

    @property
    def gap(self) -> float:
        """How much better the optimum could be, as a share of the cost; 0 when this is the
        optimum."""
        return max(0.0, 1.0 - self.bound / self.cost) if self.cost else 0.0

    @property
    def optimal(self) -> bool:
        return self.gap <= 10 * TIE


@dataclass(frozen=True)
class _Packed:
    """The groups' tables side by side, padded to one shape."""

    tables: Floats
    inner_counts: Ints
    spread_rows: Ints


@dataclass(frozen=True)
class _Outer:
    """Outer choices that fit the first memory, cheapest first."""

    choices: Ints
    metrics: Floats
    keys: Floats
    least: Floats


Progress = Callable[[int, int], None]


class Search:
    """One search. Construct with a model; `run` finds the best mapping, `pack` prepares the
    tables."""

    def __init__(self, model: Model, objective: Objective) -> None:
        self.model, self.space, self.objective = model, model.space, objective
        self._kind = OBJECTIVES.index(objective)
        self._best = np.array([np.inf, 0.0])
        self._terms = [
            (model.outer_terms(skeleton), model.inner_terms(skeleton), model.inner_bounds(skeleton))
            for skeleton in self.space.skeletons
        ]
        self._packed = pack(model)
        self._tie = self._tie_weight()
        self._outer: dict[Any, _Outer] = {}
        self._rooms: dict[Any, Any] = {}
        self._extremes: dict[tuple[str, str, str], Extremes] = {}
        self._result: tuple[float, Skeleton, Tiling] | None = None
        self._lock = threading.Lock()

    def run(
        self,
        seconds: float | None = None,
        progress: Progress | None = None,
        workers: int = 2,
        most: int | None = None,
    ) -> Found:
        """The best mapping. seconds, most: stop after so long or so many bounds and evaluations,
        with what was found.

        progress(subproblems done, all of them) is called as the search goes on; most of them are
        never looked into. With one worker the result is the same every time. Raises HwsimError when
        no mapping fits.
        """
        started = time.perf_counter()
        tasks = self._tasks()
        tally = np.zeros(2, np.int64)
        open_bound = np.inf
        position = iter(range(len(tasks)))
        running: dict[int, float] = {}
        ended = threading.Event()
        enough = self._enough()
        done = [0]

        def work() -> None:
            mine = np.zeros(2, np.int64)
            while not ended.is_set():
                with self._lock:
                    number = next(position, None)
                    over = (
                        number is None
                        or tasks[number][0] >= self._best[0]
                        or self._best[0] <= enough
                    )
                    if number is None or over or self._best[1] != 0.0:
                        break
                    running[number] = tasks[number][0]
                self._solve(*tasks[number][1:], mine)
                with self._lock:
                    if self._best[1] == 0.0:
                        del running[number]
                        done[0] += 1
                if most is not None and mine.sum() > most:
                    self._best[1] = 1.0
            with self._lock:
                tally[:] += mine

        pool = ThreadPoolExecutor(workers)
        futures = [pool.submit(work) for _ in range(workers)]
        interrupted = False
        try:
            while not all(future.done() for future in futures):
                time.sleep(0.002)
                if progress is not None:
                    progress(done[0], len(tasks))
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
            open_bound = min(
                [*running.values(), *([tasks[left][0]] if left is not None else [])], default=np.inf
            )
        if self._result is None:
            if interrupted:
                raise KeyboardInterrupt
            raise HwsimError(
                self._nothing_fits()
                if self._best[1] == 0.0
                else "no mapping found in the time given; expected more seconds"
            )
        cost, skeleton, tiling = self._result
        return Found(
            self.space,
            self.objective,
            skeleton,
            tiling,
            self._metrics(skeleton, tiling),
            cost,
            min(cost, max(open_bound, self._floor())),
            int(tally[0]),
            time.perf_counter() - started,
            interrupted,
        )

    # -- preparation -------------------------------------------------------------------------------
    # -------------------

    def _tie_weight(self) -> float:
        """The tie-break's weight: a share TIE of the first criterion at the least of both."""
        stage, machine = self.space.stage, self.space.machine
        compute = stage.iterations / machine.compute.peak_macs_per_cycle(
            stage.dtype or machine.dtype
        )
        energy = max(min(float(inner.constant[0]) for _, inner, _ in self._terms), 1.0)
        return {
            LATENCY: TIE * compute / energy,
            ENERGY: TIE * energy / compute,
            EDP: 0.0,
            DRAM: TIE * self._moved() / compute,
        }[self._kind]

    def _moved(self) -> float:
        """Bytes that must come from or go to DRAM at least."""
        moving = [
            tensor
            for tensor in self.space.stage.tensors
            if tensor.name not in self.space.placement.resident
        ]
        return float(sum(self.model.words[tensor.name] * tensor.width for tensor in moving))

    def _enough(self) -> float:
        """A score that ends the search: what must move at least, within a quarter of the least
        cycles."""
        if self._kind != DRAM:
            return self._floor()
        stage, machine = self.space.stage, self.space.machine
        cycles = stage.iterations / machine.compute.peak_macs_per_cycle(
            stage.dtype or machine.dtype
        )
        return self._floor() + 1.25 * self._tie * cycles

    def _floor(self) -> float:
        """What no mapping at all goes below: every word moves once, every product takes its turn on
        the array."""
        space = self.space
        machine, stage = space.machine, space.stage
        moved = self._moved()
        memory = machine.memories[machine.dram_name]
        rate = float(
            machine.part(machine.dram_name, Dram).bandwidth.bytes_per_cycle(machine.clock_hz)
        )
        dtype = stage.dtype or machine.dtype
        cycles = max(stage.iterations / machine.compute.peak_macs_per_cycle(dtype), moved / rate)
        energy = sum(
            energy_pj(machine, dtype, stage.operations, {}).values()
        ) + moved * pj_per_byte(memory, table_for(machine.process_nm))
        return {LATENCY: cycles, ENERGY: energy, EDP: energy * cycles, DRAM: moved}[self._kind]

    def _tasks(self) -> list[tuple[float, int, int]]:
        """(bound, skeleton, spread), the most promising first."""
        packed, found = self._packed, []
        for number, (_, _, inner) in enumerate(self._terms):
            outer = self._outer_of(number)
            if not len(outer.choices):
                continue
            bounds = np.empty(len(self.space.spreads))
            extremes = self._extremes_of(number)
            root_bounds(
                self._kind,
                self._tie,
                inner.columns,
                inner.weights,
                inner.constant,
                extremes.spread,
                extremes.spread_open,
                outer.least,
                packed.spread_rows,
                bounds,
            )
            found += [
                (float(bounds[spread]), number, int(spread))
                for spread in np.flatnonzero(np.isfinite(bounds))
            ]
        return sorted(found)

    def _extremes_of(self, number: int) -> Extremes:
        running = self.space.skeletons[number].running
        if running not in self._extremes:
            self._extremes[running] = extremes_of(self.model, running)
        return self._extremes[running]

    def _outer_of(self, number: int) -> _Outer:
        """The outer choices of a skeleton: those that fit, their own cost, sorted."""
        skeleton, terms = self.space.skeletons[number], self._terms[number][0]
        first = self._first_holds(skeleton)
        key = (
            terms.columns.tobytes(),
            terms.weights.tobytes(),
            tuple((hold.level, hold.tensors) for hold in first),
            skeleton.running[0],
        )
        if key not in self._outer:
            self._outer[key] = self._enumerate(skeleton, terms, first)
        return self._outer[key]

    def _first_holds(self, skeleton: Skeleton) -> tuple[Hold, ...]:
        """On-chip levels whose tiles x alone decides."""
        return tuple(
            hold
            for hold in skeleton.holds
            if skeleton.slots_above(hold)
            and all(slot.tile == OUTER for slot in skeleton.slots_above(hold))
        )

    def _enumerate(self, skeleton: Skeleton, terms: Terms, holds: tuple[Hold, ...]) -> _Outer:
        model = self.model
        grids = np.meshgrid(*(np.arange(len(group.outer)) for group in model.groups), indexing="ij")
        choices = np.stack([grid.ravel() for grid in grids], axis=1)
        fits = np.ones(len(choices), np.bool_)
        for hold in holds:
            widths, sizes = model.sizes(skeleton, hold)
            need = np.zeros(len(choices))
            for member, (width, name) in enumerate(widths):
                words = np.ones(len(choices))
                for which, size in enumerate(sizes):
                    words = (
                        words * size[:: len(model.groups[which].inner), member][choices[:, which]]
                    )
                whole = words >= model.stage.tensor(name).elements
                need += words * np.where(whole, width / hold.buffers, width)
            fits &= need <= self._room(hold)
        for number, group in enumerate(model.groups):
            alone = keeps(group, self.space, (skeleton.running[0], "", ""))[:: len(group.inner)]
            fits &= alone[choices[:, number]]
        choices = choices[fits]
        metrics = np.zeros((len(choices), len(model.metrics)))
        for column, weight in zip(terms.columns, terms.weights.T, strict=True):
            new, kept = np.ones(len(choices)), np.ones(len(choices))
            for which in range(len(model.groups)):
                values = model.table(which)[:: len(model.groups[which].inner), column[which]][
                    choices[:, which]
                ]
                new, kept = new * values[:, 0], kept * values[:, 1]
            metrics += (new - kept)[:, None] * weight[None, :]
        keys = {
            LATENCY: metrics[:, 2:].max(axis=1, initial=0.0),
            ENERGY: metrics[:, 0],
            EDP: metrics[:, 0],
            DRAM: metrics[:, 1],
        }[self._kind]
        order = np.argsort(keys, kind="stable")
        least = metrics.min(axis=0) if len(choices) else np.zeros(len(model.metrics))
        return _Outer(
            np.ascontiguousarray(choices[order]),
            np.ascontiguousarray(metrics[order]),
            np.ascontiguousarray(keys[order]),
            least,
        )

    def _room(self, hold: Hold) -> int:
        return self.space.placement.room(self.space.machine, hold.level)

    # -- search ------------------------------------------------------------------------------------
    # -------------------

    def _solve(self, number: int, spread: int, tally: Ints) -> None:
        packed, (_, inner, low), outer = self._packed, self._terms[number], self._outer_of(number)
        limits, level_of, widths, room, least = self._inner_room(number)
        ranges = [
            group.range_of(tuple(self.space.spreads[spread][dim] for dim in group.dims))
            for group in self.model.groups
        ]
        starts = np.array([first for first, _ in ranges], np.int64)
        ends = np.array([last for _, last in ranges], np.int64)
        choice = np.full(1 + 2 * len(self.model.groups), np.inf)
        extremes = self._extremes_of(number)
        solve(
            self._kind,
            self._tie,
            packed.tables,
            extremes.keeps,
            extremes.inner,
            extremes.open,
            packed.inner_counts,
            low.columns,
            low.weights,
            inner.columns,
            inner.weights,
            inner.constant,
            starts,
            ends,
            limits,
            level_of,
            widths,
            room,
            least,
            outer.choices,
            outer.metrics,
            outer.keys,
            outer.least,
            self._best,
            choice,
            tally,
        )
        if np.isfinite(choice[0]):
            rows = [int(value) for value in choice[1:]]
            half = len(self.model.groups)
            with self._lock:
                if self._result is None or choice[0] < self._result[0]:
                    self._result = (
                        float(choice[0]),
                        self.space.skeletons[number],
                        self.model.tiling(rows[:half], rows[half:]),
                    )

    def _inner_room(self, number: int) -> Any:
        """Limits of the levels inside, and the words of every tensor held there."""
        skeleton = self.space.skeletons[number]
        first = self._first_holds(skeleton)
        holds = tuple(
            hold
            for hold in skeleton.memories(self.space.machine)
            if skeleton.slots_above(hold) and hold not in first
        )
        shared = {hold.level for hold in holds}
        holds = (*(hold for hold in first if hold.level in shared), *holds)
        key = tuple((hold.level, hold.tensors, skeleton.slots_above(hold)) for hold in holds)
        if key not in self._rooms:
            self._rooms[key] = self._measure(skeleton, holds)
        return self._rooms[key]

    def _measure(self, skeleton: Skeleton, holds: tuple[Hold, ...]) -> Any:
        groups = self.model.groups
        levels = list(dict.fromkeys(hold.level for hold in holds))
        limits = np.array(
            [self._room(next(hold for hold in holds if hold.level == level)) for level in levels],
            np.float64,
        )
        level_of, widths, columns = [], [], [[] for _ in groups]  # type: ignore[var-annotated]
        for hold in holds:
            needs, sizes = self.model.sizes(skeleton, hold)
            level_of += [levels.index(hold.level)] * len(needs)
            widths += [width for width, _ in needs]
            for which, size in enumerate(sizes):
                columns[which].append(size)
        most = max(len(group.chains) for group in groups)
        room = np.ones((len(groups), most, len(widths)))
        least = np.ones((len(groups), max(len(group.inner) for group in groups), len(widths)))
        for number, group in enumerate(groups):
            if widths:
                words = np.concatenate(columns[number], axis=1)
                room[number, : len(words)] = words
                least[number, : len(group.inner)] = words.reshape(
                    len(group.outer), len(group.inner), -1
                ).min(axis=0)
        return limits, np.array(level_of, np.int64), np.array(widths, np.float64), room, least

    def _metrics(self, skeleton: Skeleton, tiling: Tiling) -> dict[str, float]:
        values = evaluate(self.model, skeleton, tiling)
        return dict(zip(self.model.metrics, values.tolist(), strict=True))

    def _nothing_fits(self) -> str:
        """Which memory is too small for even the smallest tiles, and by how much."""
        skeleton = self.space.skeletons[0]
        for hold in skeleton.memories(self.space.machine):
            part = self.space.machine.memories[hold.level]
            if isinstance(part, Scratchpad) and skeleton.slots_above(hold):
                widths, sizes = self.model.sizes(skeleton, hold)
                need = {
                    name: width * float(np.prod([size[:, member].min() for size in sizes]))
                    for member, (width, name) in enumerate(widths)
                }
                if sum(need.values()) > self._room(hold):
                    worst = max(need, key=lambda name: need[name])
                    return (
                        f"{self.space.machine.name}: {self.space.stage.name}: the smallest tiles "
                        f"take "
                        f"{size_text(int(sum(need.values())))} of "
                        f"{hold.level}, which has {size_text(self._room(hold))}; most of it is "
                        f"{worst}"
                    )
        return (
            f"{self.space.machine.name}: {self.space.stage.name}: no mapping of the space fits "
            f"the memories together"
        )


def pack(model: Model) -> _Packed:
    """All groups' tables in one array, and which of a group's spreads a spread of the space is."""
    groups = model.groups
    widest = max(model.table(number).shape[1] for number in range(len(groups)))
    tables = np.ones((len(groups), max(len(group.chains) for group in groups), widest, 2))
    for number in range(len(groups)):
        table = model.table(number)
        tables[number, : table.shape[0], : table.shape[1]] = table
    rows = np.array(
        [
            [group.spreads.index(tuple(spread[dim] for dim in group.dims)) for group in groups]
            for spread in model.space.spreads
        ],
        np.int64,
    )
    return _Packed(tables, np.array([len(group.inner) for group in groups], np.int64), rows)
