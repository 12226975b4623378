"""The pipeline on one page: a workload and a machine in, a result out.

    machine  = load_machine("h200")
    workload = load_workload("vgg16", batch=1)
    result   = simulate(workload, machine, algorithm="winograd-f4")
    table    = compare(workload, ["xeon-8380", "h200", "tpu-v1"], algorithms=["direct", "im2col"])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hwsim.algorithms import AUTO, FALLBACK, MEMORY_BOUND, find_algorithm, lower
from hwsim.choose import OBJECTIVES, best_of, candidates, cannot_win
from hwsim.dataflows import find_dataflow
from hwsim.energy.account import assumed_text
from hwsim.errors import HwsimError, UnknownName, nearest
from hwsim.ir.stage import Plan, Stage
from hwsim.mapper import Options, best_mapping
from hwsim.parts.scratchpad import Scratchpad
from hwsim.sim.layer import keep_on_chip, simulate_layer
from hwsim.sim.result import LayerResult, Result, StageResult
from hwsim.spec.layer import DENSE, ElementwiseLayer, Layer, PoolLayer
from hwsim.spec.machine import Machine, load_machine
from hwsim.spec.workload import Workload, find_workload, single
from hwsim.units import DTYPE_BYTES, size_text

if TYPE_CHECKING:
    from hwsim.mapper.search import Found

DIRECT = "direct"
CONVENTIONS = ("exact", "timeloop")

Progress = Callable[[int, int], None]


def simulate(workload: Workload | Layer | str, machine: Machine | str | Path, algorithm: str = AUTO, *,
             objective: str = "latency", dataflow: str | None = None, dtype: str | None = None,
             progress: Progress | None = None, timeline: bool = False) -> Result:
    """Run a workload (or one layer) on a machine; every layer begins and ends in DRAM, or where the chip keeps its maps.

    algorithm: a name, or 'auto' for the best that applies to each layer by the objective: latency, energy, multiplies or
    dram, ties going to the faster. dtype: the machine's own when None.
    timeline: keep when every tile moved and step ran (hwsim.report.trace).
    progress(done, all) is called as simulations finish. Raises HwsimError (UnknownName, ConfigError) for what the
    user can put right, PhysicsError for a result that no machine could produce.
    """
    machine = machine if isinstance(machine, Machine) else load_machine(machine)
    job = Job(as_workload(workload), machine, algorithm, dataflow, dtype, objective, timeline)
    return run_jobs([job], progress)[0]


def compare(workload: Workload | Layer | str, machines: Sequence[Machine | str | Path], algorithms: Sequence[str], *,
            dtype: str | None = None, progress: Progress | None = None) -> Comparison:
    """Every algorithm on every machine, in that order. Raises as `simulate` does."""
    network = as_workload(workload)
    loaded = [machine if isinstance(machine, Machine) else load_machine(machine) for machine in machines]
    jobs = [Job(network, machine, algorithm, None, dtype) for machine in loaded for algorithm in algorithms]
    return Comparison(network, tuple(loaded), tuple(algorithms), tuple(run_jobs(jobs, progress)))


def map_layers(workload: Workload | Layer | str, machine: Machine | str | Path, objective: str = "edp", *, algorithm: str = DIRECT,
               dtype: str | None = None, mixed: bool = True, convention: Literal["exact", "timeloop"] = "exact",
               seconds: float | None = None, progress: Progress | None = None) -> Mappings:
    """The best mapping of every layer that multiplies, equal layers once; see docs/mapping.md for the space and the proof.

    objective: latency, energy, edp or dram. mixed: several dims may share an axis of the array. convention: 'timeloop'
    leaves out of the cost what Timeloop does. Zeros are multiplied: layers are mapped as dense ones. seconds: for each
    stage, after which the best so far is taken and its gap stated. Interrupted, it returns what it has. Raises as
    `simulate` does.
    """
    _whole_stages(algorithm)
    if convention not in CONVENTIONS:
        raise UnknownName("convention", convention, CONVENTIONS)
    machine = machine if isinstance(machine, Machine) else load_machine(machine)
    network = Job(as_workload(workload).with_density(DENSE), machine, algorithm, None, dtype).layers()
    found: list[MappedStage] = []
    seen: set[Layer] = set()
    for name, layer in network.layers.items():
        if layer in seen or isinstance(layer, (PoolLayer, ElementwiseLayer)):
            continue
        seen.add(layer)
        stages, complete = _map_layer(name, layer, machine, objective, algorithm, Options(mixed, convention), seconds, progress)
        found += stages
        if not complete:
            break
    if not found:
        raise HwsimError(f"{network.name}: no layer that multiplies; expected a convolution or a product")
    return Mappings(machine, objective, algorithm, found[0].layer.dtype or machine.dtype, tuple(found))


def _map_layer(name: str, layer: Layer, machine: Machine, objective: str, algorithm: str, options: Options, seconds: float | None,
               progress: Progress | None) -> tuple[list[MappedStage], bool]:
    """A layer's stages mapped and then simulated; False when interrupted."""
    plan = lower(layer, algorithm)
    reference = lower(layer, DIRECT)
    stages = [replace(stage, dtype=layer.dtype) for stage in plan.stages if not stage.offline and stage.view is not None]
    found = {}
    for stage in stages:
        found[stage.name] = best_mapping(stage, machine, objective, placement=keep_on_chip(plan, machine), options=options,
                                         seconds=seconds, progress=progress, workers=os.cpu_count() or 1)
        if found[stage.name].interrupted:
            break
    result = simulate_layer(name, layer, plan, reference, machine, None, {stage: best.nest for stage, best in found.items()})
    simulated = {stage.name: stage for stage in result.stages}
    complete = len(found) == len(stages) and not any(best.interrupted for best in found.values())
    return [MappedStage(name, layer, best, simulated[stage]) for stage, best in found.items()], complete


