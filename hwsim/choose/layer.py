"""One layer on one machine: its plan's stages scheduled, run in order, and checked against
physics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from hwsim.count.closed_form import touched_words
from hwsim.count.compulsory import compulsory_of
from hwsim.count.reuse import achieved, reuse
from hwsim.describe.layer import Layer
from hwsim.describe.machine import Machine
from hwsim.describe.units import size_text
from hwsim.energy.account import energy_by_tensor_pj, energy_pj
from hwsim.errors import HwsimError, TooLarge
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.stationary import steps_outside
from hwsim.ir.verify import verify_nest, verify_stage
from hwsim.parts.cache import Cache
from hwsim.parts.core import Core
from hwsim.parts.systolic import SystolicArray
from hwsim.results.result import Cycles, LayerResult, StageResult
from hwsim.results.reuse import TensorReuse
from hwsim.rewrite.fusion import blocks_of, together
from hwsim.rewrite.placement import Placement, keep_on_chip, kept_roles
from hwsim.rewrite.sparsity import exploit
from hwsim.schedule.dataflows import Dataflow, applicable, nests_of
from hwsim.schedule.mapper import best_mapping, is_quick
from hwsim.timing import TIMINGS, Run, Surroundings
from hwsim.timing.explicit.accesses import notes
from hwsim.timing.physics import check_layer, check_stage, power_note

if TYPE_CHECKING:
    from hwsim.timing.caches.stream import ImplicitChain

MOST_MAPPINGS = 300_000  # bounded or evaluated for a stage before the best so far is taken
SOME_MAPPINGS = 30_000  # of a space that takes long to search
FINALISTS = 8  # nests of a dataflow that are simulated at most
NEAR = 1.1  # times the best estimate: nests whose estimates are worse are not simulated
STEPS_TRIED = 300_000  # of all finalists together, beyond the first
EQUAL = 1.005  # times another: as good, so that the second criterion decides
KEPT_WORD = 1.01  # times its estimate: a nest that takes no more ends the search


@dataclass(frozen=True)
class Choice:
    """What a run asked for."""

    dtype: str
    dataflow: str | None
    objective: str
    timeline: bool


MEASURES: dict[str, Callable[[StageResult], tuple[float, float]]] = {
    "latency": lambda result: (
        result.cycles.total,
        result.dram_read_bytes + result.dram_write_bytes,
    ),
    "energy": lambda result: (sum(result.energy_pj.values()), result.cycles.total),
    "dram": lambda result: (result.dram_read_bytes + result.dram_write_bytes, result.cycles.total),
}


def simulate_layer(
    name: str,
    layer: Layer,
    plan: Plan,
    reference: Plan,
    machine: Machine,
    dataflow: str | None,
    nests: Mapping[str, Nest] | None = None,
    timeline: bool = False,
    objective: str = "latency",
) -> LayerResult:
    """Run a layer's plan; every layer starts with its data in DRAM and ends with its output there,
    but for what an explicit memory keeps.

    reference: the layer lowered directly, whose tensors are what must move at least once. nests: by
    stage, nests to run instead of what a dataflow or the mapper would schedule. timeline: keep when
    tiles moved and steps ran. objective: what nests are chosen by.
    """
    dtype = layer.dtype or machine.dtype
    if dtype not in machine.compute.dtypes:
        raise HwsimError(
            f"{machine.name} does not compute {dtype}; expected one of "
            f"{', '.join(machine.compute.dtypes)}"
        )
    plan, remarks = exploit(plan.with_dtype(dtype), layer, machine)
    reference, _ = exploit(reference.with_dtype(dtype), layer, machine)
    blocks, unfused = blocks_of(plan, machine)
    _fits_in_dram(blocks[0].plan, machine)
    chain = _implicit_chain(
        machine, [stage for block in blocks for stage in block.plan.stages if not stage.offline]
    )
    runs = [
        _run_stages(
            block.plan,
            machine,
            Choice(dtype, dataflow, objective, timeline),
            nests or {},
            chain,
            block is blocks[-1],
        )
        for block in blocks
    ]
    number = sum(block.times for block in blocks)
    stages = [
        _offline(stage, machine, dtype)
        if stage.offline
        else together(
            [(run[stage.name], block.times) for run, block in zip(runs, blocks, strict=True)],
            stage.operations,
            number,
        )
        for stage in plan.stages
    ]
    remarks += unfused
    remarks += [
        f"{dataflow} does not schedule {stage.name} here; {result.dataflow} instead"
        for stage, result in zip(plan.stages, stages, strict=True)
        if dataflow is not None
        and stage.view is not None
        and result.dataflow != dataflow.partition(":")[0]
        and stage.name not in (nests or {})
    ]
    kept = frozenset(role for block in blocks for role in kept_roles(block.plan, machine))
    compulsory = compulsory_of(reference, plan, tuple(sorted(kept)))
    result = LayerResult(
        name,
        layer.summary,
        plan.algorithm,
        tuple(stages),
        compulsory,
        tuple(remarks),
        layer.macs,
        max(block.plan.workspace_bytes for block in blocks),
    )
    too_much = power_note(result, machine)
    return check_layer(
        replace(result, notes=(*result.notes, too_much)) if too_much else result, machine
    )


def _run_stages(
    plan: Plan,
    machine: Machine,
    choice: Choice,
    nests: Mapping[str, Nest],
    chain: ImplicitChain | None,
    ends: bool,
) -> dict[str, StageResult]:
    """Every timed stage of a plan, or of a fused plan's block, in order; ends: the layer ends with
    it."""
    online = [verify_stage(stage) for stage in plan.stages if not stage.offline]
    placement = keep_on_chip(plan, machine)
    results = {}
    for stage in online:

        def run(nest: Nest, last: bool = ends and stage is online[-1]) -> StageResult:
            return _run(nest, machine, choice.dtype, Surroundings(chain, last), choice.timeline)

        given = nests.get(stage.name)
        best = (
            run(verify_nest(replace(given, stage=stage)))
            if given is not None
            else _run_best(stage, machine, placement, choice, run)
        )
        results[stage.name] = check_stage(best, machine)
    return results


def _run_best(
    stage: Stage,
    machine: Machine,
    placement: Placement,
    choice: Choice,
    run: Callable[[Nest], StageResult],
) -> StageResult:
    """The stage under the named dataflow; without a name the better of the rules' nest and the
    mapper's.

    The mapper bounds time by the busiest resource; what tiles and passes wait for only the
    simulation tells. On systolic arrays, whose dataflows search their own tiles, it is asked only
    when these do not fit; where its space takes long to search likewise.
    """
    ruled = _by_rule(stage, machine, placement, choice, run)
    asked = (
        choice.dataflow is None
        and not isinstance(ruled, TooLarge)
        and machine.management == "explicit"
        and stage.view is not None
    )
    searched = not is_quick(stage, machine) or isinstance(machine.compute, SystolicArray)
    if searched and isinstance(ruled, StageResult):
        asked = False
    tried = [ruled]
    if asked:
        tried.append(_attempt(lambda: run(verify_nest(_mapped(stage, machine, placement)))))
    ran = [result for result in tried if isinstance(result, StageResult)]
    if not ran:
        raise next(error for error in tried if isinstance(error, HwsimError))
    return min(ran, key=MEASURES[choice.objective])


def _by_rule(
    stage: Stage,
    machine: Machine,
    placement: Placement,
    choice: Choice,
    run: Callable[[Nest], StageResult],
) -> StageResult | HwsimError:
    """The best nest of the first of the dataflows that apply, or what kept the first from fitting;
    a named one must fit."""
    tried: list[StageResult | HwsimError] = []
    for flow in applicable(stage, machine, choice.dataflow):
        best = partial(_best_of_flow, flow, stage, machine, placement, choice.objective, run)
        outcome = _attempt(best)
        named = choice.dataflow is not None and flow.name == choice.dataflow.partition(":")[0]
        if isinstance(outcome, (StageResult, TooLarge)) or named:
            return outcome
        tried.append(outcome)
    return tried[0]


def _best_of_flow(
    flow: Dataflow,
    stage: Stage,
    machine: Machine,
    placement: Placement,
    objective: str,
    run: Callable[[Nest], StageResult],
) -> StageResult:
    """The best of a dataflow's finalists, simulated: those near the best estimate, until one keeps
    its own."""
    ranked = nests_of(flow, stage, machine, placement, objective)
    measure = MEASURES[objective]
    best: StageResult | None = None
    error: HwsimError | None = None
    least = ranked[0].estimate
    steps = 0
    for candidate in ranked[:FINALISTS]:
        nest = candidate.make()
        steps += steps_outside(nest)
        if best is not None and (candidate.estimate > NEAR * least or steps > STEPS_TRIED):
            break
        result = _attempt(partial(_verified, nest, run))
        if isinstance(result, HwsimError):
            error = error or result
            continue
        best = result if best is None else _better(best, result, objective)
        if measure(best)[0] <= KEPT_WORD * least:
            break
    if best is None:
        assert error is not None
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


def _attempt(work: Callable[[], StageResult]) -> StageResult | HwsimError:
    try:
        return work()
    except HwsimError as error:
        return error


def _mapped(stage: Stage, machine: Machine, placement: Placement) -> Nest:
    most = MOST_MAPPINGS if is_quick(stage, machine) else SOME_MAPPINGS
    return best_mapping(stage, machine, "latency", placement=placement, workers=1, most=most).nest


def _fits_in_dram(plan: Plan, machine: Machine) -> None:
    sizes = {
        tensor.name: tensor.bytes
        for stage in plan.stages
        for tensor in stage.tensors
        if not tensor.part_of
    }
    capacity = machine.memories[machine.dram_name].capacity
    if sum(sizes.values()) > capacity:
        worst = max(sizes, key=lambda name: sizes[name])
        raise HwsimError(
            f"{machine.name}: the layer's tensors take {size_text(sum(sizes.values()))} of "
            f"{machine.dram_name}, which has "
            f"{size_text(capacity)}; most of it is {worst}"
        )


def _implicit_chain(machine: Machine, stages: list[Stage]) -> ImplicitChain | None:
    caches = [
        (name, part)
        for name in machine.chain("activation")[::-1]
        if isinstance(part := machine.parts[name], Cache)
    ]
    if not caches:
        return None
    from hwsim.timing.caches.stream import AddressSpace, ImplicitChain

    units = machine.compute.cores if isinstance(machine.compute, Core) else 1
    return ImplicitChain(caches, units, AddressSpace(stages))


def _run(
    nest: Nest, machine: Machine, dtype: str, around: Surroundings, timeline: bool
) -> StageResult:
    """A stage's nest timed, and what it moved as energy and reuse. Raises HwsimError where the
    timing refuses it."""
    timing = TIMINGS[machine.compute.timing]
    refusal = timing.refuses(nest, machine)
    if refusal is not None:
        raise HwsimError(f"{machine.name}: {nest.stage.name}: {refusal}")
    run = timing.run(nest, machine, dtype, around)
    stage, operations = run.nest.stage, run.nest.stage.operations
    bytes_moved = {
        part: {tensor: access.read_bytes + access.write_bytes for tensor, access in tensors.items()}
        for part, tensors in run.accesses.items()
    }
    _gate_filter_reads(bytes_moved, run, machine)
    moved = {part: sum(tensors.values()) for part, tensors in bytes_moved.items()}
    beside = (
        notes(machine, run.nest, run.counts, machine.compute.accumulator_bytes)
        if run.counts
        else {}
    )
    return StageResult(
        stage.name,
        nest.dataflow,
        run.nest.text(beside),
        run.fidelity,
        operations,
        run.cycles,
        machine.clock_hz,
        machine.compute.peak_macs_per_cycle(dtype),
        run.accesses,
        machine.dram_name,
        run.footprint,
        energy_pj(machine, dtype, operations, moved),
        sampling=run.sampling,
        reuse=_reuse(run, machine),
        energy_by_tensor_pj=energy_by_tensor_pj(machine, bytes_moved),
        timeline=run.timeline if timeline else None,
    )


def _gate_filter_reads(moved: dict[str, dict[str, int]], run: Run, machine: Machine) -> None:
    """Where PEs gate zeros, filters are read from a PE's scratchpad only for products that switch
    the multiplier."""
    stage, operations = run.nest.stage, run.nest.stage.operations
    if machine.compute.zeros != "gating" or not operations.multiplies:
        return
    idle = 1 - operations.effectual_multiplies / operations.multiplies
    for tensor in stage.tensors:
        for part, rows in moved.items():
            if (
                tensor.role == "weight"
                and tensor.buffer in rows
                and machine.memories[part].per == "pe"
            ):
                rows[tensor.buffer] -= int(run.accesses[part][tensor.buffer].read_bytes * idle)


def _reuse(run: Run, machine: Machine) -> dict[str, TensorReuse]:
    """What of each tensor's reuse the run achieved, by what it moved."""
    nest = run.nest
    levels = achieved(nest, run.counts) if run.counts else {}
    moved = {}
    for name, access in run.accesses.get(machine.dram_name, {}).items():
        width = next((tensor.width for tensor in nest.stage.tensors if tensor.name == name), 1)
        moved[name] = (access.read_bytes + access.write_bytes) // width
    return reuse(nest.stage, touched_words(nest.stage), levels, machine.dram_name, moved)


def _offline(stage: Stage, machine: Machine, dtype: str) -> StageResult:
    """Done once before inference: counted, not timed."""
    return StageResult(
        stage.name,
        "",
        stage.statement,
        "offline: counted, not timed",
        stage.operations,
        Cycles(),
        machine.clock_hz,
        machine.compute.peak_macs_per_cycle(dtype),
        {},
        machine.dram_name,
        {},
        {},
        offline=True,
    )
