"""CPU timing: every load and store through the caches, and what the core waits for meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, prod

import numpy as np

from hwsim.count.closed_form import count
from hwsim.describe.machine import Machine
from hwsim.describe.units import si, whole_bytes
from hwsim.errors import TooLarge
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Nest
from hwsim.parts.core import Core
from hwsim.results.result import Access, Accesses, CacheLines, Lines, Sampling
from hwsim.timing import Run, Surroundings
from hwsim.timing.caches.batches import Walkers
from hwsim.timing.caches.chain import ImplicitChain
from hwsim.timing.caches.nest_arrays import SUM_BYTES
from hwsim.timing.caches.set_samples import UNSEEN
from hwsim.timing.caches.stream import run_stream
from hwsim.timing.caches.traffic import LevelTraffic, StreamResult
from hwsim.timing.cpu.translation import translation
from hwsim.timing.cpu.waits import Traffic, cycles_of, work_of
from hwsim.timing.explicit.accesses import accesses, footprints

MOST_STEPS = 2_000_000_000  # walked in one to two minutes
STEPS_A_SECOND = 20_000_000
QUICKER_IN_SAMPLES = 2
QUANTUM = 512


def core_walkers(core: Core) -> Walkers:
    """All cores at once, taking turns of a few hundred steps."""
    return Walkers(core.cores, QUANTUM, core.vector)


def run_on_cores(nest: Nest, machine: Machine, dtype: str, around: Surroundings) -> Run:
    """One stage on the cores; where the layer ends, dirty lines are written out.

    Raises TooLarge for a stage that takes long, unless the user waits for it.
    """
    core, chain = machine.compute, around.warm
    assert isinstance(core, Core)
    if not around.patient:
        _check_patience(nest, chain)
    counts = count(nest)
    footprint = footprints(machine, nest, counts, SUM_BYTES, {})
    boundary = nest.holds[-1]
    stream = run_stream(nest, boundary, frozenset({"core"}), chain, core_walkers(core))
    traffic = with_flush(stream.traffic, chain, around.last)
    words = _register_bytes(nest, counts)
    asked = sum(loaded + stored for loaded, stored in words.values())
    work = work_of(nest, machine, dtype, stream, traffic, asked)
    sampling = None
    if chain.sample is not None:
        error = _relative_error(stream, traffic, chain, around.last)
        more = {at: row.times(1 + error) for at, row in traffic.items()}
        slower = work_of(nest, machine, dtype, stream, more, asked).slowest
        time = slower / work.slowest - 1
        sampling = Sampling(chain.sample.share, error, "sets", UNSEEN, time)
    pages = translation(nest, machine, core_walkers(core), stream.even_units, work.slowest, chain)
    found = accesses(machine, nest, counts, {boundary.level}, SUM_BYTES)
    found.update(cache_accesses(machine, traffic, chain.line))
    found[chain.names[0]] = _in_words(found[chain.names[0]], words, traffic, chain)
    return Run(
        nest,
        cycles_of(work.beside(pages.cycles), machine),
        found,
        footprint,
        fidelity("caches", sampling),
        sampling=sampling,
        lines=cache_lines({**traffic, **(pages.traffic if chain.by_kind else {})}, chain),
    )


def _relative_error(
    stream: StreamResult, traffic: Traffic, chain: ImplicitChain, flushed: bool
) -> float:
    """How far lines may be off at the worst level, of all that it is asked for and given.

    UNSEEN lines are left out.
    """
    off = np.array(stream.off) + (chain.off_at_flush if flushed else 0.0)
    moved = dict.fromkeys([*chain.names, "dram"], 0.0)
    for (level, _), row in traffic.items():
        moved[level] += row.reads + row.writes
    below_the_first = list(zip(off, moved.values(), strict=True))[1:]
    return max(
        max(0.0, float(lines) - UNSEEN) / max(total, 1.0) for lines, total in below_the_first
    )


def _check_patience(nest: Nest, chain: ImplicitChain) -> None:
    steps = prod(nest.bound(loop) for loop in nest.loops_above(nest.holds[-1]))
    quicker = 1 if chain.sample is None else QUICKER_IN_SAMPLES
    if steps > MOST_STEPS * quicker:
        would_help = chain.sample is None and chain.may_be_sampled
        sample = "--fidelity sampled, " if would_help else ""
        minutes = steps / STEPS_A_SECOND / quicker / 60
        raise TooLarge(
            f"{si(steps)} steps, which take about {minutes:.0f} minutes; expected a smaller layer, "
            f"larger tiles in registers, {sample}or --wait (of run and compare)"
        )


def fidelity(what: str, sampling: Sampling | None) -> str:
    """How the caches were simulated, in words."""
    if sampling is None:
        return f"{what} line by line, exact; ports in closed form"
    if sampling.of == "sets":
        return (
            f"{what} line by line in {sampling.share:.0%} of their sets, which stand for the "
            f"others; ports in closed form"
        )
    return (
        f"{what} line by line, {sampling.share:.1%} of the steps one by one, the rest extrapolated "
        f"(DRAM lines within {sampling.error:.0%}); ports in closed form"
    )


def _whole(lines: float) -> int:
    """Lines move whole: where a share of a buffer stays, the line at its edge moves too."""
    return ceil(lines - 1e-6)


def cache_accesses(
    machine: Machine, traffic: Traffic, line: int, shares: Mapping[str, float] | None = None
) -> Accesses:
    """Cache and DRAM accesses in lines. shares: of a tensor's lines at a cache, the bytes read."""
    found: Accesses = {}
    for (level, tensor), lines in traffic.items():
        name = machine.dram_name if level == "dram" else level
        filled = 0 if level == "dram" else lines.misses + lines.prefetches
        reads, writes = _whole(lines.reads), _whole(lines.writes + filled)
        share = 1.0 if level == "dram" or shares is None else shares.get(tensor, 1.0)
        read_bytes = round(reads * line * share)
        found.setdefault(name, {})[tensor] = Access(reads, writes, read_bytes, writes * line)
    return found


