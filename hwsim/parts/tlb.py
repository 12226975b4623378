"""A translation look-aside buffer: where pages lie, of the pages that were asked for last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hwsim.describe.machine import PARTS, Machine, Part
from hwsim.describe.prefetchers import PAGE
from hwsim.describe.reading import count, quantity
from hwsim.describe.units import Duration


@PARTS.register("tlb")
@dataclass(frozen=True)
class Tlb(Part):
    """entries of one page each, in sets of `ways`; the one asked for least recently leaves a set.

    Every core has its own. Cores ask the TLB that a link leads to, that one the next: `cores ->
    dtlb`, `dtlb -> stlb`. page: bytes of a page, the same in all. miss: how long the next TLB takes
    to answer, or, of the last, a walk through the tables in memory. at_once: misses that are
    answered at a time, 0 where the core never waits for them.
    """

    kind: ClassVar[str] = "tlb"
    entries: int = count()
    ways: int = count()
    miss: Duration = quantity("duration")
    at_once: int = count(default=1, least=0)
    page: int = quantity("bytes", default=PAGE)

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.page & (self.page - 1) or self.page < PAGE:
            yield "page", f"a page of {self.page} bytes; expected a power of two from {PAGE} on"
        if self.entries % self.ways:
            yield (
                "ways",
                f"{self.ways} ways do not divide {self.entries} entries; expected a divisor",
            )

    def faults_in(self, machine: Machine, name: str) -> Iterator[tuple[str, str]]:
        asked = tlbs_of(machine)
        path = f"parts.{name}"
        if machine.compute.timing != "core":
            kind = machine.compute.kind
            yield path, f"a tlb beside {kind} cores is not simulated; expected a part of type core"
        elif name not in dict(asked):
            after = asked[-1][0] if asked else machine.compute_name
            yield path, f"a tlb that nothing asks; expected a link '{after} -> {name}'"
        elif self.page != asked[0][1].page:
            first, size = asked[0][0], asked[0][1].page
            yield f"{path}.page", f"{self.page} bytes, but {size} of {first}; expected the same"

    @property
    def sets(self) -> int:
        return self.entries // self.ways


def tlbs_of(machine: Machine) -> list[tuple[str, Tlb]]:
    """A machine's TLBs by name, in the order in which they are asked."""
    found: dict[str, Tlb] = {}
    asked: str | None = machine.compute_name
    while asked:
        asked = next(
            (
                name
                for name in machine.onward[asked]
                if isinstance(machine.parts[name], Tlb) and name not in found
            ),
            None,
        )
        if asked:
            found[asked] = machine.part(asked, Tlb)
    return list(found.items())
