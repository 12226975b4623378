"""A comparison's runs, and the best of each machine with one resource twice as good.

They are machines x algorithms x data types x dataflows x batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.job import Job
from hwsim.jobs import Progress, run_jobs
from hwsim.parts.doubled import doubled
from hwsim.results.comparison import Comparison, WhatIf
from hwsim.results.result import Result
from hwsim.schedule.dataflows import SHORT_NAMES
from hwsim.timing.caches.remembered import remembering


def grid(
    network: Workload,
    machines: Sequence[Machine],
    algorithms: Sequence[str],
    dtypes: Sequence[str | None],
    dataflows: Sequence[str | None],
    batches: Sequence[int],
    patient: bool,
    sampled: bool,
) -> tuple[list[Job], list[str]]:
    """The jobs, and what is left out: machines of several data types lack some.

    Raises HwsimError where a machine has none of them.
    """
    networks = [network.with_batch(batch) for batch in batches] or [network]
    jobs, left_out = [], []
    for machine in machines:
        known = [dtype for dtype in dtypes if dtype in (None, *machine.compute.dtypes)]
        if not known:
            known = [*dtypes][:1]  # the job itself says what is wrong
        left_out += [f"{machine.name} does not compute {t}" for t in dtypes if t not in known]
        jobs += [
            Job(own, machine, algorithm, dataflow, dtype, patient=patient, sampled=sampled)
            for dtype, algorithm, dataflow, own in product(known, algorithms, dataflows, networks)
        ]
    return jobs, left_out


def without_repeats(
    results: Sequence[Result], jobs: Sequence[Job]
) -> tuple[list[Result], list[Job]]:
    """Results and their jobs, without runs that are the same.

    Runs under dataflows that schedule none of a machine's layers are one run: the first stays, as
    that of the best dataflow.
    """
    kept: dict[object, tuple[Result, Job]] = {}
    for number, (result, job) in enumerate(zip(results, jobs, strict=True)):
        if not result.dataflow or _was_scheduled(result):
            kept[number] = (result, job)
            continue
        key = (result.machine, result.algorithm, result.dtype, result.batch)
        kept.setdefault(key, (replace(result, dataflow=""), job))
    return [result for result, _ in kept.values()], [job for _, job in kept.values()]


def _was_scheduled(result: Result) -> bool:
    """Did the dataflow that was asked for schedule any stage?"""
    asked = result.dataflow.partition(":")[0]
    return any(stage.dataflow == asked for layer in result.layers for stage in layer.online)


def named_apart(results: Sequence[Result]) -> tuple[Result, ...]:
    """Each result's variant: its algorithm, and what else differs among a machine's results."""
    several = {field: _varies(field, results) for field in ("dtype", "dataflow", "batch")}
    return tuple(replace(result, variant=_variant(result, several)) for result in results)


def _varies(field: str, results: Sequence[Result]) -> bool:
    """Does one machine have several values of it?"""
    seen: dict[str, set[object]] = {}
    for result in results:
        seen.setdefault(result.machine, set()).add(getattr(result, field))
    return any(len(values) > 1 for values in seen.values())


def _variant(result: Result, several: dict[str, bool]) -> str:
    short = {name: typed for typed, name in SHORT_NAMES.items()}
    words = []
    if several["dataflow"] and result.dataflow:
        words.append(short.get(result.dataflow, result.dataflow))
    if several["batch"]:
        words.append(f"batch {result.batch}")
    if several["dtype"]:
        words.append(result.dtype)
    return f"{result.algorithm} ({', '.join(words)})" if words else result.algorithm


def doubling(
    comparison: Comparison,
    jobs: Sequence[Job],
    progress: Progress | None = None,
    keeps: bool = False,
) -> tuple[WhatIf, ...]:
    """The fastest run of each machine, again with each resource doubled.

    jobs: the comparison's, one a result.
    """
    job_of = dict(zip(map(id, comparison.results), jobs, strict=True))
    again: list[tuple[Result, str, Job]] = []
    for machine in comparison.machines:
        best = comparison.fastest(machine.name)
        for change, better in doubled(machine).items():
            named = replace(better, name=f"{machine.name} with {change}")
            again.append((best, change, replace(job_of[id(best)], machine=named)))
    with remembering():
        results = run_jobs([job for _, _, job in again], progress, keeps)
    return tuple(
        WhatIf(
            best.machine,
            best.variant,
            change,
            result.seconds,
            best.seconds / result.seconds if result.seconds else 1.0,
        )
        for (best, change, _), result in zip(again, results, strict=True)
    )
