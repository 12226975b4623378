"""One layer on one machine: its plan's stages scheduled, run in order, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from hwsim.choose.copies import on_better_copies
from hwsim.choose.floors import least_by_objective
from hwsim.choose.kernels import LIBRARY, layouts, runs_kernels
from hwsim.choose.nests import Choice, best_nest_run
from hwsim.choose.objectives import OBJECTIVES
from hwsim.choose.packing import with_packing
from hwsim.count.closed_form import touched_words
from hwsim.count.compulsory import compulsory_of
from hwsim.count.reuse import achieved, reuse
from hwsim.describe.layer import Layer
from hwsim.describe.machine import Machine
from hwsim.describe.units import size_text
from hwsim.energy.moved import energy_moved
from hwsim.errors import Beaten, HwsimError
from hwsim.ir.nest import Nest
from hwsim.ir.note import About, Note
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.verify import verify_nest, verify_stage
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import Cycles, LayerResult, StageResult, longer_at_most
from hwsim.results.reuse import TensorReuse
from hwsim.rewrite.fusion import Block, blocks_of, together
from hwsim.rewrite.gpu_library import as_library_runs
from hwsim.rewrite.placement import Placement, keep_on_chip, kept_roles
from hwsim.rewrite.residency import NOTHING, Residency, maps_of
from hwsim.rewrite.sparsity import exploit
from hwsim.schedule.dataflows.library_kernel import runs_library
from hwsim.timing import TIMINGS, Run, Surroundings
from hwsim.timing.explicit.accesses import comments
from hwsim.timing.layer_caches import implicit_chain, l2_in_closed_form
from hwsim.timing.physics import check_layer, check_stage, power_note

if TYPE_CHECKING:
    from hwsim.timing.caches.chain import ImplicitChain
    from hwsim.timing.gpu.l2 import L2Buffers


PLAIN = Choice()


def simulate_layer(
    layer: Layer,
    plan: Plan,
    reference: Plan,
    machine: Machine,
    choice: Choice = PLAIN,
    nests: Mapping[str, Nest] | None = None,
    planned: Machine | None = None,
    residency: Residency = NOTHING,
) -> LayerResult:
    """Run a layer's plan, from its data in DRAM to its output there. The result has no name yet.

    What an explicit memory keeps need not come from there, or go.

    reference: the layer lowered directly, whose tensors are what must move at least once. nests: by
    stage, nests to run instead of what a dataflow or the mapper would schedule. planned: a
    machine for which quick schedules are made; None for the best ones. residency: what a GPU's L2
    has of the layer's maps.
    """
    dtype = _dtype(layer, machine)
    reference, _ = exploit(reference.with_dtype(dtype), layer, machine)
    _fits_in_dram(reference, machine)
    asked, remarks = exploit(plan.with_dtype(dtype), layer, machine)
    plan, *others = [
        with_packing(laid, machine, choice.dataflow)
        for laid in layouts(as_library_runs(asked, machine), layer, machine)
    ]
    under = _Conditions(machine, dtype, choice, nests or {}, planned, residency)
    about = _About(layer, asked, reference, tuple(remarks))
    tried = [_simulate_plan(plan, about, under)]
    if nests or choice.dataflow:
        return tried[0]
    copied = on_better_copies(plan, machine, tried[0])
    for other in (*others, *([copied] if copied is not None else [])):
        with suppress(HwsimError):  # the copies do not fit the DRAM, or take too long
            tried.append(_simulate_plan(other, about, under))
    measure = OBJECTIVES[choice.objective].measure
    return min(tried, key=lambda result: (measure(result), result.seconds))


# beyond these, all sets of caches are walked instead of a sample
MOST_OFF = 0.5  # of a stage's lines
MOST_LONGER = 0.1  # of a layer's time


@dataclass(frozen=True)
class _Conditions:
    """Where and how a layer's stages run."""

    machine: Machine
    dtype: str
    choice: Choice
    nests: Mapping[str, Nest]
    planned: Machine | None
    residency: Residency


@dataclass(frozen=True)
class _About:
    """A layer, its plan as it was asked for and as it is lowered directly, what is to be said."""

    layer: Layer
    asked: Plan
    reference: Plan
    remarks: tuple[Note, ...]


