"""The best tiling of a stage on systolic arrays side by side, by whichever dataflow.

    for every dataflow that the machine takes:
      every tiling, by its estimate  ->  the best few, simulated  ->  the best of all

Each dataflow searches its own tilings (hwsim.schedule.systolic), folds spread over all arrays.
No tiling takes less than UNDERSTATED of its estimate, so the best estimate of all bounds them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf

from hwsim.choose.floors import least_by_objective, least_energy, metrics_of, tiling_of
from hwsim.choose.nests import ESTIMATED, MEASURES, NEAR, STEPS_TRIED, UNDERSTATED
from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError, UnknownName
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.ir.stationary import steps_outside
from hwsim.ir.verify import verify_nest
from hwsim.parts.systolic import SystolicArray
from hwsim.results.result import StageResult
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Ranked, Searched
from hwsim.schedule.mapper.found import OBJECTIVES, Found
from hwsim.schedule.mapper.space import SpaceSize

REST = "the rest ruled out by estimates, which leave out waiting"


def side_by_side(machine: Machine) -> bool:
    """Has the machine several systolic arrays?"""
    return isinstance(machine.compute, SystolicArray) and machine.compute.arrays > 1


def best_tiling(
    stage: Stage,
    machine: Machine,
    objective: str,
    placement: Placement,
    run: Callable[[Nest], StageResult],
    seconds: float | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Found, str, StageResult]:
    """The best of all dataflows' tilings, whose it is, and what it simulates to.

    Interrupted, or after `seconds`, the best so far. Raises HwsimError where no dataflow's tiles
    fit.
    """
    if objective not in OBJECTIVES:
        raise UnknownName("objective", objective, OBJECTIVES)
    begun = time.monotonic()
    ranked = _of_dataflows(stage, machine, placement, objective)
    until = inf if seconds is None else begun + seconds
    best = _simulated_best(ranked, objective, run, until, progress)
    if best is None:
        raise HwsimError(f"{machine.name}: {stage.name}: no tiling of any dataflow fits")
    bound = least_by_objective(stage, machine, placement)[objective]
    if objective in ESTIMATED:
        estimates = [candidates[0].estimate for candidates in ranked.values()]
        bound = max(bound, UNDERSTATED * min(estimates))
    among = sum(candidates[0].among for candidates in ranked.values())
    found = Found(
        stage,
        best.nest,
        tiling_of(stage, best.nest),
        SpaceSize(among, 1, 1, dataflows=len(ranked)),
        objective,
        metrics_of(stage, machine, best.result, placement),
        MEASURES[objective](best.result)[0],
        bound,
        among,
        time.monotonic() - begun,
        least_energy(stage, machine, placement),
        best.interrupted,
        REST,
    )
    return found, best.flow, best.result


@dataclass(frozen=True)
class _Best:
    """The best tiling that was simulated, and whether the user stopped there."""

    nest: Nest
    flow: str
    result: StageResult
    interrupted: bool = False


def _simulated_best(
    ranked: dict[str, Ranked],
    objective: str,
    run: Callable[[Nest], StageResult],
    until: float,
    progress: Callable[[int, int], None] | None,
) -> _Best | None:
    """Of the finalists, up to those that cannot be better; None where none fits."""
    measure, best = MEASURES[objective], None
    try:
        for tried, (flow, nest, least) in enumerate(_finalists(ranked), 1):
            if best is not None and (
                time.monotonic() > until
                or (objective in ESTIMATED and least >= measure(best.result)[0])
            ):
                break
            if progress is not None:
                progress(tried, 0)
            try:
                result = run(nest)
            except HwsimError:
                continue  # it does not fit, as estimates of room are of whole tiles
            if best is None or measure(result) < measure(best.result):
                best = _Best(nest, flow, result)
    except KeyboardInterrupt:
        if best is None:
            raise
        best = replace(best, interrupted=True)
    return best


def _of_dataflows(
    stage: Stage, machine: Machine, placement: Placement, objective: str
) -> dict[str, Ranked]:
    """The tilings of every dataflow, best first."""
    found: dict[str, Ranked] = {}
    reason: HwsimError | None = None
    for name in sorted(DATAFLOWS):
        flow = DATAFLOWS[name]
        if not isinstance(flow, Searched) or flow.refuses(stage, machine) is not None:
            continue
        try:
            found[name] = flow.nests(stage, machine, placement, objective)
        except HwsimError as error:
            reason = reason or error
    if not found:
        raise reason or HwsimError(f"{machine.name}: no dataflow takes {stage.name}")
    return found


def _finalists(ranked: dict[str, Ranked]) -> Iterator[tuple[str, Nest, float]]:
    """(dataflow, nest, the least that it can take) of those that are worth simulating.

    They are every dataflow's nearest to its own best, as one's estimates may leave out more waiting
    than another's.
    """
    near = [
        (candidate, flow)
        for flow, candidates in ranked.items()
        for candidate in candidates
        if candidate.estimate <= NEAR * min(each.estimate for each in candidates)
    ]
    steps = 0
    for candidate, flow in sorted(near, key=lambda pair: pair[0].estimate):
        if steps > STEPS_TRIED:
            return
        nest = verify_nest(candidate.make())
        steps += steps_outside(nest)
        yield flow, nest, candidate.estimate * UNDERSTATED
