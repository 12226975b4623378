"""How fast an array goes if no tile is missing, step by step.

The timing of each kind of array finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hwsim.describe.machine import Machine
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Nest
from hwsim.timing.explicit.tiles import Steps, Tiles

Floats = npt.NDArray[np.float64]
Waits = dict[str, Floats]


@dataclass(frozen=True)
class Passing:
    """A nest on an array, step by step.

    boundary: the item of the nest at which the array begins. tiles: of every level outside it.
    counts: of the whole nest.
    """

    nest: Nest
    machine: Machine
    dtype: str
    boundary: int
    steps: Steps
    tiles: tuple[Tiles, ...]
    counts: NestCounts


@dataclass(frozen=True)
class Pace:
    """How fast the cells go if no tile is missing, step by step.

    These are cycles of work, and of waiting by cause.

    after (gaps): after each step, until the next may begin. shifting: in which a step's stationary
    tile shifts in. results: until those of a step have left. ends: the first tile's shifting in and
    the last results' way out.
    """

    kind: str
    busy: Floats
    waits: Waits = field(default_factory=dict)
    after: Floats | None = None
    shifting: Floats | None = None
    results: float = 0.0
    ends: float = 0.0

    @property
    def gaps(self) -> Floats:
        return np.zeros(len(self.busy)) if self.after is None else self.after

    @property
    def ready(self) -> Floats:
        """Work and waiting together."""
        return self.busy + sum(self.waits.values(), np.zeros(len(self.busy)))


PaceOf = Callable[[Passing], Pace]
