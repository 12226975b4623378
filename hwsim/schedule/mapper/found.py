"""What a search found, and how near to the best it is proven to be."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.schedule.mapper.space import SpaceSize, Tiling

Objective = Literal["latency", "energy", "edp", "dram"]
OBJECTIVES: tuple[Objective, ...] = ("latency", "energy", "edp", "dram")

PROVEN = 1e-6  # a gap up to which the best mapping met counts as the optimum


@dataclass(frozen=True)
class Found:
    """The best mapping met.

    bound: no mapping of the space costs less; equal to cost when the search was finished.

    metrics: by name, as hwsim.schedule.mapper.model counts them. evaluated: mappings whose cost was
    computed. least_energy: pJ that no mapping at all goes below. rest: what became of the others,
    in words. runners_up: nests that cost little more, of other orders or another use of the array.
    """

    stage: Stage
    nest: Nest
    tiling: Tiling
    size: SpaceSize
    objective: Objective
    metrics: dict[str, float]
    cost: float
    bound: float
    evaluated: int
    seconds: float
    least_energy: float = 0.0
    interrupted: bool = False
    rest: str = "the rest ruled out by bounds"
    runners_up: tuple[Nest, ...] = ()

    @property
    def why_not_proven(self) -> str:
        """Why there may be better mappings, in words."""
        return "stopped early" if self.rest == Found.rest else self.rest

    @property
    def gap(self) -> float:
        """How much better the optimum could be, as a share of the cost; 0 when this is it."""
        return max(0.0, 1.0 - self.bound / self.cost) if self.cost else 0.0

    @property
    def times_optimum(self) -> float:
        """The cost as a multiple of what the optimum may be, at most; 1 when this is it."""
        return max(1.0, self.cost / self.bound) if self.bound else inf

    @property
    def optimal(self) -> bool:
        return self.gap <= PROVEN
