"""Which nest a stage runs: candidates of a dataflow or the mapper simulated, the best taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from math import inf
from typing import TypeVar

from hwsim.choose.kernels import LIBRARY, as_called, best_kernels, runs_kernels
from hwsim.choose.least import least_of
from hwsim.choose.quick import quick_nest
from hwsim.describe.kernels import Kernel
from hwsim.describe.machine import Machine
from hwsim.errors import Beaten, HwsimError, TooLarge
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.ir.stationary import steps_outside
from hwsim.ir.verify import verify_nest
from hwsim.parts.pe_array import PeArray
from hwsim.parts.systolic import SystolicArray
from hwsim.results.result import StageResult
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow, Ranked, applicable, nests_of
from hwsim.schedule.dataflows.library_kernel import kernel_nest, named_kernel, runs_library
from hwsim.schedule.mapper import best_mapping

MOST_MAPPINGS = 3_000_000  # bounded or evaluated for a stage before the best so far is taken
NEAR = 1.1  # times the best estimate: nests whose estimates are worse are not simulated
STEPS_TRIED = 300_000  # of all finalists together, beyond the first
EQUAL = 1.005  # times another: as good, so that the second criterion decides
ESTIMATED = ("latency", "dram")  # objectives in whose unit nests are estimated
UNDERSTATED = 0.98  # of an estimate: no simulation takes less
FOLLOWERS = 3  # of the mapper's runners-up that are simulated beside its best
AS_ESTIMATED = 1.01  # times the least estimate: a nest that takes no more ends the search

Tried = TypeVar("Tried")


@dataclass(frozen=True)
class Choice:
    """What a run asked of its layers.

    dataflow: by name, the best when None. objective: what nests are chosen by. timeline: keep when
    tiles moved and steps ran. patient: caches are simulated however long that takes. by_kind:
    their misses are told apart by kind. sampled: a CPU's caches are simulated in a sample of their
    sets. most_cycles: what takes longer, on a machine of explicit
    memories, need not be found, as another algorithm is quicker.
    """

    dataflow: str | None = None
    objective: str = "latency"
    timeline: bool = False
    patient: bool = False
    by_kind: bool = False
    sampled: bool = False
    most_cycles: float = inf


MEASURES: dict[str, Callable[[StageResult], tuple[float, float]]] = {
    "latency": lambda result: (
        result.cycles.total,
        result.dram_read_bytes + result.dram_write_bytes,
    ),
    "energy": lambda result: (sum(result.energy_pj.values()), result.cycles.total),
    "edp": lambda result: (
        sum(result.energy_pj.values()) * result.cycles.total,
        result.cycles.total,
    ),
    "dram": lambda result: (result.dram_read_bytes + result.dram_write_bytes, result.cycles.total),
}


def best_nest_run(
    stage: Stage,
    machine: Machine,
    placement: Placement,
    choice: Choice,
    run: Callable[[Nest], StageResult],
    planned: Machine | None = None,
) -> StageResult:
    """The stage under the named dataflow, or the better of the mapper's nests and the dataflows'.

    The mapper bounds time by the busiest resource; what tiles and passes wait for only the
    simulation tells. A GPU's library has kernels, of which the fastest runs. On systolic arrays,
    whose dataflows search their own tiles, the mapper is asked only when these do not fit. Arrays
    of PEs ask it first, and then the dataflows for nests that may be better. planned: a machine for
    which quick schedules are made (hwsim.choose.quick), None for the best ones.
    """
    kernel = _library_kernel(stage, machine, choice.dataflow)
    if kernel is not None:
        return run(verify_nest(kernel_nest(stage, machine, placement, kernel)))
    if planned is not None and machine.management == "explicit":
        quickly = _attempt(
            lambda: run(quick_nest(stage, planned, placement, choice.dataflow, choice.objective))
        )
        if isinstance(quickly, StageResult):
            return quickly
    may_map = (
        choice.dataflow is None and machine.management == "explicit" and stage.view is not None
    )
    mapped: list[StageResult | HwsimError] = []
    if may_map and not isinstance(machine.compute, SystolicArray):
        mapped = _mapped(stage, machine, placement, choice, run)
    best = _best_that_ran(mapped, choice.objective)
    scheduled = _best_of_dataflows(stage, machine, placement, choice, run, best)
    nothing_fits = isinstance(scheduled, HwsimError) and not isinstance(scheduled, TooLarge)
    if may_map and not mapped and nothing_fits:
        mapped = _mapped(stage, machine, placement, choice, run)
    tried = [scheduled, *mapped]
    best = _best_that_ran(tried, choice.objective)
    if best is None:
        errors = [error for error in tried if isinstance(error, HwsimError)]
        raise errors[0] if errors else Beaten(f"{stage.name} takes longer than what was tried")
    return best


def _best_that_ran(
    tried: Sequence[StageResult | HwsimError | None], objective: str
) -> StageResult | None:
    ran = [result for result in tried if isinstance(result, StageResult)]
    return reduce(partial(_better, objective=objective), ran) if ran else None


def _library_kernel(stage: Stage, machine: Machine, dataflow: str | None) -> Kernel | None:
    """The kernel that a dataflow names, or the fastest, as the library would call it.

    None where another dataflow is named, or the library has none for the stage.
    """
    if dataflow is None:
        return best_kernels(stage, machine)[0].kernel if runs_kernels(stage, machine) else None
    if not runs_library(dataflow) or LIBRARY.refuses(stage, machine) is not None:
        return None
    return as_called(stage, machine, named_kernel(stage, machine, dataflow))


def _best_of_dataflows(
    stage: Stage,
    machine: Machine,
    placement: Placement,
    choice: Choice,
    run: Callable[[Nest], StageResult],
    to_beat: StageResult | None,
) -> StageResult | HwsimError | None:
    """The best nest of the first of the dataflows that apply, or what kept the first from fitting.

    A named one must fit. PEs try all of them, as each is a few nests. to_beat: what has run; nests
    that cannot be better do not, and where none can, there is None.
    """
    tried: list[HwsimError] = []
    won: StageResult | None = None
    all_of_them = choice.dataflow is None and isinstance(machine.compute, PeArray)
    flows = applicable(stage, machine, choice.dataflow)
    if all_of_them:
        flows += _others_that_apply(stage, machine, flows)
    for flow in flows:

        def best(
            flow: Dataflow = flow, to_beat: StageResult | None = to_beat
        ) -> StageResult | None:
            ranked = nests_of(flow, stage, machine, placement, choice.objective)
            return _best_candidate(ranked, machine, choice, run, to_beat)

        outcome = _attempt(best)
        named = choice.dataflow is not None and flow.name == choice.dataflow.partition(":")[0]
        if not isinstance(outcome, HwsimError):
            won = _best_that_ran((won, outcome), choice.objective)
            to_beat = _best_that_ran((to_beat, won), choice.objective)
            if not all_of_them:
                return won
        elif named or (isinstance(outcome, TooLarge) and not all_of_them):
            return outcome
        else:
            tried.append(outcome)
    return won if len(tried) < len(flows) else tried[0]


def _others_that_apply(stage: Stage, machine: Machine, known: Sequence[Dataflow]) -> list[Dataflow]:
    others = (DATAFLOWS[name] for name in sorted(DATAFLOWS))
    return [flow for flow in others if flow not in known and flow.refuses(stage, machine) is None]


def _may_beat(
    to_beat: StageResult | None, machine: Machine, choice: Choice, candidate: Nest
) -> bool:
    """May a nest be better than what has run, by what it takes at the least?

    As in `_better`, one that is as good may be so by moving fewer bytes.
    """
    if to_beat is None and choice.most_cycles == inf:
        return True
    least = least_of(candidate, machine, candidate.stage.dtype or machine.dtype)
    if least.cycles > choice.most_cycles:
        return False
    if to_beat is None:
        return True
    first, second = MEASURES[choice.objective](to_beat)
    moves_less = choice.objective == "latency" and least.dram_bytes < second
    return least.by(choice.objective) < first * (EQUAL if moves_less else 1.0)


def _best_candidate(
    ranked: Ranked,
    machine: Machine,
    choice: Choice,
    run: Callable[[Nest], StageResult],
    to_beat: StageResult | None,
) -> StageResult | None:
    """The best of a dataflow's finalists that may beat what ran, simulated; None where none may.

    Those near the least estimate are, until one takes hardly more than it, or none that is left
    can be better.
    """
    objective = choice.objective
    measure = MEASURES[objective]
    best: StageResult | None = None
    error: HwsimError | None = None
    least = ranked[0].estimate
    steps = 0
    enough = inf if to_beat is None or objective not in ESTIMATED else measure(to_beat)[0]
    for candidate in ranked:
        if candidate.estimate * UNDERSTATED > enough:
            break
        nest = candidate.make()
        if not _may_beat(to_beat, machine, choice, nest):
            continue
        steps += steps_outside(nest)
        if best is not None and (candidate.estimate > NEAR * least or steps > STEPS_TRIED):
            break
        worse = best is not None and candidate.estimate * UNDERSTATED >= measure(best)[0]
        if worse and objective in ESTIMATED:
            break
        result = _attempt(partial(_verified, nest, run))
        if isinstance(result, HwsimError):
            error = error or result
            continue
        best = result if best is None else _better(best, result, objective)
        if objective in ESTIMATED and measure(best)[0] <= AS_ESTIMATED * least:
            break
    if best is None and error is not None:
        raise error
    return best


def _verified(nest: Nest, run: Callable[[Nest], StageResult]) -> StageResult:
    return run(verify_nest(nest))


def _better(one: StageResult, other: StageResult, objective: str) -> StageResult:
    """By the objective; of equal times the one that moves fewer bytes."""
    measure = MEASURES[objective]
    first, second = sorted((one, other), key=measure)
    equal = measure(second)[0] <= EQUAL * measure(first)[0]
    return min(first, second, key=lambda result: measure(result)[1]) if equal else first


def _attempt(work: Callable[[], Tried]) -> Tried | HwsimError:
    try:
        return work()
    except HwsimError as error:
        return error


def _mapped(
    stage: Stage,
    machine: Machine,
    placement: Placement,
    choice: Choice,
    run: Callable[[Nest], StageResult],
) -> list[StageResult | HwsimError]:
    """The mapper's best nest simulated, and those that cost little more and may be better."""
    try:
        found = best_mapping(
            stage,
            machine,
            choice.objective,
            placement=placement,
            workers=1,
            most=MOST_MAPPINGS,
            beat=choice.most_cycles,
        )
    except HwsimError as error:
        return [error]
    tried: list[StageResult | HwsimError] = []
    for nest in (found.nest, *found.runners_up[:FOLLOWERS]):
        best = _best_that_ran(tried, choice.objective)
        if best is None or _may_beat(best, machine, choice, nest):
            tried.append(_attempt(partial(_verified, nest, run)))
    return tried