def _whole_stages(name: str) -> None:
    """Raises as find_algorithm does, and for an algorithm whose stages run in blocks."""
    if find_algorithm(name).name.endswith("-fused"):
        raise HwsimError(f"algorithm {name!r} runs its stages block by block; expected one whose nests are of whole stages")


def run_nests(path: str | Path, progress: Progress | None = None) -> Result:
    """Simulate the nests of a file (docs/mapping.md). Raises ConfigError for what is wrong in it, at its line."""
    from hwsim.ir.nestfile import bind, load_nests

    file, document = load_nests(path)
    _whole_stages(file.algorithm)
    machine = load_machine(file.machine)
    if machine.management != "explicit":
        raise HwsimError(f"{path}: {machine.name} has caches; expected a machine whose memories are all explicit")
    layers = {entry.layer: entry.shape.layer(file.dtype) for entry in file.nests}
    job = Job(Workload(Path(path).stem, layers), machine, file.algorithm, None, file.dtype)
    job.layers()
    done = []
    for name, layer in layers.items():
        plan = lower(layer, file.algorithm)
        stages = {stage.name: replace(stage, dtype=file.dtype) for stage in plan.stages}
        nests = {}
        for number, entry in enumerate(file.nests):
            if entry.layer == name:
                if entry.stage not in stages:
                    document.fault(f"nests[{number}].stage", f"no stage {entry.stage!r} of {file.algorithm}{nearest(entry.stage, stages)}; "
                                                             f"expected one of {', '.join(stages)}")
                    document.check()
                nests[entry.stage] = bind(file, number, stages[entry.stage], machine, document)
        try:
            done.append(simulate_layer(name, layer, plan, lower(layer, DIRECT), machine, None, nests))
        except HwsimError as error:
            raise HwsimError(f"{path}: {name}: {error}") from None
        if progress is not None:
            progress(len(done), len(layers))
    return _gather(job, tuple(done))


def as_workload(workload: Workload | Layer | str) -> Workload:
    """A shipped name or path is loaded, a single layer wrapped."""
    if isinstance(workload, Workload):
        return workload
    return find_workload(workload) if isinstance(workload, str) else single(workload)


@dataclass(frozen=True)
class Job:
    """A workload on a machine under an algorithm."""

    workload: Workload
    machine: Machine
    algorithm: str
    dataflow: str | None
    dtype: str | None
    objective: str = "latency"
    timeline: bool = False

    def layers(self) -> Workload:
        """The workload in the data type of the run, checked. Raises HwsimError for a type the machine lacks."""
        dtype = self.dtype or self._stated() or self.machine.dtype
        if dtype not in DTYPE_BYTES or dtype not in self.machine.compute.dtypes:
            raise HwsimError(f"{self.machine.name} does not compute {dtype!r}; expected one of "
                             f"{', '.join(self.machine.compute.dtypes)}")
        if self.algorithm != AUTO:
            find_algorithm(self.algorithm)
        if self.objective not in OBJECTIVES:
            raise UnknownName("objective", self.objective, OBJECTIVES)
        if self.dataflow is not None:
            find_dataflow(self.dataflow)
            if ":" in self.dataflow and self.algorithm == AUTO:
                raise HwsimError(f"dataflow {self.dataflow} fixes the mapping of one algorithm's nest; expected --algorithm "
                                 "direct or another beside it, not auto")
        return self.workload.with_dtype(dtype)

    def _stated(self) -> str | None:
        """The data type that the layers themselves state, when they all state one."""
        stated = {layer.dtype for layer in self.workload.layers.values()}
        return stated.pop() if len(stated) == 1 else None


