"""Bounds of all subproblems at once.

A subproblem is a skeleton and a spread. The cost is a sum over tensors, and what one tensor adds
depends on the loops and on the levels that hold it alone. So the least of every tensor's part is
found once for each way to hold it, and a skeleton's bound is their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.schedule.mapper.extremes import Extremes, extremes_of, flags_of
from hwsim.schedule.mapper.groups import keeps
from hwsim.schedule.mapper.kernels import (
    EDP,
    Candidates,
    Costs,
    Goal,
    least_outer,
    scores,
    spread_bounds,
)
from hwsim.schedule.mapper.model import BoundParts, Model
from hwsim.schedule.mapper.rooms import first_holds, room_in
from hwsim.schedule.mapper.space import OUTER, Skeleton
from hwsim.schedule.mapper.tables import Floats, Ints, Terms

AT_A_TIME = 256  # skeletons


@dataclass(frozen=True)
class Packed:
    """The groups' tables side by side, padded to one shape.

    inner_counts [groups]: inner choices. spread_rows [spreads, groups]: which of a group's spreads.
    """

    tables: Floats
    inner_counts: Ints
    spread_rows: Ints


def pack(model: Model) -> Packed:
    """All groups' tables in one array, and which of a group's spreads a spread of the space is."""
    groups = model.groups
    widest = max(model.columns.table(number).shape[1] for number in range(len(groups)))
    tables = np.ones((len(groups), max(len(group.chains) for group in groups), widest, 2))
    for number in range(len(groups)):
        table = model.columns.table(number)
        tables[number, : table.shape[0], : table.shape[1]] = table
    rows = np.array(
        [
            [group.spreads.index(tuple(spread[dim] for dim in group.dims)) for group in groups]
            for spread in model.space.spreads
        ],
        np.int64,
    )
    return Packed(tables, np.array([len(group.inner) for group in groups], np.int64), rows)


@dataclass(frozen=True)
class Subproblem:
    """bound: no mapping of the skeleton under the spread scores less. skeleton, spread: numbers."""

    bound: float
    skeleton: int
    spread: int


class Ranked:
    """Subproblems, the most promising first; made one by one, since there are many.

    bounds: of every place. skeletons, spreads: numbers, by place. likely: places in the order of
    least energy times least cycles."""

    def __init__(self, bounds: Floats) -> None:
        """bounds [3, skeletons, spreads] as `Roots` gives them."""
        flat = bounds.reshape(3, -1)
        order = np.lexsort((flat[1], flat[0]))
        order = order[np.isfinite(flat[0][order])]
        self.bounds = flat[0][order]
        self.likely = np.argsort(flat[2][order], kind="stable")
        self.skeletons, self.spreads = np.divmod(order, bounds.shape[2])

    def __len__(self) -> int:
        return len(self.bounds)

    def at(self, places: Iterable[int]) -> list[Subproblem]:
        """Those of some places."""
        return [
            Subproblem(
                float(self.bounds[place]), int(self.skeletons[place]), int(self.spreads[place])
            )
            for place in places
        ]


class Roots:
    """Bounds of the subproblems."""

    def __init__(
        self, model: Model, of_skeletons: Sequence[BoundParts], packed: Packed, goal: Goal
    ) -> None:
        self.model, self.packed, self.goal = model, packed, goal
        self._of_skeletons = of_skeletons
        self._raw = goal._replace(floors=np.zeros_like(goal.floors))
        self._guide = self._raw._replace(kind=EDP)
        self._parts: dict[int, Floats] = {}
        self._outer: dict[Any, Floats | None] = {}
        self._extremes: dict[Any, Extremes] = {}

    def ranked(self) -> Ranked:
        """All subproblems that can hold a mapping."""
        skeletons = self.model.space.skeletons
        shape = (3, len(skeletons), len(self.packed.spread_rows))
        bounds = np.full(shape, np.inf)
        for first in range(0, len(skeletons), AT_A_TIME):
            self._bound(range(first, min(first + AT_A_TIME, len(skeletons))), bounds)
        return Ranked(bounds)

    def extremes_of(self, skeleton: Skeleton) -> Extremes:
        """Of a skeleton's factors, which others with the same running loops share."""
        key = (skeleton.running, skeleton.still)
        if key not in self._extremes:
            self._extremes[key] = extremes_of(self.model, skeleton)
        return self._extremes[key]

    def _bound(self, numbers: Iterable[int], bounds: Floats) -> None:
        """bounds[:, number] of some skeletons, for every spread.

        They are the bound, the bound without the floors, and a guide for good starts. The second
        tells apart subproblems that are equally bound. The guide is the least energy times the
        least cycles, and serves any objective. Infinite where there can be no mapping.
        """
        possible: list[int] = []
        outside: list[Floats] = []
        inside: list[list[Floats]] = []
        for number in numbers:
            skeleton, parts = self.model.space.skeletons[number], self._of_skeletons[number]
            outer = self._outer_of(skeleton, parts)
            if outer is not None:
                possible.append(number)
                outside.append(outer)
                inside.append(self._inside(skeleton, parts))
        if not possible:
            return
        metrics = np.repeat(np.stack(outside)[:, None], bounds.shape[2], axis=1)
        for column in zip(*inside, strict=True):
            metrics += np.stack(column)
        found = np.empty((3, len(possible) * bounds.shape[2]))
        for row, goal in zip(found, (self.goal, self._raw, self._guide), strict=True):
            scores(goal, metrics.reshape(-1, metrics.shape[2]), row)
        bounds[:, possible] = found.reshape(3, len(possible), -1)

    def _inside(self, skeleton: Skeleton, parts: BoundParts) -> list[Floats]:
        """[spreads, metrics] of every part of a skeleton's cost but what the outer tiles decide."""
        found = [self._least(terms, skeleton) for terms in parts.others]
        of_tensors = zip(self.model.stage.tensors, parts.inner, parts.outer, strict=True)
        for tensor, terms, outer in of_tensors:
            least = self._least(terms, skeleton)
            floored = len(outer.columns) == 0
            found.append(
                np.maximum(least, self.model.charges.floor_of(tensor)) if floored else least
            )
        return found

    def _least(self, terms: Terms, skeleton: Skeleton) -> Floats:
        """[spreads, metrics]: the least of one part of the cost."""
        key = id(terms)
        if key not in self._parts:
            extremes = self.extremes_of(skeleton)
            found = np.empty((len(self.packed.spread_rows), len(self.goal.floors)))
            spread_bounds(
                costs_of(terms),
                extremes.spread,
                extremes.spread_open,
                self.packed.spread_rows,
                found,
            )
            self._parts[key] = found
        return self._parts[key]

    def _outer_of(self, skeleton: Skeleton, parts: BoundParts) -> Floats | None:
        """[metrics]: the least that the outer tiles alone decide, or None.

        It is over those that fit the first memory; None where none does. Skeletons with the same
        first levels share it.
        """
        holds = first_holds(skeleton)
        still = frozenset((dim, tile) for dim, tile in skeleton.still if tile == OUTER)
        key = (
            tuple(map(id, parts.outer)),
            tuple((hold.level, hold.tensors) for hold in holds),
            skeleton.running[0],
            still,
        )
        if key not in self._outer:
            groups, space = self.model.groups, self.model.space
            running = (skeleton.running[0], "", "")
            alone = [keeps(each, space, running, still)[:: len(each.inner)] for each in groups]
            room = room_in(self.model, skeleton, holds)
            ones = np.ones(len(groups), np.int64)
            candidates = Candidates(
                self._of_outer_rows(self.packed.tables), flags_of(alone), ones, 0 * ones, ones
            )
            least = np.empty(len(self.goal.floors))
            room = room._replace(words=self._of_outer_rows(room.words))
            fits = least_outer(candidates, costs_of(*parts.outer), room, least)
            self._outer[key] = least if fits else None
        return self._outer[key]

    def _of_outer_rows(self, rows: Floats) -> Floats:
        """One row for each outer choice, of [groups, rows, ...].

        What the outer tiles decide is the same for all inner ones.
        """
        groups = self.model.groups
        most = max(len(group.outer) for group in groups)
        found = np.ones((len(groups), most, *rows.shape[2:]))
        for number, group in enumerate(groups):
            own = rows[number, : len(group.chains) : len(group.inner)]
            found[number, : len(own)] = own
        return found


def costs_of(*terms: Terms) -> Costs:
    """Terms of a cost together, as the kernels take them.

    Terms of the same factors are one: what one adds and another subtracts is gone.
    """
    columns = np.concatenate([each.columns for each in terms])
    places: dict[bytes, int] = {}
    place = np.array([places.setdefault(row.tobytes(), len(places)) for row in columns], np.int64)
    first = np.unique(place, return_index=True)[1]
    weights = np.zeros((len(places), len(terms[0].constant)))
    np.add.at(weights, place, np.concatenate([each.weights for each in terms], axis=1).T)
    return Costs(
        np.ascontiguousarray(columns[first]),
        weights,
        np.maximum(weights, 0.0),
        np.minimum(weights, 0.0),
        np.sum([each.constant for each in terms], axis=0),
    )
