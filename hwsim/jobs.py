"""Jobs: workloads on machines, cut into layers' distinct works and run on all cores.

The results are put together again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from math import inf

from hwsim.algorithms import (
    ATTENTION,
    AUTO,
    DIRECT,
    FALLBACK,
    MEMORY_BOUND,
    fallback_note,
    lower,
    own_algorithm,
)
from hwsim.choose.algorithm import (
    best_result,
    candidates,
    cannot_win,
    is_kin,
    most_cycles,
    waits_for_kin,
)
from hwsim.choose.kept import LAYERS, keep, kept, key_of
from hwsim.choose.layer import simulate_layer
from hwsim.choose.nests import MEASURES, Choice
from hwsim.choose.objectives import OBJECTIVES
from hwsim.describe.layer import Layer
from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.errors import Beaten, HwsimError
from hwsim.image_groups import best_of, parts_that_stay
from hwsim.ir.stage import Plan, Stage
from hwsim.job import Arrays, Job, as_found, gather
from hwsim.results.result import LayerResult, Result
from hwsim.rewrite.arrays import place_arrays
from hwsim.rewrite.residency import NOTHING, Residency, residencies

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Task:
    """One layer under one algorithm.

    site: where it runs, a Job's. may_fall_back: to what always applies, where the machine cannot
    run it.
    """

    site: str
    layer: Layer
    algorithm: str
    may_fall_back: bool
    choice: Choice
    arrays: Arrays = ()
    residency: Residency = NOTHING

    def plan(self) -> Plan:
        return lower(self.layer, self.algorithm)

    @property
    def work(self) -> _Work:
        plan = self.plan()
        return _Work(
            self.site,
            self.layer,
            plan.stages,
            plan.fused_over,
            self.choice,
            self.arrays,
            self.residency,
        )


@dataclass(frozen=True)
class _Site:
    """A machine on which tasks run, and that for which its quick schedules are made."""

    machine: Machine
    planned: Machine | None = None


@dataclass(frozen=True)
class _Work:
    """The stages that a task comes to.

    Tasks with equal work (a layer that an algorithm falls back on) run once.
    """

    machine: str
    layer: Layer
    stages: tuple[Stage, ...]
    fused_over: tuple[str, ...]
    choice: Choice
    arrays: Arrays
    residency: Residency


def run_jobs(
    jobs: Sequence[Job],
    progress: Progress | None = None,
    keeps: bool = False,
    workers: int | None = None,
) -> list[Result]:
    """Simulate the jobs' distinct layers on all cores, or so many, then put the results together.

    keeps: take layers that were simulated before from disk, and keep the others there
    (hwsim.choose.kept).
    """
    jobs = [replace(job, machine=as_found(job)) for job in jobs]
    parts = [parts_that_stay(job) for job in jobs]
    found = _run_all([*jobs, *(part for own in parts for part in own)], progress, keeps, workers)
    of_parts = iter(found[len(jobs) :])
    return [
        best_of(job, whole, [(part, next(of_parts)) for part in own])
        for job, whole, own in zip(jobs, found, parts, strict=False)
    ]


def _run_all(
    jobs: Sequence[Job], progress: Progress | None, keeps: bool, workers: int | None
) -> list[Result]:
    """Each job's result, all of its images at once."""
    workloads = [job.checked_workload() for job in jobs]
    sites: dict[str, _Site] = {}
    for job in jobs:
        site = _Site(job.machine, job.planned)
        if sites.setdefault(job.site, site).machine != job.machine:
            raise HwsimError(
                f"two different machines are named {job.machine.name!r}; expected a name of its "
                f"own for each"
            )
    wanted = _layer_by_layer(jobs, workloads)
    done = _run_tasks([tasks[0] for _, tasks in wanted], sites, progress, keeps, workers)
    for late in (False, True):
        rest = _worth_running(wanted, done, late)
        done |= _run_tasks(list(rest), sites, progress, keeps, workers, rest)
    return [_result(job, work, done) for job, work in zip(jobs, workloads, strict=True)]


def _worth_running(
    wanted: Sequence[tuple[Job, list[_Task]]],
    done: Mapping[_Task, LayerResult | HwsimError],
    late: bool,
) -> dict[_Task, float]:
    """The tasks that may be better than what ran, and the cycles that they must keep within.

    late: those that wait for an algorithm of their kin to be the best, else the others.
    """
    rest: dict[_Task, float] = {}
    for job, (first, *others) in wanted:
        best = _best_of(job, [done[task] for task in (first, *others) if task in done])
        for task in others:
            if late != waits_for_kin(task.algorithm, job.machine) or task.work == first.work:
                continue
            alike = not late or (isinstance(best, LayerResult) and is_kin(task.algorithm, best))
            if alike and not _is_beaten(task, job, best):
                rest[task] = max(rest.get(task, 0.0), _limit(task, job, best))
    return rest


def _best_of(job: Job, outcomes: Sequence[LayerResult | HwsimError]) -> LayerResult | HwsimError:
    """The best of what ran by the job's objective; the first error where nothing did."""
    ran = [outcome for outcome in outcomes if isinstance(outcome, LayerResult)]
    return min(ran, key=OBJECTIVES[job.objective].measure) if ran else outcomes[0]


