"""Samplers: which points of a sweep are run. One file each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from hwsim.registry import Registry
from hwsim.sweeps.rows import Row
from hwsim.sweeps.spec import Sweep

Blocks = Iterator[list[int]]


class Sampler(Protocol):
    """Which points of a sweep are run.

    needs_trials: does it take a number of points? blocks: points to run, in lists of at most
    `size`; a sampler that learns is told every row by calling `told`'s result before it goes on.

    told: what is known of a point, None where it was not run.
    """

    summary: str
    needs_trials: bool

    def blocks(
        self, sweep: Sweep, trials: int, size: int, told: Callable[[int], Row | None]
    ) -> Blocks: ...


SAMPLERS: Registry[Sampler] = Registry("sampler", "hwsim.sweeps.samplers")
