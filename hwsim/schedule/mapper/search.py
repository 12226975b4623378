"""The best mapping of a space, with a proof: branch and bound over tables of factors.

A subproblem is a skeleton and a spread. Its bound multiplies, for every term of the cost, the
least factors of the groups that are not chosen yet (the most, where a term is subtracted); a sum of
products of non-negative factors is never less than with every factor at its least, so no mapping
below is better than the bound. Nor is any bound below what all products and all words take at the
least (Model.floors).

The most promising subproblems are first descended into, one group's tiles after another, which
soon finds a good mapping. Then subproblems are taken in the order of their bounds; the first whose
bound is no better than the best mapping found ends the search, and proves it. Inside one, groups
are chosen one after another under the same bound. Of a group's choices those go first that cost no
less and take no less room than another, whatever the other groups choose: every term is a product
over groups of factors that are not negative.

Subproblems are taken in rounds. All of a round start from the same best mapping, so the result does
not depend on how many work at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hwsim.describe.units import size_text
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold
from hwsim.parts.scratchpad import Scratchpad
from hwsim.schedule.mapper.extremes import Extremes, extremes_of
from hwsim.schedule.mapper.found import OBJECTIVES, PROVEN, Found, Objective
from hwsim.schedule.mapper.kernels import (
    DRAM,
    EDP,
    ENERGY,
    LATENCY,
    descend,
    solve,
)
from hwsim.schedule.mapper.model import Model, Terms, evaluate
from hwsim.schedule.mapper.outer import OuterChoices, first_holds, outer_choices, room_of
from hwsim.schedule.mapper.roots import Ranked, Roots, Subproblem
from hwsim.schedule.mapper.space import Skeleton, Tiling
from hwsim.schedule.mapper.tables import Floats, Ints

TIE = 1e-9  # how much the second criterion counts against the first
ROUNDING = 1e-9  # a mapping that is better by less may be the same one, summed in another order
TIES_SOUGHT = 300_000  # evaluations spent on the second criterion before equal firsts are enough
ROUND = 16  # subproblems that start from the same best mapping
FIRST = 4  # subproblems of every choice of holds that are descended into before the search
DESCENTS = 32  # at a time
LEADERS = 4  # choices of holds whose best mapping leads to others like it
NEAR = 40  # subproblems like a leader in some respect that are descended into

Progress = Callable[[int, int], None]
Choice = tuple[float, int, tuple[int, ...]]  # score, skeleton, rows of every group


@dataclass(frozen=True)
class Packed:
    """The groups' tables side by side, padded to one shape."""

    tables: Floats
    inner_counts: Ints
    spread_rows: Ints


@dataclass(frozen=True)
class Room:
    """limits [levels] of memories in bytes. For every held tensor: its level; bytes of a word, and
    those of one where the tile is the whole tensor of `elements`; words [groups, rows, held]."""

    limits: Floats
    level_of: Ints
    widths: Floats
    once: Floats
    elements: Floats
    words: Floats


