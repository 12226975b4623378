"""One layer on one machine: its plan's stages scheduled, run in order, and checked against physics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from hwsim.count.analytic import touched_together, touched_words
from hwsim.count.reuse import TensorReuse, achieved, reuse
from hwsim.dataflows import Kept, Placement, applicable, held_width
from hwsim.energy.account import energy_by_tensor_pj, energy_pj
from hwsim.errors import HwsimError, TooLarge
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.verify import verify_nest, verify_stage
from hwsim.mapper import best_mapping, is_quick
from hwsim.parts.cache import Cache
from hwsim.parts.core import Core
from hwsim.parts.dram import Dram
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.parts.systolic import SystolicArray
from hwsim.sim.array import ArrayRun, run_on_array
from hwsim.sim.blocks import run_on_blocks
from hwsim.sim.cores import ImplicitRun, run_on_cores
from hwsim.sim.explicit import notes
from hwsim.sim.fused import blocks_of, together
from hwsim.sim.physics import check_layer, check_stage, power_note
from hwsim.sim.pruned import exploit
from hwsim.sim.result import Cycles, LayerResult, StageResult
from hwsim.sim.stream import AddressSpace, ImplicitChain
from hwsim.spec.layer import Layer
from hwsim.spec.machine import Machine, Role
from hwsim.units import size_text

MOST_MAPPINGS = 300_000  # bounded or evaluated for a stage before the best so far is taken
SOME_MAPPINGS = 30_000  # of a space that takes long to search
WAITS_LONG = 1.5  # times what the array or DRAM need at least


def simulate_layer(name: str, layer: Layer, plan: Plan, reference: Plan, machine: Machine, dataflow: str | None,
                   nests: Mapping[str, Nest] | None = None, timeline: bool = False) -> LayerResult:
    """Run a layer's plan; every layer starts with its data in DRAM and ends with its output there,
    but for what an explicit memory keeps.

    reference: the layer lowered directly, whose tensors are what must move at least once. nests: by stage, nests to run
    instead of what a dataflow or the mapper would schedule. timeline: keep when tiles moved and steps ran.
    """
    dtype = layer.dtype or machine.dtype
    if dtype not in machine.compute.dtypes:
        raise HwsimError(f"{machine.name} does not compute {dtype}; expected one of {', '.join(machine.compute.dtypes)}")
    plan, remarks = exploit(plan.with_dtype(dtype), layer, machine)
    reference, _ = exploit(reference.with_dtype(dtype), layer, machine)
    blocks, unfused = blocks_of(plan, machine)
    _fits_in_dram(blocks[0].plan, machine)
    chain = _implicit_chain(machine, [stage for block in blocks for stage in block.plan.stages if not stage.offline])
    runs = [_run_stages(block.plan, machine, dtype, dataflow, nests or {}, chain, block is blocks[-1], timeline) for block in blocks]
    number = sum(block.times for block in blocks)
    stages = [_offline(stage, machine, dtype) if stage.offline else
              together([(run[stage.name], block.times) for run, block in zip(runs, blocks, strict=True)], stage.operations, number)
              for stage in plan.stages]
    remarks += unfused
    remarks += [f"{dataflow} does not schedule {stage.name} here; {result.dataflow} instead"
                for stage, result in zip(plan.stages, stages, strict=True)
                if dataflow is not None and stage.view is not None and result.dataflow != dataflow.partition(":")[0]
                and stage.name not in (nests or {})]
    kept = frozenset(role for block in blocks for role in _kept_roles(block.plan, machine))
    compulsory = compulsory_of(reference, plan, tuple(sorted(kept)))
    result = LayerResult(name, layer.summary, plan.algorithm, tuple(stages), compulsory, tuple(remarks), layer.macs,
                         max(block.plan.workspace_bytes for block in blocks))
    too_much = power_note(result, machine)
    return check_layer(replace(result, notes=(*result.notes, too_much)) if too_much else result, machine)


def _run_stages(plan: Plan, machine: Machine, dtype: str, dataflow: str | None, nests: Mapping[str, Nest], chain: ImplicitChain | None,
                ends: bool, timeline: bool) -> dict[str, StageResult]:
    """Every timed stage of a plan, or of a fused plan's block, in order; ends: the layer ends with it."""
    online = [verify_stage(stage) for stage in plan.stages if not stage.offline]
    placement = keep_on_chip(plan, machine)
    results = {}
    for stage in online:
        def run(nest: Nest, last: bool = ends and stage is online[-1]) -> StageResult:
            return _run(nest, machine, dtype, chain, last, timeline)

        given = nests.get(stage.name)
        best = run(verify_nest(replace(given, stage=stage))) if given is not None else _run_best(stage, machine, placement, dataflow, run)
        results[stage.name] = check_stage(best, machine)
    return results


