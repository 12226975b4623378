"""The best register tile and cache blocks of a product on CPU cores, by simulating them.

    mr x nr sums in registers                 from the rule's sizes on: change one size at a time,
    kc, mc, nc: blocks for the caches   ->    keep what simulates better, until nothing does

Caches have no closed form that a bound could come from; what no nest goes below is the products
over the multipliers, and every word once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from hwsim.choose.nests import MEASURES
from hwsim.count.closed_form import touched_words
from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError, UnknownName
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.parts.core import Core
from hwsim.parts.dram import Dram
from hwsim.results.result import StageResult
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows.register_tiled import SIZES, Blocks, RegisterTiled, blocks_of
from hwsim.schedule.mapper.found import OBJECTIVES, Found
from hwsim.schedule.mapper.space import SpaceSize, Tiling

MOST_TRIED = 80
CLEARLY = 0.999  # times as much: a change that is worth keeping
REST = "no neighbour is better"


def best_blocks(
    stage: Stage,
    machine: Machine,
    objective: str,
    placement: Placement,
    run: Callable[[Nest], StageResult],
    seconds: float | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Found, StageResult]:
    """The best nest that was met, and what it simulates to. Interrupted, or after `seconds`, the
    best so far. Raises HwsimError where the rule's own nest does not run."""
    if objective not in OBJECTIVES:
        raise UnknownName("objective", objective, OBJECTIVES)
    begun = time.monotonic()
    measure = MEASURES[objective]
    blocks = blocks_of(stage, machine)
    nest = RegisterTiled(blocks).schedule(stage, machine, placement)
    best, result = nest, run(nest)
    tried, interrupted = {blocks}, False
    waiting = list(_neighbours(blocks, stage, machine))
    try:
        while waiting and len(tried) < MOST_TRIED:
            if seconds is not None and time.monotonic() - begun > seconds:
                break
            candidate = waiting.pop(0)
            if candidate in tried:
                continue
            tried.add(candidate)
            if progress is not None:
                progress(len(tried), 0)
            try:
                nest = RegisterTiled(candidate).schedule(stage, machine, placement)
                found = run(nest)
            except HwsimError:
                continue  # sums that the registers do not hold, or too many steps
            if measure(found) < measure(result) and (
                measure(found)[0] < CLEARLY * measure(result)[0]
                or measure(found)[1] < CLEARLY * measure(result)[1]
            ):
                best, result = nest, found
                waiting = list(_neighbours(candidate, stage, machine))
    except KeyboardInterrupt:
        interrupted = True
    metrics = _metrics(stage, machine, result)
    least = {
        "latency": max(metrics["multipliers"], metrics["dram"]),
        "dram": float(_words_once(stage)),
        "energy": 0.0,
        "edp": 0.0,
    }
    found_best = Found(
        stage,
        best,
        _tiling(stage, best),
        SpaceSize(_space(stage, machine), 1, 1),
        objective,
        metrics,
        measure(result)[0],
        min(least[objective], measure(result)[0]),
        len(tried),
        time.monotonic() - begun,
        interrupted=interrupted,
        rest=REST,
    )
    return found_best, result


def _neighbours(blocks: Blocks, stage: Stage, machine: Machine) -> Iterator[Blocks]:
    """One size changed: tiles by a row or a vector, blocks by half and double."""
    core, view = machine.compute, stage.view
    assert isinstance(core, Core) and view is not None
    lanes = max(1, core.vector // max(4, stage.output.width))
    m, n = stage.group(view.m), stage.group(view.n)
    k = stage.iterations // (m * n * stage.group(view.b))  # taps of a convolution among it
    most = {"mr": m, "nr": n, "kc": k, "mc": m, "nc": n}
    steps = {"mr": 1, "nr": lanes}
    for name in SIZES:
        size = getattr(blocks, name)
        step = steps.get(name, 0)
        for wanted in (size - step, size + step) if step else (size // 2, size * 2):
            other = min(wanted, most[name])
            if other > 0 and other != size:
                yield replace(blocks, **{name: other})
    for vectors in range(1, core.vector_registers // 2):  # other shapes of as many sums
        rows = (core.vector_registers - vectors - 1) // vectors
        if rows > 0 and vectors * lanes <= most["nr"]:
            yield replace(blocks, mr=min(rows, most["mr"]), nr=vectors * lanes)


def _tiling(stage: Stage, nest: Nest) -> Tiling:
    """Tiles of a core's share, and of the registers."""
    whole = stage.extents
    cell = {dim: whole[dim] for dim in whole}
    outer = dict(cell)
    for loop in nest.loops_above(nest.holds[-1]):
        cell[loop.dim] = min(cell[loop.dim], loop.tile)
        if loop.spatial is not None:
            outer[loop.dim] = cell[loop.dim]
    spread = {dim: -(-whole[dim] // outer[dim]) for dim in whole}
    return Tiling(outer, spread, cell)


def _space(stage: Stage, machine: Machine) -> int:
    """Sizes to choose among: every tile of sums, every block."""
    core, view = machine.compute, stage.view
    assert isinstance(core, Core) and view is not None
    m, n, k = (stage.group(dims) for dims in (view.m, view.n, view.k))
    return core.vector_registers**2 * m * n * k


def _words_once(stage: Stage) -> int:
    """Bytes of every word that is touched, once."""
    words = touched_words(stage)
    return sum(words[tensor.name] * tensor.width for tensor in stage.tensors)


def _metrics(stage: Stage, machine: Machine, result: StageResult) -> dict[str, float]:
    """What no nest goes below, in cycles; and what this one comes to."""
    dram: Dram = machine.part(machine.dram_name, Dram)
    peak = machine.compute.peak_macs_per_cycle(stage.dtype or machine.dtype)
    return {
        "multipliers": stage.operations.multiplies / peak,
        "dram": _words_once(stage) / dram.bandwidth.bytes_per_cycle(machine.clock_hz),
        "energy": sum(result.energy_pj.values()),
        "dram bytes": float(result.dram_read_bytes + result.dram_write_bytes),
    }
