"""One layer on one machine: its plan's stages scheduled, run in order, and checked against physics."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from hwsim.count.analytic import count
from hwsim.dataflows import Placement, held_width, schedule
from hwsim.energy.account import energy_pj
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.verify import verify_nest, verify_stage
from hwsim.parts.cache import Cache
from hwsim.parts.core import Core
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.sim.array import ArrayRun, run_on_array
from hwsim.sim.blocks import run_on_blocks
from hwsim.sim.cores import ImplicitRun, run_on_cores
from hwsim.sim.physics import check_layer, check_stage
from hwsim.sim.result import Cycles, LayerResult, StageResult
from hwsim.sim.stream import AddressSpace, ImplicitChain
from hwsim.spec.layer import Layer
from hwsim.spec.machine import Machine
from hwsim.units import size_text


def simulate_layer(name: str, layer: Layer, plan: Plan, reference: Plan, machine: Machine, dataflow: str | None) -> LayerResult:
    """Run a layer's plan; every layer starts with its data in DRAM and ends with its output there.

    reference: the layer lowered directly, whose tensors are what must move at least once.
    """
    dtype = layer.dtype or machine.dtype
    if dtype not in machine.compute.dtypes:
        raise HwsimError(f"{machine.name} does not compute {dtype}; expected one of {', '.join(machine.compute.dtypes)}")
    plan = replace(plan, stages=tuple(replace(stage, dtype=dtype) for stage in plan.stages))
    _fits_in_dram(plan, machine)
    online = [verify_stage(stage) for stage in plan.stages if not stage.offline]
    placement = keep_on_chip(plan, machine)
    chain = _implicit_chain(machine, online)
    stages, notes = [], list(plan.notes)
    for stage in plan.stages:
        if stage.offline:
            stages.append(_offline(stage, machine, dtype))
            continue
        nest = verify_nest(schedule(stage, machine, placement, dataflow))
        if dataflow is not None and nest.dataflow != dataflow and stage.view is not None:
            notes.append(f"{dataflow} does not schedule {stage.name} here; {nest.dataflow} instead")
        last = stage is online[-1]
        stages.append(check_stage(_run(nest, machine, dtype, chain, last), machine))
    result = LayerResult(name, layer.summary, plan.algorithm, tuple(stages), compulsory_bytes(reference), tuple(notes), layer.macs)
    return check_layer(result, machine)


def _fits_in_dram(plan: Plan, machine: Machine) -> None:
    sizes = {tensor.name: tensor.bytes for stage in plan.stages for tensor in stage.tensors}
    capacity = machine.memories[machine.dram_name].capacity
    if sum(sizes.values()) > capacity:
        worst = max(sizes, key=lambda name: sizes[name])
        raise HwsimError(f"{machine.name}: the layer's tensors take {size_text(sum(sizes.values()))} of {machine.dram_name}, which has "
                         f"{size_text(capacity)}; most of it is {worst}")


def keep_on_chip(plan: Plan, machine: Machine) -> Placement:
    """Temporaries stay in the chip's explicit buffer when together they take at most half of it."""
    chain = machine.chain("activation")
    part = machine.parts[chain[1]] if len(chain) > 1 else None
    if not isinstance(part, Scratchpad) or part.per != "chip" or "output" not in part.roles:
        return Placement()
    sizes: dict[str, int] = {}
    for stage in plan.stages:
        for tensor in stage.tensors:
            if tensor.name in plan.temporaries:
                size = tensor.elements * held_width(machine, stage, tensor)
                sizes[tensor.name] = max(size, sizes.get(tensor.name, 0))
    total = sum(sizes.values())
    return Placement(chain[1], frozenset(sizes), total) if 0 < total <= part.capacity // 2 else Placement()


@lru_cache(maxsize=1024)
def compulsory_bytes(reference: Plan) -> int:
    """Every distinct word that the layer's loops touch, once."""
    total = 0
    for stage in reference.stages:
        hold = Hold("dram", tuple(tensor.name for tensor in stage.tensors))
        whole = Nest(stage, (hold, *(Loop(dim, 1) for dim, bound in stage.bounds if bound > 1)))
        counts = count(whole)
        total += sum(counts.of("dram", tensor.name).peak * tensor.width for tensor in stage.tensors)
    return total


def _implicit_chain(machine: Machine, stages: list[Stage]) -> ImplicitChain | None:
    caches = [(name, part) for name in machine.chain("activation")[::-1] if isinstance(part := machine.parts[name], Cache)]
    if not caches:
        return None
    units = machine.compute.cores if isinstance(machine.compute, Core) else 1
    return ImplicitChain(caches, units, AddressSpace(stages))


def _run(nest: Nest, machine: Machine, dtype: str, chain: ImplicitChain | None, last: bool) -> StageResult:
    run: ArrayRun | ImplicitRun
    if chain is None:
        run = run_on_array(nest, machine, dtype)
    elif isinstance(machine.compute, StreamingMultiprocessor):
        run = run_on_blocks(nest, machine, dtype, chain, last)
    else:
        run = run_on_cores(nest, machine, dtype, chain, last)
    moved = {part: sum(access.read_bytes + access.write_bytes for access in tensors.values())
             for part, tensors in run.accesses.items()}
    return StageResult(
        nest.stage.name, nest.dataflow, nest.text(), run.fidelity, nest.stage.operations, run.cycles, machine.clock_hz,
        machine.compute.peak_macs_per_cycle(dtype), run.accesses, machine.dram_name, run.footprint,
        energy_pj(machine, dtype, nest.stage.operations, moved), sampling=getattr(run, "sampling", None))


def _offline(stage: Stage, machine: Machine, dtype: str) -> StageResult:
    """Done once before inference: counted, not timed."""
    return StageResult(stage.name, "", stage.statement, "offline: counted, not timed", stage.operations, Cycles(), machine.clock_hz,
                       machine.compute.peak_macs_per_cycle(dtype), {}, machine.dram_name, {}, {}, offline=True)
