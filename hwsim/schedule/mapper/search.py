"""The best mapping of a space, with a proof: branch and bound over tables of factors.

A subproblem is a skeleton and a spread. Its bound multiplies, for every term of the cost, the
least factors of the groups that are not chosen yet (the most, where a term is subtracted); a sum of
products of non-negative factors is never less than with every factor at its least, so no mapping
below is better than the bound. Nor is any bound below what all products and all words take at the
least (Model.floors).

The most promising subproblems are first descended into, one group's tiles after another, which
soon finds a good mapping. Then subproblems are taken in the order of their bounds; the first whose
bound is no better than the best mapping found ends the search, and proves it.
hwsim.schedule.mapper.branching says what happens inside one.

Subproblems are taken in rounds. All of a round start from the same best mapping, so the result does
not depend on how many work at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from hwsim.describe.units import size_text
from hwsim.errors import Beaten, HwsimError
from hwsim.parts.scratchpad import Scratchpad
from hwsim.schedule.mapper.branching import solve
from hwsim.schedule.mapper.descent import descend
from hwsim.schedule.mapper.found import OBJECTIVES, Found, Objective
from hwsim.schedule.mapper.groups import keeps
from hwsim.schedule.mapper.hunt import Choice, Hunt, Progress
from hwsim.schedule.mapper.kernels import (
    DRAM,
    EDP,
    ENERGY,
    IN_TIME,
    LATENCY,
    TOO_LONG,
    Candidates,
    Costs,
    Goal,
    Limit,
    Room,
    score_of,
)
from hwsim.schedule.mapper.model import Model, evaluate
from hwsim.schedule.mapper.rooms import bytes_of, room_in
from hwsim.schedule.mapper.roots import Roots, Subproblem, costs_of, pack
from hwsim.schedule.mapper.space import Skeleton, Tiling
from hwsim.schedule.mapper.tables import Floats, Ints
from hwsim.schedule.mapper.whole_sums import without

TIE = 1e-9  # how much the second criterion counts against the first


class Search:
    """One search. Construct with a model; `run` finds the best mapping."""

    def __init__(self, model: Model, objective: Objective) -> None:
        self.model, self.space, self.objective = model, model.space, objective
        self.goal = _goal(OBJECTIVES.index(objective), model.charges.floors())
        self.stop = np.zeros(1, np.int64)
        self._costs: dict[tuple[int, bool], Costs] = {}
        self._rooms: dict[Any, Room] = {}
        self._room_of_skeleton: dict[int, Room] = {}
        self._ranges = [self._ranges_of(spread) for spread in range(len(self.space.spreads))]
        # factors are tabled when a term asks for them: here, for the bounds of all skeletons
        parts = [model.bound_parts(skeleton) for skeleton in self.space.skeletons]
        self._packed = pack(model)
        self._roots = Roots(model, parts, self._packed, self.goal)
        self._ranked = self._roots.ranked()
        families: dict[Any, int] = {}
        self.families = np.array(
            [
                families.setdefault(
                    tuple((hold.level, hold.tensors) for hold in skeleton.holds), len(families)
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
        beat: float = np.inf,
    ) -> Found:
        """The best mapping.

        seconds, most: stop after so long or so many bounds and evaluations, with what was found.
        beat: what a mapping must cost less than, to be looked for.

        progress(subproblems done, all of them) is called as the search goes on; most of them are
        never looked into. Without `seconds` the result is the same every time. Raises HwsimError
        when no mapping fits, Beaten when none costs less than `beat`.
        """
        started = time.perf_counter()
        hunt = Hunt(self, self._ranked, seconds, progress, most, workers, beat)
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
            if beat < np.inf and len(self._ranked):
                raise Beaten(f"no mapping of {self.space.stage.name} is found to cost less")
            raise HwsimError(
                "no mapping found in the time given; expected more seconds"
                if self.stop[0]
                else self._nothing_fits()
            )
        score, number, rows = hunt.best
        skeleton, tiling = self.space.skeletons[number], self.tiling(rows)
        return Found(
            self.space.stage,
            self.space.nest(skeleton, tiling),
            tiling,
            self.space.size,
            self.objective,
            self._metrics(skeleton, tiling),
            score,
            min(score, hunt.bound),
            hunt.evaluated,
            time.perf_counter() - started,
            float(self.goal.floors[0]),
            interrupted,
            runners_up=tuple(
                self.space.nest(self.space.skeletons[number], self.tiling(rows))
                for _, number, rows in hunt.runners_up()
            ),
        )

    def tiling(self, rows: tuple[int, ...]) -> Tiling:
        """The tiles of a mapping's rows, one a group."""
        outer, inner = np.divmod(np.array(rows), self._packed.inner_counts)
        return self.model.tiling(outer.tolist(), inner.tolist())

    def descend(self, problem: Subproblem, tally: Ints) -> Choice | None:
        """A good mapping of a subproblem; None where its smallest tiles do not fit."""
        rows = np.zeros(len(self.model.groups), np.int64)
        by_energy_and_time = self.goal._replace(kind=EDP)
        score = descend(
            self.goal,
            by_energy_and_time if self.goal.kind in (LATENCY, DRAM) else self.goal,
            self._candidates(problem),
            self._costs_of(problem.skeleton, False),
            self._room_of(problem.skeleton),
            rows,
            tally,
        )
        return _choice(score, problem.skeleton, rows)

    def cheaper(self, problem: Subproblem, cycles: float, tally: Ints) -> Choice | None:
        """A mapping of a subproblem of no more cycles and little energy; None if none was met."""
        rows = np.zeros(len(self.model.groups), np.int64)
        in_time = self.goal._replace(kind=IN_TIME, most_cycles=cycles)
        energy = descend(
            in_time,
            in_time._replace(kind=EDP),
            self._candidates(problem),
            self._costs_of(problem.skeleton, False),
            self._room_of(problem.skeleton),
            rows,
            tally,
        )
        if energy >= TOO_LONG:
            return None
        choice = (0.0, problem.skeleton, tuple(rows.tolist()))
        return (self._score(choice), *choice[1:])

    def cycles(self, choice: Choice) -> float:
        """What a mapping takes by its busiest resource."""
        return float(self._values(choice)[2:].max())

    def _score(self, choice: Choice) -> float:
        return float(score_of(self.goal, self._values(choice)))

    def _values(self, choice: Choice) -> Floats:
        _, number, rows = choice
        return evaluate(self.model, self.space.skeletons[number], self.tiling(rows))

    def solve(self, problem: Subproblem, limit: Limit, tally: Ints) -> Choice | None:
        """The best mapping of a subproblem that beats the limit.

        It is the best met when the limit's work does not finish the subproblem.
        """
        rows = np.zeros(len(self.model.groups), np.int64)
        score = solve(
            self.goal,
            self._candidates(problem),
            self._costs_of(problem.skeleton, True),
            self._costs_of(problem.skeleton, False),
            self._room_of(problem.skeleton),
            limit,
            self.stop,
            rows,
            tally,
        )
        return _choice(score, problem.skeleton, rows)

    # -- what the kernels take ---------------------------------------------------------------------

    def prepare(self, problems: Iterable[Subproblem]) -> None:
        """Table the factors of what some subproblems cost."""
        before = self.model.columns.tabled
        for problem in problems:
            self._costs_of(problem.skeleton, True)
            self._costs_of(problem.skeleton, False)
        if self.model.columns.tabled > before:
            self._packed = pack(self.model)

    def _candidates(self, problem: Subproblem) -> Candidates:
        first, last = self._ranges[problem.spread]
        return Candidates(
            self._packed.tables,
            self._roots.extremes_of(self.space.skeletons[problem.skeleton]).keeps,
            self._packed.inner_counts,
            first,
            last,
        )

    def _ranges_of(self, number: int) -> tuple[Ints, Ints]:
        """Of every group, the first row that a spread leaves and the one behind the last."""
        spread = self.space.spreads[number]
        ranges = [
            group.range_of(tuple(spread[dim] for dim in group.dims)) for group in self.model.groups
        ]
        first, last = np.array(ranges, np.int64).reshape(-1, 2).T
        return np.ascontiguousarray(first), np.ascontiguousarray(last)

    def _costs_of(self, number: int, least: bool) -> Costs:
        """All that a skeleton costs; least: terms for bounds, which are at most that."""
        if (number, least) not in self._costs:
            skeleton, model = self.space.skeletons[number], self.model
            inner = model.inner_bounds(skeleton) if least else model.inner_terms(skeleton)
            self._costs[number, least] = costs_of(model.outer_terms(skeleton), inner)
        return self._costs[number, least]

    def _room_of(self, number: int) -> Room:
        """What a skeleton's levels hold."""
        if number not in self._room_of_skeleton:
            self._room_of_skeleton[number] = self._room_like(number)
        return self._room_of_skeleton[number]

    def _room_like(self, number: int) -> Room:
        """The room of a skeleton, shared with those that hold the same."""
        skeleton = self.space.skeletons[number]
        holds = tuple(
            hold for hold in skeleton.memories(self.space.machine) if skeleton.slots_above(hold)
        )
        key = (
            tuple((hold.level, hold.tensors, skeleton.slots_above(hold)) for hold in holds),
            skeleton.still,
        )
        if key not in self._rooms:
            self._rooms[key] = room_in(self.model, skeleton, holds)
        return self._rooms[key]

    # -- what is said ------------------------------------------------------------------------------

    def _metrics(self, skeleton: Skeleton, tiling: Tiling) -> dict[str, float]:
        values = self._least_values(skeleton, tiling)
        return dict(zip(self.model.metrics, values.tolist(), strict=True))

    def _least_values(self, skeleton: Skeleton, tiling: Tiling) -> Floats:
        """What a mapping costs by the skeleton that says most of it.

        One that keeps loops still which do not run anyway knows that its sums are whole.
        """
        rows = self.model.row(tiling)
        values = evaluate(self.model, skeleton, tiling)
        for other in (each for each in self.space.skeletons if each.still):
            alike = without(other, other.still) == without(skeleton, other.still)
            if alike and self._belongs(other, rows):
                values = np.minimum(values, evaluate(self.model, other, tiling))
        return values

    def _belongs(self, skeleton: Skeleton, rows: list[tuple[int, int]]) -> bool:
        """Does a tiling, by its rows, keep to a skeleton's loops that run and that do not?"""
        return all(
            keeps(group, self.space, skeleton.running, skeleton.still)[x * len(group.inner) + y]
            for group, (x, y) in zip(self.model.groups, rows, strict=True)
        )

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
                room = bytes_of(self.model, hold)
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


def _goal(kind: int, floors: Floats) -> Goal:
    """The tie-break's weight is a share TIE of the first criterion at the least of both."""
    cycles = float(floors[2:].max())
    energy, moved = float(floors[0]), float(floors[1])
    tie = {
        LATENCY: TIE * cycles / max(energy, 1e-9),
        ENERGY: TIE * energy / cycles,
        EDP: 0.0,
        DRAM: TIE * moved / cycles,
    }[kind]
    return Goal(kind, tie, floors)


def _choice(score: float, skeleton: int, rows: Ints) -> Choice | None:
    return (float(score), skeleton, tuple(rows.tolist())) if np.isfinite(score) else None