@dataclass(frozen=True)
class _Task:
    """One layer under one algorithm on one machine; yields: to what always applies, where the machine cannot run it."""

    machine: str
    layer: Layer
    algorithm: str
    dataflow: str | None
    yields: bool
    timeline: bool = False

    def plan(self) -> Plan:
        return lower(self.layer, self.algorithm)

    @property
    def work(self) -> _Work:
        plan = self.plan()
        return _Work(self.machine, self.layer, plan.stages, plan.fused_over, self.dataflow)


@dataclass(frozen=True)
class _Work:
    """The stages that a task comes to; tasks with equal work (a layer that an algorithm falls back on) run once."""

    machine: str
    layer: Layer
    stages: tuple[Stage, ...]
    fused_over: tuple[str, ...]
    dataflow: str | None


def run_jobs(jobs: Sequence[Job], progress: Progress | None = None) -> list[Result]:
    """Simulate the jobs' distinct layers on all cores, then put the results together."""
    jobs = [replace(job, machine=with_weights_that_fit(job.machine, job.layers())) for job in jobs]
    workloads = [job.layers() for job in jobs]
    machines: dict[str, Machine] = {}
    for job in jobs:
        if machines.setdefault(job.machine.name, job.machine) != job.machine:
            raise HwsimError(f"two different machines are named {job.machine.name!r}; expected a name of its own for each")
    wanted = [(job, _tasks(job, layer)) for job, work in zip(jobs, workloads, strict=True) for layer in work.layers.values()]
    done = _run_tasks([tasks[0] for _, tasks in wanted], machines, progress)
    rest = [task for job, tasks in wanted for task in tasks[1:] if not _is_beaten(task, job, done[tasks[0]])]
    done |= _run_tasks(list(dict.fromkeys(rest)), machines, progress)
    return [_result(job, work, done) for job, work in zip(jobs, workloads, strict=True)]


def _is_beaten(task: _Task, job: Job, first: LayerResult | HwsimError) -> bool:
    return isinstance(first, LayerResult) and cannot_win(task.layer, task.algorithm, job.machine, job.objective, first)


def with_weights_that_fit(machine: Machine, workload: Workload) -> Machine:
    """The machine; if the network's weights do not all fit the memory that would keep them, one that loads each layer's."""
    name = next((name for name, part in machine.parts.items() if isinstance(part, Scratchpad) and "weight" in part.keeps), None)
    if name is None:
        return machine
    part: Scratchpad = machine.part(name, Scratchpad)
    weights = sum(tensor.bytes for layer in workload.layers.values() if layer.macs for stage in lower(layer, DIRECT).stages
                  for tensor in stage.tensors if tensor.role == "weight")
    if weights <= part.capacity:
        return machine
    loading = replace(part, keeps=tuple(role for role in part.keeps if role != "weight"))
    reason = f" The network's weights, {size_text(weights)}, do not fit {name} together: every layer's come from {machine.dram_name}."
    return replace(machine, parts={**machine.parts, name: loading}, fidelity=machine.fidelity + reason)


def _tasks(job: Job, layer: Layer) -> list[_Task]:
    """The algorithms to try on a layer: one, or for 'auto' those of its list that apply."""
    names = [job.algorithm]
    if isinstance(layer, (PoolLayer, ElementwiseLayer)):
        names = [MEMORY_BOUND]
    elif job.algorithm == AUTO:
        names = candidates(layer)
    return [_Task(job.machine.name, layer, name, job.dataflow, job.algorithm != AUTO, job.timeline) for name in names]


def _run_tasks(tasks: list[_Task], machines: Mapping[str, Machine], progress: Progress | None) -> dict[_Task, LayerResult | HwsimError]:
    work_of = {task: task.work for task in dict.fromkeys(tasks)}
    first = {work: task for task, work in reversed(work_of.items())}
    done: dict[_Work, LayerResult | HwsimError] = {}
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        futures = {pool.submit(_run_task, task, machines[task.machine]): work for work, task in first.items()}
        for future in as_completed(futures):
            error = future.exception()
            if isinstance(error, HwsimError):
                done[futures[future]] = error
            else:
                done[futures[future]] = future.result()
            if progress is not None:
                progress(len(done), len(futures))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return {task: _outcome(task, done, machines[task.machine]) for task in work_of}


