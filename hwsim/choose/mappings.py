"""The best mapping of every layer: found by the mapper, run by the simulator."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape

from hwsim.algorithms import lower, whole_stages
from hwsim.choose.array_tiles import best_tiling, side_by_side
from hwsim.choose.core_blocks import best_blocks
from hwsim.choose.floors import least_by_objective
from hwsim.choose.kept import keep, kept, key_of
from hwsim.choose.layer import run_nest
from hwsim.choose.least import Least, least_of
from hwsim.choose.nests import MEASURES, NEAR, STEPS_TRIED, UNDERSTATED
from hwsim.describe.layer import Layer, MemoryLayer
from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.note import About
from hwsim.ir.stage import Stage
from hwsim.ir.stationary import steps_outside
from hwsim.ir.verify import verify_nest
from hwsim.parts.core import Core
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import StageResult
from hwsim.results.schemas import MappingDocument
from hwsim.rewrite.placement import Placement, keep_on_chip
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow, nests_of
from hwsim.schedule.mapper import Options, best_mapping
from hwsim.schedule.mapper.found import Found
from hwsim.timing import Surroundings
from hwsim.timing.layer_caches import implicit_chain
from hwsim.timing.physics import check_stage

Progress = Callable[[int, int], None]
Runner = Callable[[Nest], StageResult]

CLEARLY = 1.0001  # times better: a dataflow's nest takes the place of the mapper's
LEFT_OUT = "its space leaves out what a dataflow knows of"
MOST_MAPPINGS = 30_000_000  # bounded or evaluated for a stage where no time is given


@dataclass(frozen=True)
class MappedStage:
    """A stage's best mapping, and what the simulator makes of it.

    found: the best of the mapper's space, and its proof. flow: the dataflow whose nest was taken,
    as it simulates better; None where it is the mapper's own. kept: from an earlier search.
    """

    name: str
    layer: Layer
    found: Found
    nest: Nest
    flow: str | None
    simulated: StageResult
    kept: bool = False


@dataclass(frozen=True)
class Mappings:
    """The best mappings of a workload's layers.

    notes: what else is to know of them.
    """

    machine: Machine
    objective: str
    algorithm: str
    dtype: str
    stages: tuple[MappedStage, ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """One mapping in full, several as a table; at most 80 columns wide."""
        from hwsim.report.mapping import mapping_text

        return mapping_text(self.machine.name, self.objective, self.stages, self.notes)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text())}</pre>"

    def to_dict(self) -> MappingDocument:
        """The mappings as the JSON schema's document."""
        from hwsim.report.mapping import mapping_document

        return mapping_document(
            self.machine.name, self.objective, self.algorithm, self.dtype, self.stages, self.notes
        )

    @property
    def interrupted(self) -> bool:
        return any(stage.found.interrupted for stage in self.stages)

    def nest_file(self, machine: str | None = None) -> str:
        """A file of these nests for `hwsim run --nest`.

        machine: its name or path, when that is not its own name.
        """
        from hwsim.ir.nest_text import nest_text

        return nest_text(
            machine or self.machine.name,
            self.algorithm,
            self.dtype,
            [(stage.name, stage.layer, stage.nest) for stage in self.stages],
        )


def map_workload(
    network: Workload,
    machine: Machine,
    objective: str,
    algorithm: str,
    options: Options,
    seconds: float | None,
    progress: Progress | None,
) -> Mappings:
    """The best mapping of every layer that multiplies, equal layers once.

    Interrupted, what there is. Raises as hwsim.map_layers.
    """
    if options != Options() and (isinstance(machine.compute, Core) or side_by_side(machine)):
        what = "several arrays" if side_by_side(machine) else "no array to share"
        raise HwsimError(
            f"{machine.name} has {what} and no counts by convention; expected no "
            f"--one-dim-per-axis and no --convention"
        )
    if isinstance(machine.compute, StreamingMultiprocessor):
        raise HwsimError(
            f"no mapping space of {machine.name}, a GPU whose library picks kernels; expected "
            f"hwsim run --explain, which ranks them, or run --kernel"
        )
    found: list[MappedStage] = []
    seen: set[Layer] = set()
    for name, layer in network.layers.items():
        if layer in seen or isinstance(layer, MemoryLayer):
            continue
        seen.add(layer)
        stages, complete = _map_layer(
            name, layer, machine, objective, algorithm, options, seconds, progress
        )
        found += stages
        if not complete:
            break
    if not found:
        raise HwsimError(
            f"{network.name}: no layer that multiplies; expected a convolution or a product"
        )
    dtype = found[0].layer.dtype or machine.dtype
    names = {stage.layer: stage.name for stage in found}
    notes = _fallbacks(names, algorithm)
    return Mappings(machine, objective, algorithm, dtype, tuple(found), notes)


def _fallbacks(names: Mapping[Layer, str], algorithm: str) -> tuple[str, ...]:
    """Why the algorithm gave way, and on which layers."""
    of: dict[str, list[str]] = {}
    for layer, name in names.items():
        for note in lower(layer, algorithm).notes:
            if note.about is About.FALLBACK:
                of.setdefault(str(note), []).append(name)
    return tuple(f"{said} ({', '.join(layers)})" for said, layers in of.items())