def _simulate_plan(plan: Plan, about: _About, under: _Conditions) -> LayerResult:
    """A plan's stages in order, from empty caches on.

    Where a sample of the caches' sets was asked for, but they differ too much, all are walked.
    """
    machine, residency = under.machine, under.residency
    blocks, unfused = blocks_of(plan, machine)
    _fits_in_dram(blocks[0].plan, machine)
    runs = _run_blocks(blocks, under)
    if _is_unsure(runs):
        whole = replace(under.choice, sampled=False)
        runs = _run_blocks(blocks, replace(under, choice=whole))
    stages = _put_together(plan, about.asked, blocks, runs, under)
    kept = tuple(sorted({role for block in blocks for role in kept_roles(block.plan, machine)}))
    result = LayerResult(
        "",
        about.layer.summary,
        plan.algorithm,
        stages,
        compulsory_of(about.reference, plan, kept, residency.inputs, residency.output),
        (
            *about.remarks,
            *plan.notes[len(about.asked.notes) :],
            *unfused,
            *_not_scheduled(plan, stages, under),
            *_without_kernels(plan, stages, under),
        ),
        about.layer.macs,
        max(block.plan.workspace_bytes for block in blocks),
    )
    too_much = power_note(result, machine)
    return check_layer(
        replace(result, notes=(*result.notes, too_much)) if too_much else result, machine
    )


def _run_blocks(blocks: Sequence[Block], under: _Conditions) -> list[dict[str, StageResult]]:
    """The stages of all blocks, one block after another, with caches that they share."""
    caches = _caches(blocks, under)
    runs, left = [], under.choice.most_cycles
    for block in blocks:
        within = replace(under.choice, most_cycles=left / block.times)
        run = _run_stages(block.plan, replace(under, choice=within), caches, block is blocks[-1])
        left -= block.times * sum(stage.cycles.total for stage in run.values())
        runs.append(run)
    return runs


def _is_unsure(runs: Sequence[Mapping[str, StageResult]]) -> bool:
    """May lines of a stage, or time, be too far off where sets of caches were sampled?"""
    stages = [stage for run in runs for stage in run.values()]
    samples = [stage.sampling for stage in stages if stage.sampling is not None]
    off = max((sample.error for sample in samples if sample.of == "sets"), default=0.0)
    return off > MOST_OFF or longer_at_most(stages) > MOST_LONGER


def _dtype(layer: Layer, machine: Machine) -> str:
    dtype = layer.dtype or machine.dtype
    if dtype not in machine.compute.dtypes:
        raise HwsimError(
            f"{machine.name} does not compute {dtype}; expected one of "
            f"{', '.join(machine.compute.dtypes)}"
        )
    return dtype


def _caches(blocks: Sequence[Block], under: _Conditions) -> ImplicitChain | L2Buffers | None:
    """The caches that the stages of all blocks share, empty but for what is resident."""
    machine, choice, residency = under.machine, under.choice, under.residency
    timed = [stage for block in blocks for stage in block.plan.stages if not stage.offline]
    walked = choice.patient or choice.by_kind
    plain = runs_library(choice.dataflow) and not under.nests and not walked
    formula = l2_in_closed_form(machine, timed, plain)
    found = formula or implicit_chain(machine, timed, choice.by_kind, choice.sampled)
    if found is not None and residency != NOTHING:
        found.begin_with(*maps_of(timed, residency))
    return found


def _run_stages(
    plan: Plan, under: _Conditions, caches: ImplicitChain | L2Buffers | None, ends: bool
) -> dict[str, StageResult]:
    """Every timed stage of a plan, or of a fused plan's block, in order.

    ends: the layer ends with it.

    Raises Beaten where the stages so far, and the least of those to come, take too long.
    """
    machine = under.machine
    online = [verify_stage(stage) for stage in plan.stages if not stage.offline]
    placement = keep_on_chip(plan, machine)
    results: dict[str, StageResult] = {}
    for number, stage in enumerate(online):
        choice = _with_what_is_left(under, results, online[number + 1 :], placement)

        def run(nest: Nest, last: bool = ends and stage is online[-1]) -> StageResult:
            around = Surroundings(caches, last, under.choice.patient)
            return run_nest(nest, machine, under.dtype, around, under.choice.timeline)

        given = under.nests.get(stage.name)
        best = (
            run(verify_nest(replace(given, stage=stage)))
            if given is not None
            else best_nest_run(stage, machine, placement, choice, run, under.planned)
        )
        results[stage.name] = check_stage(best, machine)
    return results


def _with_what_is_left(
    under: _Conditions,
    results: Mapping[str, StageResult],
    to_come: Sequence[Stage],
    placement: Placement,
) -> Choice:
    """The choice with the cycles that are left for a stage. Raises Beaten where none are."""
    choice, machine = under.choice, under.machine
    if choice.most_cycles == inf:
        return choice
    spent = sum(result.cycles.total for result in results.values())
    spent += sum(least_by_objective(stage, machine, placement)["latency"] for stage in to_come)
    if spent >= choice.most_cycles:
        raise Beaten("it takes longer than what was tried before")
    return replace(choice, most_cycles=choice.most_cycles - spent)