def _run_best(
    stage: Stage, machine: Machine, placement: Placement, dataflow: str | None, run: Callable[[Nest], StageResult]
) -> StageResult:
    """The stage under the named dataflow; without a name the sooner done of the rules' nest and the mapper's.

    The mapper bounds time by the busiest resource; what tiles and passes wait for only the simulation tells. On systolic
    arrays, where the rule is seldom beaten, it is asked only when the rule's tiles do not fit or wait long; where its space
    takes long to search, only when the rules' tiles do not fit.
    """
    ruled = _by_rule(stage, machine, placement, dataflow, run)
    asked = dataflow is None and not isinstance(ruled, TooLarge) and machine.management == "explicit" and stage.view is not None
    asked = asked and (is_quick(stage, machine) or isinstance(ruled, HwsimError))
    if asked and isinstance(machine.compute, SystolicArray) and isinstance(ruled, StageResult):
        asked = ruled.cycles.total > WAITS_LONG * max(ruled.cycles.compute, _least_dram_cycles(stage, machine))
    tried = [ruled, _attempt(lambda: run(verify_nest(_mapped(stage, machine, placement))))] if asked else [ruled]
    ran = [result for result in tried if isinstance(result, StageResult)]
    if not ran:
        raise next(error for error in tried if isinstance(error, HwsimError))
    return min(ran, key=lambda result: result.cycles.total)


def _by_rule(
    stage: Stage, machine: Machine, placement: Placement, dataflow: str | None, run: Callable[[Nest], StageResult]
) -> StageResult | HwsimError:
    """The first of the dataflows that apply whose nest fits, or what kept the first from fitting; a named one must fit."""
    tried: list[StageResult | HwsimError] = []
    for flow in applicable(stage, machine, dataflow):
        outcome = _attempt(lambda flow=flow: run(verify_nest(flow.schedule(stage, machine, placement))))  # type: ignore[misc]
        if isinstance(outcome, (StageResult, TooLarge)) or (dataflow is not None and flow.name == dataflow.partition(":")[0]):
            return outcome
        tried.append(outcome)
    return tried[0]


def _attempt(work: Callable[[], StageResult]) -> StageResult | HwsimError:
    try:
        return work()
    except HwsimError as error:
        return error


def _mapped(stage: Stage, machine: Machine, placement: Placement) -> Nest:
    most = MOST_MAPPINGS if is_quick(stage, machine) else SOME_MAPPINGS
    return best_mapping(stage, machine, "latency", placement=placement, workers=1, most=most).nest


def _least_dram_cycles(stage: Stage, machine: Machine) -> float:
    dram = machine.part(machine.dram_name, Dram)
    return sum(tensor.bytes for tensor in stage.tensors) / float(dram.bandwidth.bytes_per_cycle(machine.clock_hz))


def _fits_in_dram(plan: Plan, machine: Machine) -> None:
    sizes = {tensor.name: tensor.bytes for stage in plan.stages for tensor in stage.tensors if not tensor.part_of}
    capacity = machine.memories[machine.dram_name].capacity
    if sum(sizes.values()) > capacity:
        worst = max(sizes, key=lambda name: sizes[name])
        raise HwsimError(f"{machine.name}: the layer's tensors take {size_text(sum(sizes.values()))} of {machine.dram_name}, which has "
                         f"{size_text(capacity)}; most of it is {worst}")


def keep_on_chip(plan: Plan, machine: Machine) -> Placement:
    """What stays in the chip's explicit memories: temporaries and maps in its buffer, weights where they are kept.

    Temporaries stay when they take at most half of the buffer; what a memory keeps stays when it fits beside them.
    """
    buffer = next(iter(machine.chain("activation")[1:]), "")
    kept = [_kept_in(name, part, plan, machine, plan.temporaries if name == buffer else ())
            for name, part in machine.memories.items() if isinstance(part, Scratchpad) and part.per == "chip"]
    return Placement(tuple(each for each in kept if each is not None))


def _kept_in(name: str, part: Scratchpad, plan: Plan, machine: Machine, temporaries: tuple[str, ...]) -> Kept | None:
    """The tensors of a plan that stay in one memory; temporaries: those that may, as the chip's buffer holds outputs."""
    passing = temporaries if "output" in part.roles else ()
    written = {stage.output.buffer for stage in plan.stages if not stage.offline} & set(plan.temporaries)
    sizes: dict[str, int] = {}
    for stage in plan.stages:
        for tensor in stage.tensors:
            if not stage.offline and (tensor.buffer in passing or (tensor.role in part.keeps and tensor.buffer not in written)):
                size = tensor.elements * held_width(machine, stage, tensor)
                sizes[tensor.buffer] = max(size, sizes.get(tensor.buffer, 0))
    between = {tensor: size for tensor, size in sizes.items() if tensor in passing}
    if sum(between.values()) > part.capacity // 2:
        return None
    if sum(sizes.values()) > part.capacity:
        sizes = between
    return Kept(name, frozenset(sizes), sum(sizes.values())) if sizes else None


def _kept_roles(plan: Plan, machine: Machine) -> frozenset[Role]:
    """Of tensors that come and go, the roles of those that stay on the chip."""
    resident = keep_on_chip(plan, machine).resident - set(plan.temporaries)
    return frozenset(tensor.role for stage in plan.stages for tensor in stage.tensors if tensor.buffer in resident)