def _outcome(task: _Task, done: dict[_Work, LayerResult | HwsimError], machine: Machine) -> LayerResult | HwsimError:
    """A task's result under its own algorithm's name, or where that cannot run, what always applies and why."""
    result = done[task.work]
    if isinstance(result, LayerResult):
        plan = task.plan()
        return replace(result, algorithm=plan.algorithm, notes=(*plan.notes, *result.notes))
    if not task.yields or task.algorithm in (FALLBACK, MEMORY_BOUND):
        return result
    other = replace(task, algorithm=FALLBACK)
    if other.work not in done:
        try:
            done[other.work] = _run_task(other, machine)
        except HwsimError as error:
            done[other.work] = error
    instead = _outcome(other, done, machine)
    if isinstance(instead, HwsimError):
        return result
    return replace(instead, notes=(f"{task.algorithm} does not apply: {result}; {FALLBACK} instead", *instead.notes))


def _run_task(task: _Task, machine: Machine) -> LayerResult:
    reference = lower(task.layer, MEMORY_BOUND if task.algorithm == MEMORY_BOUND else DIRECT)
    return simulate_layer("", task.layer, replace(task.plan(), notes=()), reference, machine, task.dataflow,
                          timeline=task.timeline)


def _result(job: Job, workload: Workload, done: Mapping[_Task, LayerResult | HwsimError]) -> Result:
    layers = tuple(best_of(name, [done[task] for task in _tasks(job, layer) if task in done], job.objective, job.algorithm == AUTO)
                   for name, layer in workload.layers.items())
    return _gather(replace(job, workload=workload), layers)


def _gather(job: Job, layers: tuple[LayerResult, ...]) -> Result:
    machine, workload = job.machine, job.workload
    dtype = next(iter(workload.layers.values())).dtype or machine.dtype
    dram: Any = machine.parts[machine.dram_name]
    fidelity = " ".join(filter(None, (machine.fidelity.strip(), assumed_text(machine).removeprefix("; "))))
    return Result(machine.name, workload.name, job.algorithm, dtype, machine.clock_hz, layers,
                  {name: part.capacity for name, part in machine.memories.items()},
                  machine.compute.peak_macs_per_cycle(dtype), dram.bandwidth.bytes_per_cycle(machine.clock_hz) * machine.clock_hz,
                  fidelity, machine.compute.units if machine.pipelined else 0,
                  machine.start.cycles(machine.clock_hz) / machine.clock_hz if machine.start else 0.0)


@dataclass(frozen=True)
class Comparison:
    """Results of every algorithm on every machine."""

    workload: Workload
    machines: tuple[Machine, ...]
    algorithms: tuple[str, ...]
    results: tuple[Result, ...]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def table(self) -> str:
        """A plain-text table, at most 80 columns wide."""
        from hwsim.report.tables import comparison_table

        return comparison_table(self.results)

    def to_dict(self) -> dict[str, Any]:
        """The results as the JSON schema's documents."""
        from hwsim.report.document import comparison_document

        return comparison_document(self.results)

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained page."""
        from hwsim.report.html import write_html

        write_html(self, Path(path))

    def _repr_html_(self) -> str:
        from hwsim.report.tables import html_table

        return html_table(self.results)


@dataclass(frozen=True)
class MappedStage:
    """A stage's best mapping, and what the simulator makes of it."""

    name: str
    layer: Layer
    found: Found
    simulated: StageResult


@dataclass(frozen=True)
class Mappings:
    """The best mappings of a workload's layers."""

    machine: Machine
    objective: str
    algorithm: str
    dtype: str
    stages: tuple[MappedStage, ...]

    def text(self) -> str:
        """One mapping in full, several as a table; at most 80 columns wide."""
        from hwsim.report.mapping import mapping_text

        return mapping_text(self.machine.name, self.objective, [(stage.name, stage.found, stage.simulated) for stage in self.stages])

    def to_dict(self) -> dict[str, Any]:
        """The mappings as the JSON schema's document."""
        from hwsim.report.mapping import mapping_document

        return mapping_document(self.machine.name, self.objective, self.algorithm, self.dtype,
                                [(stage.name, stage.found, stage.simulated) for stage in self.stages])

    def nest_file(self, machine: str | None = None) -> str:
        """A file of these nests for `hwsim run --nest`; machine: its name or path, when that is not its own name."""
        from hwsim.ir.nestfile import nest_text

        return nest_text(machine or self.machine.name, self.algorithm, self.dtype,
                         [(stage.name, stage.layer, stage.found.nest) for stage in self.stages])


__all__ = ["FALLBACK", "Comparison", "Job", "Mappings", "compare", "map_layers", "run_jobs", "run_nests", "simulate"]
