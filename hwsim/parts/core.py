"""A CPU's cores: SIMD fused multiply-add ports and load/store ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from hwsim.describe.machine import PARTS, Compute, Machine, Memory, Need
from hwsim.describe.reading import count, quantity
from hwsim.describe.units import words_in
from hwsim.errors import HwsimError


@PARTS.register("core")
@dataclass(frozen=True)
class Core(Compute):
    """cores of vectors of `vector` bytes.

    fma_ports: vector multiply-adds a cycle; loads, stores: vector accesses a cycle;
    int8_macs_per_lane: int8 multiply-adds that a 4-byte lane does at once (VNNI: 4). fma_latency:
    cycles until a sum can be added to again; add_latency: the same where additions are apart from
    multiplications, 0 for as long. issue: instructions that begin in a cycle, 0 for as many as its
    ports take. reorder: instructions in flight (the reorder buffer's entries; 1 for a core that
    works in order). overlap: do lines move between caches while the core loads and stores?
    """

    kind: ClassVar[str] = "core"
    family: ClassVar[str] = "cpu"
    timing: ClassVar[str] = "core"
    cores: int = count()
    vector: int = quantity("bytes")
    fma_ports: int = count()
    loads: int = count()
    stores: int = count()
    vector_registers: int = count(least=3)  # a row of sums, of weights, and what is broadcast
    int8_macs_per_lane: int = count(default=1)
    fma_latency: int = count(default=4)
    add_latency: int = count(default=0, least=0)
    issue: int = count(default=0, least=0)
    reorder: int = count(default=224)
    overlap: bool = True

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.vector & (self.vector - 1) or self.vector < 8:
            yield (
                "vector",
                f"a vector of {self.vector} bytes; expected a power of two of at least 8",
            )

    def with_twice_the_units(self) -> Core:
        return replace(self, cores=self.cores * 2)

    @property
    def units(self) -> int:
        return self.cores

    @property
    def axes(self) -> Mapping[str, int]:
        return {"core": self.cores}

    @property
    def cells(self) -> int:
        return self.cores

    @property
    def dtypes(self) -> tuple[str, ...]:
        return ("fp64", "fp32") + (("int8",) if self.int8_macs_per_lane > 1 else ())

    def needs(self) -> tuple[Need, ...]:
        return (Need("registers"), Need("cache", most=9))

    def wrong_way(self, memories: Sequence[Memory]) -> str | None:
        *caches, last = [memory.kind for memory in memories] or [""]
        right = last == "registers" and bool(caches) and set(caches) == {"cache"}
        return None if right else "dram - one cache or more - the registers - the cores"

    def lanes(self, dtype: str) -> int:
        """Elements a vector register holds."""
        return words_in(self.vector, dtype)

    def macs_per_cycle_per_core(self, dtype: str) -> float:
        packed = self.int8_macs_per_lane / 4 if dtype == "int8" else 1
        return self.fma_ports * self.lanes(dtype) * packed

    def peak_vector_operations_per_cycle(self, dtype: str) -> float:
        return self.cores * self.fma_ports * self.lanes(dtype)

    def peak_macs_per_cycle(self, dtype: str) -> float:
        return self.cores * self.macs_per_cycle_per_core(dtype)


def with_cores(machine: Machine, cores: int) -> Machine:
    """The machine with so many of its cores in use.

    Raises HwsimError where it has fewer, or none.
    """
    core = machine.compute
    if not isinstance(core, Core):
        raise HwsimError(f"{machine.name} has no CPU cores to choose a number of")
    if not 1 <= cores <= core.cores:
        raise HwsimError(f"{cores} cores of {machine.name}; expected 1 to {core.cores}")
    if cores == core.cores:
        return machine
    name = f"{machine.name} ({cores} core{'s' if cores > 1 else ''})"
    parts = {**machine.parts, machine.compute_name: replace(core, cores=cores)}
    return replace(machine, name=name, parts=parts)
