"""The course of a search: where it descends first, which subproblems it takes, and when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Protocol

import numpy as np

from hwsim.schedule.mapper.found import PROVEN
from hwsim.schedule.mapper.kernels import DRAM, LATENCY, Goal, Limit
from hwsim.schedule.mapper.roots import Ranked, Subproblem
from hwsim.schedule.mapper.space import Space, Tiling
from hwsim.schedule.mapper.tables import Ints

ROUNDING = 1e-9  # a mapping that is better by less may be the same one, summed in another order
TIES_SOUGHT = 300_000  # evaluations spent on the second criterion before equal firsts are enough
ROUND = 16  # subproblems that start from the same best mapping
FIRST = 4  # subproblems of every choice of holds that are descended into before the search
DESCENTS = 32  # at a time
LEADERS = 4  # choices of holds whose best mapping leads to others like it
CHEAPER = 256  # subproblems in which less energy is sought at the end
NEAR = 40  # subproblems like a leader in some respect that are descended into

Progress = Callable[[int, int], None]
Choice = tuple[float, int, tuple[int, ...]]  # score, skeleton, row of every group


LITTLE_MORE = 1.05  # times the best score: what waiting may well make up for
RUNNERS_UP = 8  # mappings that are simulated beside the best


class Searched(Protocol):
    """What a hunt asks of a search.

    stop [1]: not 0 to stop. families [skeletons]: equal where the memories hold the same tensors.
    """

    goal: Goal
    space: Space
    stop: Ints
    families: Ints

    def tiling(self, rows: tuple[int, ...]) -> Tiling: ...

    def prepare(self, problems: Iterable[Subproblem]) -> None: ...

    def descend(self, problem: Subproblem, tally: Ints) -> Choice | None: ...

    def cheaper(self, problem: Subproblem, cycles: float, tally: Ints) -> Choice | None: ...

    def cycles(self, choice: Choice) -> float: ...

    def solve(self, problem: Subproblem, limit: Limit, tally: Ints) -> Choice | None: ...


class Hunt:
    """The course of one search: the best mapping so far, and what is left to do.

    met: by skeleton, the best mapping met of it. workers: threads that share a round. beat: what
    costs as much is not looked for.
    """

    def __init__(
        self,
        search: Searched,
        problems: Ranked,
        seconds: float | None,
        progress: Progress | None,
        most: int | None,
        workers: int,
        beat: float = np.inf,
    ) -> None:
        self.search, self.problems, self.beat = search, problems, beat
        self.workers = workers
        self.until = None if seconds is None else time.perf_counter() + seconds
        self.progress, self.most = progress, most
        self.best: Choice | None = None
        self.met: dict[int, Choice] = {}
        self.tally = np.zeros(2, np.int64)
        self.bound = float(problems.bounds[0]) if len(problems) else np.inf
        self.ties = search.goal.kind in (LATENCY, DRAM)

    @property
    def evaluated(self) -> int:
        return int(self.tally[0])

    def runners_up(self) -> list[Choice]:
        """The best of other skeletons that cost little more than the best of all.

        Of those that cost the same there is one.
        """
        assert self.best is not None
        score, number, _ = self.best
        near = sorted(choice for choice in self.met.values() if choice[0] <= score * LITTLE_MORE)
        chosen: list[Choice] = []
        for choice in near:
            before = chosen[-1][0] if chosen else score
            if choice[1] != number and choice[0] > before * (1.0 + ROUNDING):
                chosen.append(choice)
        return chosen[:RUNNERS_UP]

    def finish(self, pool: ThreadPoolExecutor) -> None:
        """Descend, then solve until the next bound is no better, then look for less energy.

        Less energy is looked for among the quickest. `bound` is that of the first subproblem that
        is left.
        """
        self._solve(pool)
        if self.search.goal.kind == LATENCY and self.best is not None:
            self._cheaper(pool, self.search.cycles(self.best) * (1.0 + ROUNDING))

    def _cheaper(self, pool: ThreadPoolExecutor, cycles: float) -> None:
        """Descend by energy, no slower than the best.

        It goes into the subproblems that promise the least energy and may be as quick.
        """
        ranked = self.problems
        assert self.best is not None
        quick = ranked.bounds[ranked.likely] <= self.best[0]
        places = ranked.likely[np.flatnonzero(quick)[:CHEAPER]]
        for first in range(0, len(places), DESCENTS):
            some = ranked.at(places[first : first + DESCENTS].tolist())
            self._round(pool, some, partial(self.search.cheaper, cycles=cycles))

    def _solve(self, pool: ThreadPoolExecutor) -> None:
        self._descend(pool)
        done = 0
        while not self.search.stop[0]:
            if done == len(self.problems) or self.problems.bounds[done] >= self._to_beat():
                self.bound = np.inf
                return
            self.bound = float(self.problems.bounds[done])
            turn = self.problems.at(range(done, min(done + ROUND, len(self.problems))))
            turn = [problem for problem in turn if problem.bound < self._to_beat()]
            left = np.inf if self.most is None else float(self.most - self.tally.sum())
            limit = Limit(self._to_beat(), self._slack(), left)
            self._round(pool, turn, partial(self.search.solve, limit=limit))
            done += len(turn)
            if self.progress is not None:
                self.progress(done, len(self.problems))

    def _descend(self, pool: ThreadPoolExecutor) -> None:
        """A good mapping soon.

        Descend into the most promising subproblems of every choice of what the memories hold; from
        the best few into those like them.
        """
        ranked, holds = self.problems, self.search.families
        families = holds[ranked.skeletons]
        likely = families[ranked.likely]
        tried: set[int] = set()
        best: dict[int, Choice] = {}

        def descend(places: Iterable[int]) -> None:
            fresh = [place for place in dict.fromkeys(places) if place not in tried]
            tried.update(fresh)
            for first in range(0, len(fresh), DESCENTS):
                some = ranked.at(fresh[first : first + DESCENTS])
                some = [problem for problem in some if problem.bound < self._to_beat()]
                for found in self._round(pool, some, self.search.descend):
                    family = int(holds[found[1]])
                    if family not in best or found[0] < best[family][0]:
                        best[family] = found

        starts: list[int] = []
        for family in range(holds.max() + 1):
            starts += _first(families == family, FIRST)
            starts += ranked.likely[_first(likely == family, FIRST)].tolist()
        descend(sorted(starts))
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
        same_spread = self.problems.spreads == self._spread_of(rows)
        yield from _first(same_spread & (families == self.search.families[skeleton]), NEAR)
        yield from _first(self.problems.skeletons == skeleton, NEAR)
        yield from _first(same_spread, NEAR)

    def _spread_of(self, rows: tuple[int, ...]) -> int:
        """Which spread a mapping has."""
        space, tiling = self.search.space, self.search.tiling(rows)
        return next(
            number
            for number, spread in enumerate(space.spreads)
            if all(spread[dim] == tiling.spread[dim] for dim in space.dims)
        )

    def _at_the_bound(self) -> bool:
        """Is the best mapping as good as any can be in the first criterion?"""
        return (
            self.best is not None and self.best[0] * (1.0 - PROVEN / 2) <= self.problems.bounds[0]
        )

    def _slack(self) -> float:
        """By what share a mapping must be better.

        Once much was spent on the second criterion, equal in the first is as good.
        """
        return PROVEN / 2 if self.ties and self.tally.sum() > TIES_SOUGHT else ROUNDING

    def _to_beat(self) -> float:
        own = self.best[0] * (1.0 - self._slack()) if self.best else np.inf
        return min(own, self.beat)

    def _round(
        self,
        pool: ThreadPoolExecutor,
        problems: Sequence[Subproblem],
        work: Callable[..., Choice | None],
    ) -> list[Choice]:
        """What is found in some subproblems, each on its own."""
        if not problems or self.search.stop[0]:
            return []
        self.search.prepare(problems)
        tallies = [np.zeros(2, np.int64) for _ in problems]
        hands = min(len(problems), self.workers)
        futures = [
            pool.submit(_in_turn, work, problems[hand::hands], tallies[hand::hands])
            for hand in range(hands)
        ]
        running = set(futures)
        while running:
            _, running = wait(running, timeout=0.05)
            if self.until is not None and time.perf_counter() > self.until:
                self.search.stop[0] = 1
        of_hands = [future.result() for future in futures]
        in_order = (of_hands[number % hands][number // hands] for number in range(len(problems)))
        found = [choice for choice in in_order if choice is not None]
        for choice in found:
            number = choice[1]
            self.met[number] = min(choice, self.met.get(number, choice))
            if choice[0] < self.beat and (self.best is None or choice[0] < self.best[0]):
                self.best = choice
        self.tally += np.sum(tallies, axis=0)
        if self.most is not None and self.tally.sum() > self.most:
            self.search.stop[0] = 1
        return found


def _in_turn(
    work: Callable[..., Choice | None], problems: Sequence[Subproblem], tallies: Sequence[Ints]
) -> list[Choice | None]:
    """One thread's share of a round: handing over each alone would take as long as the work."""
    return [work(problem, tally=tally) for problem, tally in zip(problems, tallies, strict=True)]


def _first(chosen: Any, most: int) -> list[int]:
    """The first places of those chosen."""
    return [int(place) for place in np.flatnonzero(chosen)[:most]]
