"""Bounds of all subproblems at once.

A subproblem is a skeleton and a spread. The cost is a sum over tensors, and what one tensor adds
depends on the loops and on the levels that hold it alone. So the least of every tensor's part is
found once for each way to hold it, and a skeleton's bound is their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.schedule.mapper.extremes import Extremes
from hwsim.schedule.mapper.kernels import EDP, scores, spread_bounds
from hwsim.schedule.mapper.model import Model, Terms
from hwsim.schedule.mapper.outer import OuterChoices
from hwsim.schedule.mapper.space import Skeleton
from hwsim.schedule.mapper.tables import Floats, Ints


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
        """bounds [3, skeletons, spreads] as `Roots.of` gives them."""
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
    """Bounds of the subproblems; floors [metrics]: what no mapping at all goes below."""

    def __init__(self, model: Model, spreads: Ints, floors: Floats, kind: int, tie: float) -> None:
        self.model, self.spreads, self.floors = model, spreads, floors
        self.kind, self.tie = kind, tie
        self._parts: dict[Any, Floats] = {}

    def of(self, skeleton: Skeleton, extremes: Extremes, outer: OuterChoices) -> Floats:
        """[3, spreads]: the bound; what it would be without the floors, which tells apart
        subproblems that are equally bound; and the least energy times the least cycles, which finds
        good starts for any objective. Infinite where there can be no mapping."""
        found = np.full((3, len(self.spreads)), np.inf)
        if not len(outer.choices):
            return found
        metrics = outer.least
        for key, terms in self.parts_of(skeleton):
            metrics = metrics + self.least(key, terms, extremes)
        scores(self.kind, self.tie, metrics, self.floors, found[0])
        scores(self.kind, self.tie, metrics, np.zeros_like(self.floors), found[1])
        scores(EDP, 0.0, metrics, np.zeros_like(self.floors), found[2])
        return found

    def parts_of(self, skeleton: Skeleton) -> Iterator[tuple[Any, Terms]]:
        """The parts that the cost is a sum of, beside the outer tiles': (key, bounding terms)."""
        yield ("time", skeleton.loops), self.model.time_terms(skeleton)
        for tensor in self.model.stage.tensors:
            yield (
                skeleton.seen_by(tensor.name),
                self.model.tensor_terms(skeleton, tensor, False, True),
            )

    def least(self, key: Any, terms: Terms, extremes: Extremes) -> Floats:
        """[spreads, metrics]: the least of a part."""
        if key not in self._parts:
            found = np.empty((len(self.spreads), len(self.floors)))
            spread_bounds(
                terms.columns,
                terms.weights,
                terms.constant,
                extremes.spread,
                extremes.spread_open,
                self.spreads,
                found,
            )
            self._parts[key] = found
        return self._parts[key]
