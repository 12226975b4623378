"""Timings: how long a nest takes on a kind of compute part, and what it moves.

A compute part names its timing:

    nest, machine ->  TIMINGS[machine.compute.timing].run(...)  ->  Run: cycles, accesses, footprint

A timing is one file, or a folder whose __init__ registers it; what it needs is imported when it
runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hwsim.describe.machine import Machine
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Nest
from hwsim.registry import Registry
from hwsim.results.result import Accesses, CacheLines, Cycles, Sampling
from hwsim.results.timeline import Timeline

if TYPE_CHECKING:
    from hwsim.timing.caches.chain import ImplicitChain
    from hwsim.timing.gpu.l2 import L2Buffers

Footprint = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Run:
    """What one stage did.

    nest: as it ran. accesses, footprint: by part and tensor. fidelity: how it was simulated, in
    words. counts: of every level that the nest places, None where caches decide. sampling: None
    when nothing was left out. lines: of caches that were simulated line by line.
    """

    nest: Nest
    cycles: Cycles
    accesses: Accesses
    footprint: Footprint
    fidelity: str
    counts: NestCounts | None = None
    sampling: Sampling | None = None
    timeline: Timeline | None = None
    lines: CacheLines = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """What a stage finds of the stages before it.

    caches: warm, None on a machine without. last: the layer ends with it. patient: the user waits
    for caches, however long they take.
    """

    caches: ImplicitChain | L2Buffers | None = None
    last: bool = True
    patient: bool = False

    @property
    def warm(self) -> ImplicitChain:
        """The caches, walked line by line. Raises AssertionError where there are none."""
        from hwsim.timing.caches.chain import ImplicitChain

        assert isinstance(self.caches, ImplicitChain)
        return self.caches


class Timing(Protocol):
    """Times nests.

    refuses: why it cannot run one, or None. run: raises HwsimError where the nest does not fit.
    """

    def refuses(self, nest: Nest, machine: Machine) -> str | None: ...

    def run(self, nest: Nest, machine: Machine, dtype: str, around: Surroundings) -> Run: ...


TIMINGS: Registry[Timing] = Registry("timing", "hwsim.timing")
