"""Objectives: what `auto` goes by. One file each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwsim.registry import Registry
from hwsim.results.result import LayerResult


@dataclass(frozen=True)
class Objective:
    """What is to be least.

    measure: of one layer's result. what: in words. rank: the order in which they are told.
    has_start: are a run's seconds before its first layer added to it?
    """

    measure: Callable[[LayerResult], float]
    what: str
    rank: int = 9
    has_start: bool = False


OBJECTIVES: Registry[Objective] = Registry("objective", "hwsim.choose.objectives")


def by_rank(first: str) -> list[str]:
    """All objectives, the one that was asked for first."""
    return sorted(OBJECTIVES, key=lambda name: (name != first, OBJECTIVES[name].rank))