def cache_lines(traffic: Traffic, chain: ImplicitChain) -> CacheLines:
    """What every cache did with the lines of every array."""
    found: CacheLines = {}
    for (level, tensor), lines in traffic.items():
        if level != "dram":
            kinds = (_whole(lines.cold), _whole(lines.capacity)) if chain.by_kind else (None, None)
            found.setdefault(level, {})[tensor] = Lines(
                _whole(lines.reads),
                _whole(lines.writes),
                _whole(lines.misses),
                _whole(lines.writebacks),
                _whole(lines.prefetches),
                *kinds,
            )
    return found


def with_flush(traffic: Traffic, chain: ImplicitChain, last: bool) -> Traffic:
    """A stage's traffic, and after a layer's last stage the lines still dirty."""
    total = dict(traffic)
    for key, lines in (chain.flush() if last else {}).items():
        total[key] = total.get(key, LevelTraffic(0, 0, 0, 0)) + lines
    return total


def _register_bytes(nest: Nest, counts: NestCounts) -> dict[str, tuple[int, int]]:
    """Bytes of every buffer that come into the registers and go out of them.

    They are what loads and stores move through the first cache's port, which is not whole lines.
    """
    found: dict[str, tuple[int, int]] = {}
    for tensor in nest.stage.tensors:
        moved = counts.of(nest.holds[-1].level, tensor.name)
        loaded, stored = found.get(tensor.buffer, (0, 0))
        found[tensor.buffer] = (
            loaded + whole_bytes(moved.fills * tensor.width),
            stored + whole_bytes(moved.drains * tensor.width),
        )
    return found


def _in_words(
    lines: dict[str, Access],
    words: dict[str, tuple[int, int]],
    traffic: Traffic,
    chain: ImplicitChain,
) -> dict[str, Access]:
    """The first cache's accesses: look-ups of lines, and the bytes of the words in them.

    What it fetches comes in whole lines.
    """
    found = {}
    for buffer, access in lines.items():
        loaded, stored = words.get(buffer, (0, 0))
        fetched = traffic.get((chain.names[0], buffer), LevelTraffic(0, 0, 0, 0)).misses
        found[buffer] = replace(
            access, read_bytes=loaded, write_bytes=stored + round(fetched) * chain.line
        )
    return found