def _put_together(
    plan: Plan,
    asked: Plan,
    blocks: Sequence[Block],
    runs: Sequence[Mapping[str, StageResult]],
    under: _Conditions,
) -> tuple[StageResult, ...]:
    """Every stage's result over all blocks.

    The plan as it was asked for says how many operations were needed.
    """
    needed = {stage.name: stage.operations for stage in asked.stages}
    number = sum(block.times for block in blocks)
    return tuple(
        _offline(stage, under.machine, under.dtype)
        if stage.offline
        else together(
            [(run[stage.name], block.times) for run, block in zip(runs, blocks, strict=True)],
            needed.get(stage.name, stage.operations),
            number,
        )
        for stage in plan.stages
    )


def _not_scheduled(plan: Plan, stages: Sequence[StageResult], under: _Conditions) -> list[Note]:
    """What is to be said of stages that another dataflow ran than was asked for."""
    dataflow = under.choice.dataflow
    if dataflow is None:
        return []
    return [
        Note(
            f"{dataflow} does not schedule {stage.name} here; {result.dataflow} instead",
            About.DATAFLOW,
        )
        for stage, result in zip(plan.stages, stages, strict=True)
        if stage.view is not None
        and result.dataflow != dataflow.partition(":")[0]
        and stage.name not in under.nests
    ]


def _without_kernels(plan: Plan, stages: Sequence[StageResult], under: _Conditions) -> list[Note]:
    """What is to be said of products that a GPU's library has no kernel for.

    It has none in their data type, or none for how their rows are aligned.
    """
    machine, sm = under.machine, under.machine.compute
    if not isinstance(sm, StreamingMultiprocessor) or sm.library is None or under.choice.dataflow:
        return []
    none = f"{sm.library.name} has no kernel in {under.dtype}, or none for how rows lie, for"
    return [
        Note(
            f"{LIBRARY.refuses(stage, machine) or f'{none} {stage.name}'}; {result.dataflow} runs",
            About.LIBRARY,
        )
        for stage, result in zip(plan.stages, stages, strict=True)
        if stage.view is not None
        and not stage.offline
        and stage.name not in under.nests
        and not runs_kernels(stage, machine)
    ]


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


def run_nest(
    nest: Nest, machine: Machine, dtype: str, around: Surroundings, timeline: bool = False
) -> StageResult:
    """A stage's nest timed, and what it moved as energy and reuse.

    Raises HwsimError where the timing refuses it.
    """
    timing = TIMINGS[machine.compute.timing]
    refusal = timing.refuses(nest, machine)
    if refusal is not None:
        raise HwsimError(f"{machine.name}: {nest.stage.name}: {refusal}")
    run = timing.run(nest, machine, dtype, around)
    stage, operations = run.nest.stage, run.nest.stage.operations
    energy, energy_by_tensor = energy_moved(run.nest, machine, dtype, run.accesses)
    beside = (
        comments(machine, run.nest, run.counts, machine.compute.accumulator_bytes)
        if run.counts
        else {}
    )
    return StageResult(
        stage.name,
        dataflow=nest.dataflow,
        nest=run.nest.text(beside),
        fidelity=run.fidelity,
        operations=operations,
        cycles=run.cycles,
        clock_hz=machine.clock_hz,
        peak_macs_per_cycle=machine.compute.peak_macs_per_cycle(dtype),
        accesses=run.accesses,
        dram=machine.dram_name,
        footprint_bytes=run.footprint,
        energy_pj=energy,
        sampling=run.sampling,
        reuse=_reuse(run, machine),
        energy_by_tensor_pj=energy_by_tensor,
        timeline=run.timeline if timeline else None,
        lines=run.lines,
    )


def _reuse(run: Run, machine: Machine) -> dict[str, TensorReuse]:
    """What of each tensor's reuse the run achieved, by what it moved."""
    nest = run.nest
    levels = achieved(nest, run.counts) if run.counts else {}
    moved = {}
    for name, access in run.accesses.get(machine.dram_name, {}).items():
        width = next((tensor.width for tensor in nest.stage.tensors if tensor.name == name), 1)
        moved[name] = int((access.read_bytes + access.write_bytes) // width)
    return reuse(nest.stage, touched_words(nest.stage), levels, machine.dram_name, moved)


def _offline(stage: Stage, machine: Machine, dtype: str) -> StageResult:
    """Done once before inference: counted, not timed."""
    return StageResult(
        stage.name,
        dataflow="",
        nest=stage.statement,
        fidelity="offline: counted, not timed",
        operations=stage.operations,
        cycles=Cycles(),
        clock_hz=machine.clock_hz,
        peak_macs_per_cycle=machine.compute.peak_macs_per_cycle(dtype),
        accesses={},
        dram=machine.dram_name,
        footprint_bytes={},
        energy_pj={},
        offline=True,
    )