def compulsory_of(reference: Plan, plan: Plan, kept: tuple[str, ...] = ()) -> int:
    """What a layer must move whatever its algorithm: the feature maps of its direct plan, and the weights of that or of its own.

    Factors may be smaller than the filters that they stand for; maps are what the layer is given and gives.
    """
    weights = min(compulsory_bytes(each, (*kept, "activation", "output")) for each in (reference, plan))
    return weights + compulsory_bytes(reference, (*kept, "weight"))


@lru_cache(maxsize=4096)
def compulsory_bytes(plan: Plan, kept: tuple[str, ...] = ()) -> int:
    """Every distinct word that comes or goes, once; kept: roles of tensors that are left out, as they stay on the chip."""
    stages = tuple(stage for stage in plan.stages if not stage.offline)
    widths = {tensor.name: tensor.width for stage in stages for tensor in stage.tensors
              if tensor.buffer not in plan.temporaries and tensor.role not in kept}
    words = touched_together(stages, widths)
    coded = {tensor.buffer: tensor.coded for stage in stages for tensor in stage.tensors}
    return sum(int(words[name] * width * coded[name]) for name, width in widths.items())


def _implicit_chain(machine: Machine, stages: list[Stage]) -> ImplicitChain | None:
    caches = [(name, part) for name in machine.chain("activation")[::-1] if isinstance(part := machine.parts[name], Cache)]
    if not caches:
        return None
    units = machine.compute.cores if isinstance(machine.compute, Core) else 1
    return ImplicitChain(caches, units, AddressSpace(stages))


def _run(nest: Nest, machine: Machine, dtype: str, chain: ImplicitChain | None, last: bool, timeline: bool) -> StageResult:
    run: ArrayRun | ImplicitRun
    if chain is None:
        run = run_on_array(nest, machine, dtype)
        nest = run.nest
    elif isinstance(machine.compute, StreamingMultiprocessor):
        run = run_on_blocks(nest, machine, dtype, chain, last)
    else:
        run = run_on_cores(nest, machine, dtype, chain, last)
    bytes_moved = {part: {tensor: access.read_bytes + access.write_bytes for tensor, access in tensors.items()}
                   for part, tensors in run.accesses.items()}
    _gate_filter_reads(bytes_moved, nest, machine, run)
    moved = {part: sum(tensors.values()) for part, tensors in bytes_moved.items()}
    beside = notes(machine, nest, run.counts, accumulator_bytes(machine)) if isinstance(run, ArrayRun) else {}
    return StageResult(
        nest.stage.name, nest.dataflow, nest.text(beside), run.fidelity, nest.stage.operations, run.cycles, machine.clock_hz,
        machine.compute.peak_macs_per_cycle(dtype), run.accesses, machine.dram_name, run.footprint,
        energy_pj(machine, dtype, nest.stage.operations, moved), sampling=getattr(run, "sampling", None),
        reuse=_reuse(nest, machine, run), energy_by_tensor_pj=energy_by_tensor_pj(machine, bytes_moved),
        timeline=run.played.timeline if timeline and isinstance(run, ArrayRun) else None)


def _gate_filter_reads(moved: dict[str, dict[str, int]], nest: Nest, machine: Machine, run: ArrayRun | ImplicitRun) -> None:
    """Where PEs gate zeros, filters are read from a PE's scratchpad only for products that switch the multiplier."""
    operations = nest.stage.operations
    if getattr(machine.compute, "zeros", "multiplied") != "gating" or not operations.multiplies:
        return
    idle = 1 - operations.effectual_multiplies / operations.multiplies
    for tensor in nest.stage.tensors:
        for part, rows in moved.items():
            if tensor.role == "weight" and tensor.buffer in rows and getattr(machine.memories[part], "per", "chip") == "pe":
                rows[tensor.buffer] -= int(run.accesses[part][tensor.buffer].read_bytes * idle)


def _reuse(nest: Nest, machine: Machine, run: ArrayRun | ImplicitRun) -> dict[str, TensorReuse]:
    """What of each tensor's reuse the run achieved, by what it moved."""
    levels = achieved(nest, run.counts) if isinstance(run, ArrayRun) else {}
    moved = {}
    for name, access in run.accesses.get(machine.dram_name, {}).items():
        width = next((tensor.width for tensor in nest.stage.tensors if tensor.name == name), 1)
        moved[name] = (access.read_bytes + access.write_bytes) // width
    return reuse(nest.stage, touched_words(nest.stage), levels, machine.dram_name, moved)


def accumulator_bytes(machine: Machine) -> int:
    """The width at which the machine's array keeps partial sums."""
    return int(getattr(machine.compute, "accumulator_bytes", 1))


def _offline(stage: Stage, machine: Machine, dtype: str) -> StageResult:
    """Done once before inference: counted, not timed."""
    return StageResult(stage.name, "", stage.statement, "offline: counted, not timed", stage.operations, Cycles(), machine.clock_hz,
                       machine.compute.peak_macs_per_cycle(dtype), {}, machine.dram_name, {}, {}, offline=True)
