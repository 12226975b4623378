"""The best register tile and cache blocks of a product on CPU cores, by simulating them.

    mr x nr sums in registers                 from the rule's sizes on: change one size at a time,
    kc, mc, nc: blocks for the caches   ->    keep what simulates better, until nothing does

Caches have no closed form that a bound could come from; what no nest goes below is the products
over the multipliers, and every word once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf

from hwsim.choose.floors import least_by_objective, least_energy, metrics_of, tiling_of
from hwsim.choose.nests import MEASURES
from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError, UnknownName
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.parts.core import Core
from hwsim.results.result import StageResult
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows.register_tiled import (
    SIZES,
    Blocks,
    RegisterTiled,
    blocks_of,
)
from hwsim.schedule.mapper.found import OBJECTIVES, Found
from hwsim.schedule.mapper.space import SpaceSize
from hwsim.schedule.register_tiles import sum_lanes

MOST_TRIED = 80
CLEARLY = 0.999  # times as much: a change that is worth keeping
REST = "no neighbour is better"


@dataclass
class _Climb:
    """Where the search is: the best nest so far, and every choice of sizes that was tried."""

    nest: Nest
    result: StageResult
    tried: set[Blocks]
    interrupted: bool = False


def best_blocks(
    stage: Stage,
    machine: Machine,
    objective: str,
    placement: Placement,
    run: Callable[[Nest], StageResult],
    seconds: float | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Found, StageResult]:
    """The best nest that was met, and what it simulates to.

    Interrupted, or after `seconds`, the best so far. Raises HwsimError where the rule's own nest
    does not run.
    """
    if objective not in OBJECTIVES:
        raise UnknownName("objective", objective, OBJECTIVES)
    begun = time.monotonic()
    until = inf if seconds is None else begun + seconds

    def simulate(blocks: Blocks) -> tuple[Nest, StageResult]:
        nest = RegisterTiled(blocks).schedule(stage, machine, placement)
        return nest, run(nest)

    def neighbours(blocks: Blocks) -> Iterator[Blocks]:
        return _neighbours(blocks, stage, machine)

    rule = blocks_of(stage, machine)
    climb = _Climb(*simulate(rule), {rule})
    _improve(climb, rule, MEASURES[objective], simulate, neighbours, until, progress)
    result = climb.result
    found = Found(
        stage,
        climb.nest,
        tiling_of(stage, climb.nest),
        SpaceSize(_space(stage, machine), 1, 1),
        objective,
        metrics_of(stage, machine, result),
        MEASURES[objective](result)[0],
        least_by_objective(stage, machine)[objective],
        len(climb.tried),
        time.monotonic() - begun,
        least_energy(stage, machine),
        climb.interrupted,
        REST,
    )
    return found, result


def _improve(
    climb: _Climb,
    start: Blocks,
    measure: Callable[[StageResult], tuple[float, float]],
    simulate: Callable[[Blocks], tuple[Nest, StageResult]],
    neighbours: Callable[[Blocks], Iterator[Blocks]],
    until: float,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Move to a neighbour that is better, until none is, or it is time."""
    waiting = list(neighbours(start))
    try:
        while waiting and len(climb.tried) < MOST_TRIED and time.monotonic() < until:
            candidate = waiting.pop(0)
            if candidate in climb.tried:
                continue
            climb.tried.add(candidate)
            if progress is not None:
                progress(len(climb.tried), 0)
            try:
                nest, result = simulate(candidate)
            except HwsimError:
                continue  # sums that the registers do not hold, or too many steps
            if _is_better(measure(result), measure(climb.result)):
                climb.nest, climb.result = nest, result
                waiting = list(neighbours(candidate))
    except KeyboardInterrupt:
        climb.interrupted = True


def _is_better(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Less in the first criterion, or of equal firsts in the second; clearly in one of them."""
    return one < other and any(
        mine < CLEARLY * theirs for mine, theirs in zip(one, other, strict=True)
    )


def _neighbours(blocks: Blocks, stage: Stage, machine: Machine) -> Iterator[Blocks]:
    """One size changed: tiles by a row or a vector, blocks by half and double."""
    core, view = machine.compute, stage.view
    assert isinstance(core, Core) and view is not None
    lanes = sum_lanes(stage, core)
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


def _space(stage: Stage, machine: Machine) -> int:
    """Sizes to choose among: every tile of sums, every block."""
    core, view = machine.compute, stage.view
    assert isinstance(core, Core) and view is not None
    m, n, k = (stage.group(dims) for dims in (view.m, view.n, view.k))
    return core.vector_registers**2 * m * n * k