class Search:
    """One search. Construct with a model; `run` finds the best mapping."""

    def __init__(self, model: Model, objective: Objective) -> None:
        self.model, self.space, self.objective = model, model.space, objective
        self.kind = OBJECTIVES.index(objective)
        self.floors = model.floors()
        self.tie = self._tie_weight()
        self.stop = np.zeros(1, np.int64)
        self._full: dict[int, tuple[Terms, Terms, Terms]] = {}
        self._outer: dict[Any, OuterChoices] = {}
        self._rooms: dict[Any, Room] = {}
        self._extremes: dict[tuple[str, str, str], Extremes] = {}
        self._ask_for_all_tables()
        self.packed = pack(model)
        self._roots = Roots(self.model, self.packed.spread_rows, self.floors, self.kind, self.tie)
        numbers: dict[Any, int] = {}
        self.holds = np.array(
            [
                numbers.setdefault(
                    tuple((hold.level, hold.tensors) for hold in skeleton.holds), len(numbers)
                )
                for skeleton in self.space.skeletons
            ]
        )

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
        never looked into. Without `seconds` the result is the same every time. Raises HwsimError
        when no mapping fits.
        """
        started = time.perf_counter()
        hunt = _Hunt(self, self._subproblems(), seconds, progress, most)
        interrupted = False
        with ThreadPoolExecutor(workers) as pool:
            try:
                hunt.finish(pool)
            except KeyboardInterrupt:
                self.stop[0] = 1
                interrupted = True
        if hunt.best is None:
            if interrupted:
                raise KeyboardInterrupt
            raise HwsimError(
                "no mapping found in the time given; expected more seconds"
                if self.stop[0]
                else self._nothing_fits()
            )
        score, number, rows = hunt.best
        skeleton, half = self.space.skeletons[number], len(self.model.groups)
        tiling = self.model.tiling(list(rows[:half]), list(rows[half:]))
        return Found(
            self.space,
            self.objective,
            skeleton,
            tiling,
            self._metrics(skeleton, tiling),
            score,
            min(score, hunt.bound),
            hunt.evaluated,
            time.perf_counter() - started,
            float(self.floors[0]),
            interrupted,
        )

    # -- preparation -------------------------------------------------------------------------------

    def _tie_weight(self) -> float:
        """The tie-break's weight: a share TIE of the first criterion at the least of both."""
        cycles = float(self.floors[2:].max())
        energy, moved = float(self.floors[0]), float(self.floors[1])
        return {
            LATENCY: TIE * cycles / max(energy, 1e-9),
            ENERGY: TIE * energy / cycles,
            EDP: 0.0,
            DRAM: TIE * moved / cycles,
        }[self.kind]

    def _ask_for_all_tables(self) -> None:
        """Factors are tabled when a term asks for them, and packed once all have asked."""
        for skeleton in self.space.skeletons:
            self.model.time_terms(skeleton)
            for tensor in self.model.stage.tensors:
                for outer, least in ((True, False), (False, False), (False, True)):
                    self.model.tensor_terms(skeleton, tensor, outer, least)

    def _subproblems(self) -> Ranked:
        return Ranked(
            np.stack(
                [
                    self._roots.of(skeleton, self._extremes_of(skeleton), self._outer_of(number))
                    for number, skeleton in enumerate(self.space.skeletons)
                ],
                axis=1,
            )
        )

    def _extremes_of(self, skeleton: Skeleton) -> Extremes:
        running = skeleton.running
        if running not in self._extremes:
            self._extremes[running] = extremes_of(self.model, running)
        return self._extremes[running]

    def _terms_of(self, number: int) -> tuple[Terms, Terms, Terms]:
        """Outer terms, inner terms, and bounds of the inner ones."""
        if number not in self._full:
            skeleton, model = self.space.skeletons[number], self.model
            self._full[number] = (
                model.outer_terms(skeleton),
                model.inner_terms(skeleton),
                model.inner_bounds(skeleton),
            )
        return self._full[number]

    def _outer_of(self, number: int) -> OuterChoices:
        """The outer choices of a skeleton, which others with the same first holds share."""
        skeleton = self.space.skeletons[number]
        terms = self.model.outer_terms(skeleton)
        key = (
            terms.columns.tobytes(),
            terms.weights.tobytes(),
            tuple((hold.level, hold.tensors) for hold in first_holds(skeleton)),
            skeleton.running[0],
        )
        if key not in self._outer:
            self._outer[key] = outer_choices(self.model, skeleton, terms, self.kind)
        return self._outer[key]

    def room_of(self, number: int) -> Room:
        """What a skeleton's levels hold."""
        skeleton = self.space.skeletons[number]
        holds = tuple(
            hold for hold in skeleton.memories(self.space.machine) if skeleton.slots_above(hold)
        )
        key = tuple((hold.level, hold.tensors, skeleton.slots_above(hold)) for hold in holds)
        if key not in self._rooms:
            self._rooms[key] = self._measure(skeleton, holds)
        return self._rooms[key]

    def _measure(self, skeleton: Skeleton, holds: tuple[Hold, ...]) -> Room:
        groups = self.model.groups
        levels = list(dict.fromkeys(hold.level for hold in holds))
        limits = [
            room_of(self.model, next(hold for hold in holds if hold.level == level))
            for level in levels
        ]
        first = first_holds(skeleton)
        level_of: list[int] = []
        rows: dict[str, list[float]] = {"widths": [], "once": [], "elements": []}
        columns: list[list[Floats]] = [[] for _ in groups]
        for hold in holds:
            needs, sizes = self.model.sizes(skeleton, hold)
            for width, name in needs:
                level_of.append(levels.index(hold.level))
                rows["widths"].append(width)
                rows["once"].append(width / hold.buffers if hold in first else width)
                rows["elements"].append(self.model.stage.tensor(name).elements)
            for which, size in enumerate(sizes):
                columns[which].append(size)
        most = max(len(group.chains) for group in groups)
        words = np.ones((len(groups), most, len(level_of)))
        for number, block in enumerate(columns):
            if level_of:
                table = np.concatenate(block, axis=1)
                words[number, : len(table)] = table
        return Room(
            np.array(limits, np.float64),
            np.array(level_of, np.int64),
            np.array(rows["widths"], np.float64),
            np.array(rows["once"], np.float64),
            np.array(rows["elements"], np.float64),
            words,
        )

    # -- search ------------------------------------------------------------------------------------

    def _ranges(self, spread: int) -> tuple[Ints, Ints]:
        """The inner choices of every group under a spread: from, to."""
        ranges = [
            group.range_of(tuple(self.space.spreads[spread][dim] for dim in group.dims))
            for group in self.model.groups
        ]
        return (
            np.array([first for first, _ in ranges], np.int64),
            np.array([last for _, last in ranges], np.int64),
        )

    def spread_of(self, rows: tuple[int, ...]) -> int:
        """Which spread a mapping has."""
        half = len(self.model.groups)
        tiling = self.model.tiling(list(rows[:half]), list(rows[half:]))
        return next(
            number
            for number, spread in enumerate(self.space.spreads)
            if all(spread[dim] == tiling.spread[dim] for dim in self.space.dims)
        )

    def descend(self, problem: Subproblem, tally: Ints) -> Choice | None:
        """A good mapping of a subproblem; None where its smallest tiles do not fit."""
        outer, inner, _ = self._terms_of(problem.skeleton)
        room = self.room_of(problem.skeleton)
        starts, ends = self._ranges(problem.spread)
        rows = np.zeros(len(self.model.groups), np.int64)
        score = descend(
            self.kind,
            EDP if self.kind in (LATENCY, DRAM) else self.kind,
            self.tie,
            self.packed.tables,
            self._extremes_of(self.space.skeletons[problem.skeleton]).keeps,
            self.packed.inner_counts,
            np.concatenate([outer.columns, inner.columns]),
            np.concatenate([outer.weights, inner.weights], axis=1),
            outer.constant + inner.constant,
            starts,
            ends,
            room.limits,
            room.level_of,
            room.widths,
            room.once,
            room.elements,
            room.words,
            rows,
            tally,
        )
        return self._choice(score, problem.skeleton, rows)

    def solve(
        self, problem: Subproblem, best: float, slack: float, most: float, tally: Ints
    ) -> Choice | None:
        """The best mapping of a subproblem, if it scores less than `best`; the best met when `most`
        bounds and evaluations do not finish it."""
        number = problem.skeleton
        outer, inner, low = self._terms_of(number)
        room = self.room_of(number)
        starts, ends = self._ranges(problem.spread)
        rows = np.zeros(len(self.model.groups), np.int64)
        score = solve(
            self.kind,
            self.tie,
            self.packed.tables,
            self._extremes_of(self.space.skeletons[number]).keeps,
            self.packed.inner_counts,
            np.concatenate([outer.columns, low.columns]),
            np.concatenate([outer.weights, low.weights], axis=1),
            np.concatenate([outer.columns, inner.columns]),
            np.concatenate([outer.weights, inner.weights], axis=1),
            outer.constant + inner.constant,
            starts,
            ends,
            room.limits,
            room.level_of,
            room.widths,
            room.once,
            room.elements,
            room.words,
            self.floors,
            np.array([best, slack, most]),
            self.stop,
            rows,
            tally,
        )
        return self._choice(score, number, rows)

    def _choice(self, score: float, skeleton: int, rows: Ints) -> Choice | None:
        if not np.isfinite(score):
            return None
        counts = self.packed.inner_counts
        return float(score), skeleton, (*(rows // counts).tolist(), *(rows % counts).tolist())

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
                room = room_of(self.model, hold)
                if sum(need.values()) > room:
                    worst = max(need, key=lambda name: need[name])
                    return (
                        f"{self.space.machine.name}: {self.space.stage.name}: the smallest tiles "
                        f"take "
                        f"{size_text(int(sum(need.values())))} of "
                        f"{hold.level}, which has {size_text(room)}; most of it is "
                        f"{worst}"
                    )
        return (
            f"{self.space.machine.name}: {self.space.stage.name}: no mapping of the space fits "
            f"the memories together"
        )


class _Hunt:
    """The course of one search: the best mapping so far, and what is left to do."""

    def __init__(
        self,
        search: Search,
        problems: Ranked,
        seconds: float | None,
        progress: Progress | None,
        most: int | None,
    ) -> None:
        self.search, self.problems = search, problems
        self.until = None if seconds is None else time.perf_counter() + seconds
        self.progress, self.most = progress, most
        self.best: Choice | None = None
        self.tally = np.zeros(2, np.int64)
        self.bound = np.inf
        self.ties = search.kind in (LATENCY, DRAM)

    @property
    def evaluated(self) -> int:
        return int(self.tally[0])

    def finish(self, pool: ThreadPoolExecutor) -> None:
        """Descend, then solve until the next bound is no better."""
        self._descend(pool)
        done = 0
        while done < len(self.problems) and not self.search.stop[0]:
            if self.problems.bounds[done] >= self._to_beat():
                return
            self.bound = float(self.problems.bounds[done])
            turn = self.problems.at(range(done, min(done + ROUND, len(self.problems))))
            turn = [problem for problem in turn if problem.bound < self._to_beat()]
            work = partial(
                self.search.solve,
                best=self._to_beat(),
                slack=self._slack(),
                most=np.inf if self.most is None else self.most - self.tally.sum(),
            )
            self._round(pool, turn, work)
            if self.search.stop[0]:
                return
            done += len(turn)
            self._report(done)
            self.bound = np.inf
        if done < len(self.problems):
            self.bound = float(self.problems.bounds[done])

    def _descend(self, pool: ThreadPoolExecutor) -> None:
        """A good mapping soon: descend into the most promising subproblems of every choice of what
        the memories hold; from the best few into those like them."""
        ranked, holds = self.problems, self.search.holds
        families = holds[ranked.skeletons]
        likely = families[ranked.likely]
        tried: set[int] = set()
        best: dict[int, Choice] = {}

        def descend(places: Iterable[int]) -> None:
            fresh = [place for place in dict.fromkeys(places) if place not in tried]
            tried.update(fresh)
            for first in range(0, len(fresh), DESCENTS):
                some = ranked.at(fresh[first : first + DESCENTS])
                for found in self._round(pool, some, self.search.descend):
                    family = int(holds[found[1]])
                    if family not in best or found[0] < best[family][0]:
                        best[family] = found

        starts: list[int] = []
        for family in range(holds.max() + 1):
            starts += _first(families == family, FIRST)
            starts += ranked.likely[_first(likely == family, FIRST)].tolist()
        descend(starts)
        if self.ties and self._at_the_bound():
            return
        grown: set[Choice] = set()
        while not self.search.stop[0]:
            leaders = sorted(best.values())[:LEADERS]
            growing = [choice for choice in leaders if choice not in grown]
            if not growing:
                return
            grown.update(growing)
            descend(place for choice in growing for place in self._like(choice, families))

    def _like(self, choice: Choice, families: Ints) -> Iterator[int]:
        """Subproblems that have a mapping's spread or its skeleton."""
        _, skeleton, rows = choice
        spread = self.search.spread_of(rows)
        same_spread = self.problems.spreads == spread
        yield from _first(same_spread & (families == self.search.holds[skeleton]), NEAR)
        yield from _first(self.problems.skeletons == skeleton, NEAR)
        yield from _first(same_spread, NEAR)

    def _at_the_bound(self) -> bool:
        """Is the best mapping as good as any can be in the first criterion?"""
        return (
            self.best is not None and self.best[0] * (1.0 - PROVEN / 2) <= self.problems.bounds[0]
        )

    def _slack(self) -> float:
        """By what share a mapping must be better. Once much was spent on the second criterion,
        equal in the first is as good."""
        return PROVEN / 2 if self.ties and self.tally.sum() > TIES_SOUGHT else ROUNDING

    def _to_beat(self) -> float:
        return self.best[0] * (1.0 - self._slack()) if self.best else np.inf

    def _round(
        self,
        pool: ThreadPoolExecutor,
        problems: Sequence[Subproblem],
        work: Callable[..., Choice | None],
    ) -> list[Choice]:
        """What is found in some subproblems, each on its own."""
        if not problems or self.search.stop[0]:
            return []
        tallies = [np.zeros(2, np.int64) for _ in problems]
        futures = [
            pool.submit(work, problem, tally=tally)
            for problem, tally in zip(problems, tallies, strict=True)
        ]
        running = set(futures)
        while running:
            _, running = wait(running, timeout=0.05)
            if self.until is not None and time.perf_counter() > self.until:
                self.search.stop[0] = 1
        found = [choice for future in futures if (choice := future.result()) is not None]
        for choice in found:
            if self.best is None or choice[0] < self.best[0]:
                self.best = choice
        self.tally += np.sum(tallies, axis=0)
        if self.most is not None and self.tally.sum() > self.most:
            self.search.stop[0] = 1
        return found

    def _report(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, len(self.problems))


def _first(chosen: Any, most: int) -> list[int]:
    """The first places of those chosen."""
    return [int(place) for place in np.flatnonzero(chosen)[:most]]


def pack(model: Model) -> Packed:
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
    return Packed(tables, np.array([len(group.inner) for group in groups], np.int64), rows)