def _map_layer(
    name: str,
    layer: Layer,
    machine: Machine,
    objective: str,
    algorithm: str,
    options: Options,
    seconds: float | None,
    progress: Progress | None,
) -> tuple[list[MappedStage], bool]:
    """A layer's stages mapped; False when interrupted."""
    plan = whole_stages(lower(layer, algorithm))
    online = [stage for stage in plan.stages if not stage.offline]
    placement = keep_on_chip(plan, machine)
    mapped: list[MappedStage] = []
    for stage in (replace(stage, dtype=layer.dtype) for stage in online):
        if stage.view is None:
            continue
        last = stage.name == online[-1].name
        key = key_of(stage, machine, objective, placement, options, last, seconds)
        before = kept(key)
        if isinstance(before, MappedStage):
            mapped.append(replace(before, name=name, layer=layer, kept=True))
            continue
        run = _runner(machine, stage, last)
        if isinstance(machine.compute, Core):
            found, result = best_blocks(
                stage, machine, objective, placement, run, seconds, progress
            )
            best = MappedStage(name, layer, found, found.nest, None, result)
        elif side_by_side(machine):
            found, flow, result = best_tiling(
                stage, machine, objective, placement, run, seconds, progress
            )
            best = MappedStage(name, layer, found, found.nest, flow, result)
        else:
            found = best_mapping(
                stage,
                machine,
                objective,
                placement=placement,
                options=options,
                seconds=seconds,
                progress=progress,
                workers=os.cpu_count() or 1,
                most=MOST_MAPPINGS if seconds is None else None,
            )
            best = _better_of_flows(name, layer, machine, found, placement, run)
        mapped.append(best)
        if best.found.interrupted:
            return mapped, False
        keep(key, best)
    return mapped, True


def _runner(machine: Machine, stage: Stage, last: bool) -> Runner:
    """Simulates a nest of a stage, from empty caches. last: the layer ends with it."""
    dtype = stage.dtype or machine.dtype

    def run(nest: Nest) -> StageResult:
        around = Surroundings(implicit_chain(machine, [stage]), last)
        return check_stage(run_nest(verify_nest(nest), machine, dtype, around), machine)

    return run


def _better_of_flows(
    name: str, layer: Layer, machine: Machine, found: Found, placement: Placement, run: Runner
) -> MappedStage:
    """The mapper's nest, or another where that is better once simulated.

    Others are the mapper's own runners-up, since bounds leave out waiting, and the dataflows'
    nests, since spaces leave out nests that they know of.
    """
    measure = MEASURES[found.objective]
    best = MappedStage(name, layer, found, found.nest, None, run(found.nest))
    so_far = measure(best.simulated)[0]
    rivals = [*_runners_up(found, machine)]
    seen = {found.nest.items, *(rival.nest.items for rival in rivals)}
    for flow in (DATAFLOWS[flow] for flow in sorted(DATAFLOWS)):
        rivals += _rivals(flow, found, machine, placement, so_far, seen)
    for rival in sorted(rivals, key=lambda rival: rival.least):
        if rival.least * CLEARLY >= so_far:
            break
        try:
            result = run(rival.nest)
        except HwsimError:
            continue  # it does not fit
        if measure(result)[0] * CLEARLY < so_far:
            so_far = measure(result)[0]
            best = MappedStage(name, layer, found, rival.nest, rival.flow, result)
    if so_far * CLEARLY < found.bound:
        least = least_by_objective(found.stage, machine, placement)[found.objective]
        beyond = replace(found, cost=so_far, bound=least, rest=LEFT_OUT)
        return replace(best, found=beyond)
    return best


@dataclass(frozen=True)
class _Rival:
    """A nest that may be better. least: what no simulation of it goes below."""

    least: float
    nest: Nest
    flow: str | None


def _runners_up(found: Found, machine: Machine) -> Iterator[_Rival]:
    for nest in found.runners_up:
        least = least_of(nest, machine, found.stage.dtype or machine.dtype)
        yield _Rival(least.by(found.objective), nest, None)


def _rivals(
    flow: Dataflow,
    found: Found,
    machine: Machine,
    placement: Placement,
    so_far: float,
    seen: set[tuple[Loop | Hold, ...]],
) -> list[_Rival]:
    """What a dataflow would simulate of the stage, but for what cannot be better.

    seen: loops and holds of the nests that there are already; it is kept up.
    """
    stage, objective, rivals, steps = found.stage, found.objective, list[_Rival](), 0
    if flow.refuses(stage, machine) is not None:
        return rivals
    try:
        ranked = nests_of(flow, stage, machine, placement, objective)
    except HwsimError:
        return rivals  # nothing of it fits
    for candidate in ranked:
        if candidate.estimate > NEAR * ranked[0].estimate or steps > STEPS_TRIED:
            break
        estimate = candidate.estimate * UNDERSTATED
        if Least(estimate, found.least_energy, estimate).by(objective) >= so_far:
            break
        try:
            nest = verify_nest(candidate.make())
        except HwsimError:
            continue
        if nest.items in seen:
            continue
        seen.add(nest.items)
        steps += steps_outside(nest)
        least = least_of(nest, machine, stage.dtype or machine.dtype)
        if objective in ("latency", "edp"):
            least = replace(least, cycles=max(least.cycles, estimate))
        rivals.append(_Rival(least.by(objective), nest, flow.name))
    return rivals
