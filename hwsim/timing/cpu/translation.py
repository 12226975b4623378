"""What a core waits for until it knows where pages lie.

    for k:  c += A[i,k] * B[k,j]     every row of B in another page: a TLB asks for each of them
                                     again where it has fewer entries than B has rows

The TLBs are walked like caches whose lines are pages; every stage finds them empty. Where a bound
shows that something else takes longer (hwsim.timing.caches.reach), they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hwsim.describe.machine import Machine
from hwsim.describe.units import Bandwidth
from hwsim.ir.nest import Nest
from hwsim.parts.cache import Cache
from hwsim.parts.tlb import Tlb, tlbs_of
from hwsim.timing.caches.batches import Walkers
from hwsim.timing.caches.chain import AddressSpace, ImplicitChain
from hwsim.timing.caches.reach import most_misses
from hwsim.timing.caches.stream import run_stream
from hwsim.timing.cpu.waits import Traffic

CORES = frozenset({"core"})


@dataclass(frozen=True)
class Translation:
    """cycles: by what is waited for. traffic: pages of every array at every TLB, and walks as of
    'dram'; both empty where TLBs were not walked."""

    cycles: dict[str, float] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=dict)


def translation(
    nest: Nest,
    machine: Machine,
    walkers: Walkers,
    cores: float,
    enough: float,
    chain: ImplicitChain,
) -> Translation:
    """How long all misses of every TLB take.

    cores: in use, if all were as busy as the busiest. enough: cycles that the nest takes anyway;
    of fewer than that no exact number is found. chain: the caches; where they tell misses apart by
    kind, so do the TLBs.
    """
    tlbs = tlbs_of(machine)
    if not tlbs:
        return Translation()
    waited = [(name, tlb) for name, tlb in tlbs if tlb.at_once]
    if not chain.by_kind:
        most = [most_misses(nest, nest.holds[-1], CORES, tlb) for _, tlb in waited]
        if all(
            misses is not None and _cycles(tlb, misses, machine) <= enough
            for misses, (_, tlb) in zip(most, waited, strict=True)
        ):
            return Translation()
    pages = page_chain(tlbs, walkers.parallel, chain.space, chain.by_kind)
    traffic = run_stream(nest, nest.holds[-1], CORES, pages, walkers).traffic
    cycles = {}
    for name, tlb in waited:
        missed = sum(lines.misses for (level, _), lines in traffic.items() if level == name)
        cycles[f"misses of {name}"] = _cycles(tlb, missed / cores, machine)
    return Translation(cycles, traffic)


def page_chain(
    tlbs: Sequence[tuple[str, Tlb]], units: int, space: AddressSpace, by_kind: bool
) -> ImplicitChain:
    """Empty TLBs of so many cores, as caches whose lines are pages and never dirty."""
    caches = [(name, _as_cache(tlb)) for name, tlb in tlbs]
    return ImplicitChain(caches, units, space, by_kind, clean=True)


def _as_cache(tlb: Tlb) -> Cache:
    return Cache(
        capacity=tlb.entries * tlb.page,
        line=tlb.page,
        ways=tlb.ways,
        bandwidth=Bandwidth(1, per_cycle=True),
        latency=tlb.miss,
    )


def _cycles(tlb: Tlb, misses: float, machine: Machine) -> float:
    return misses * tlb.miss.cycles(machine.clock_hz) / tlb.at_once
