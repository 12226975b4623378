"""Engines: who works on the blocks of a sweep. One file each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from hwsim.registry import Registry
from hwsim.sweeps.bound import bounded
from hwsim.sweeps.rows import Row
from hwsim.sweeps.simulated import simulated
from hwsim.sweeps.spec import Sweep

Block = list[int]  # numbers of points
Done = tuple[Block, list[Row]]


@dataclass(frozen=True)
class Crew:
    """workers: processes, as many as cores where it is None. scheduler: address of a cluster."""

    workers: int | None = None
    scheduler: str | None = None


class Engine(Protocol):
    """Who works on a sweep's blocks.

    run: every block with its rows, in any order; at most a few blocks are taken ahead. What it
    started ends with it, also when it is interrupted.
    """

    summary: str

    def run(self, sweep: Sweep, blocks: Iterable[Block], crew: Crew) -> Iterator[Done]: ...


ENGINES: Registry[Engine] = Registry("engine", "hwsim.sweeps.engines")


def rows_of(sweep: Sweep, block: Block) -> list[Row]:
    """What a worker does with a block."""
    return bounded(sweep, block) if sweep.model == "bound" else simulated(sweep, block)