def _layer_by_layer(
    jobs: Sequence[Job], workloads: Sequence[Workload]
) -> list[tuple[Job, list[_Task]]]:
    """Every job's first layer, then every job's second.

    So what is alike among machines comes together.
    """
    numbered = [
        (number, job, tasks)
        for job, work in zip(jobs, workloads, strict=True)
        for number, tasks in enumerate(_tasks_of(job, work).values())
    ]
    numbered.sort(key=lambda entry: entry[0])
    return [(job, tasks) for _, job, tasks in numbered]


def _is_beaten(task: _Task, job: Job, first: LayerResult | HwsimError) -> bool:
    return isinstance(first, LayerResult) and cannot_win(
        task.layer, task.algorithm, job.machine, job.objective, first, task.residency
    )


def _limit(task: _Task, job: Job, first: LayerResult | HwsimError) -> float:
    """Cycles beyond which a task need not be simulated."""
    if isinstance(first, HwsimError):
        return inf
    return most_cycles(task.layer, job.machine, job.objective, first)


def _tasks_of(job: Job, workload: Workload) -> dict[str, list[_Task]]:
    """Of every layer."""
    if job.residencies is not None:
        found = dict(job.residencies)
    else:
        found = residencies(workload, job.machine) if job.is_network else {}
    return {
        name: _tasks(job, layer, found.get(name, NOTHING))
        for name, layer in workload.layers.items()
    }


def _tasks(job: Job, layer: Layer, residency: Residency) -> list[_Task]:
    """The algorithms to try on a layer: one, or for 'auto' those of its list that apply."""
    objective = job.objective if job.objective in MEASURES else "latency"
    choice = Choice(job.dataflow, objective, job.timeline, job.patient, job.by_kind, job.sampled)
    one = own_algorithm(layer, job.algorithm)
    names = candidates(layer) if job.algorithm == AUTO else [one]
    return [
        _Task(
            job.site,
            layer,
            name,
            job.algorithm != AUTO,
            choice,
            job.arrays,
            residency,
        )
        for name in names
    ]


def _run_tasks(
    tasks: list[_Task],
    sites: Mapping[str, _Site],
    progress: Progress | None,
    keeps: bool,
    workers: int | None,
    limits: Mapping[_Task, float] | None = None,
) -> dict[_Task, LayerResult | HwsimError]:
    """Each task's result, or what kept it from one.

    limits: the cycles within which a task's result is wanted.
    """
    work_of = {task: task.work for task in dict.fromkeys(tasks)}
    first = {work: task for task, work in reversed(work_of.items())}
    done: dict[_Work, LayerResult | HwsimError] = {}
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    try:
        futures = {
            pool.submit(
                _task_runner(task, keeps), task, sites[task.site], (limits or {}).get(task, inf)
            ): work
            for work, task in first.items()
        }
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
    return {task: _outcome(task, done, sites[task.site]) for task in work_of}


def _task_runner(task: _Task, keeps: bool) -> Callable[[_Task, _Site, float], LayerResult]:
    """How a task is run. Timelines, which may be long, are not kept."""
    return _kept_task if keeps and not task.choice.timeline else _run_task


def _outcome(
    task: _Task, done: dict[_Work, LayerResult | HwsimError], site: _Site
) -> LayerResult | HwsimError:
    """A task's result under its own algorithm's name.

    Where that cannot run, it is of what always applies, and says why.
    """
    result = done[task.work]
    if isinstance(result, LayerResult):
        plan = task.plan()
        return replace(result, algorithm=plan.algorithm, notes=(*plan.notes, *result.notes))
    if (
        not task.may_fall_back
        or task.arrays
        or task.algorithm in (FALLBACK, MEMORY_BOUND, ATTENTION)
    ):
        return result
    other = replace(task, algorithm=FALLBACK)
    if other.work not in done:
        try:
            done[other.work] = _run_task(other, site, inf)
        except HwsimError as error:
            done[other.work] = error
    instead = _outcome(other, done, site)
    if isinstance(instead, HwsimError):
        return result
    return replace(
        instead,
        notes=(fallback_note(task.algorithm, str(result)), *instead.notes),
    )


def _kept_task(task: _Task, site: _Site, most: float) -> LayerResult:
    """What was kept of the task, or what it gives now. All that it follows from is in the key.
    HWSIM_KEEP=0 in the environment keeps nothing, for whoever steps through the code.

    What was found within `most` cycles is kept apart, as is that nothing was."""
    facts = (replace(task, site=""), site, site.machine.compute.files)
    key = key_of(*facts) if most == inf else key_of(*facts, most)
    found = kept(key, LAYERS)
    if found is None:
        try:
            found = _run_task(task, site, most)
        except Beaten as beaten:
            found = beaten
        keep(key, found, LAYERS)
    if isinstance(found, Beaten):
        raise found
    result: LayerResult = found
    return result


def _run_task(task: _Task, site: _Site, most: float) -> LayerResult:
    reference = lower(task.layer, DIRECT)
    return simulate_layer(  # equal layers run once: best_result gives each its name
        task.layer,
        place_arrays(replace(task.plan(), notes=()), dict(task.arrays), site.machine),
        reference,
        site.machine,
        replace(task.choice, most_cycles=most),
        planned=site.planned,
        residency=task.residency,
    )


def _result(job: Job, workload: Workload, done: Mapping[_Task, LayerResult | HwsimError]) -> Result:
    layers = tuple(
        best_result(
            name,
            [done[task] for task in tasks if task in done],
            job.objective,
            job.algorithm == AUTO,
        )
        for name, tasks in _tasks_of(job, workload).items()
    )
    return gather(replace(job, workload=workload), layers)
