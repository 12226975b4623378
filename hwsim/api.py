"""The pipeline on one page: a workload and a machine in, a result out.

machine  = load_machine("h200")
workload = load_workload("vgg16", batch=1)
result   = simulate(workload, machine, algorithm="winograd-f4")
table    = compare(workload, ["xeon-8380", "h200", "tpu-v1"], algorithms=["direct", "im2col"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hwsim.algorithms import AUTO
from hwsim.describe.layer import Layer
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.networks import find_workload
from hwsim.describe.workload import Workload, single
from hwsim.errors import HwsimError
from hwsim.grid import doubling, grid, named_apart, without_repeats
from hwsim.job import Job, gather, is_sampled
from hwsim.jobs import Progress, run_jobs
from hwsim.results.comparison import Comparison
from hwsim.results.result import Result

if TYPE_CHECKING:
    from hwsim.ir.tensor import Array


Some = TypeVar("Some")


def simulate(
    workload: Workload | Layer | str,
    machine: Machine | str | Path,
    algorithm: str = AUTO,
    *,
    objective: str = "latency",
    dataflow: str | None = None,
    dtype: str | None = None,
    progress: Progress | None = None,
    timeline: bool = False,
    arrays: Mapping[str, Array] | None = None,
    patient: bool = False,
    keeps: bool = False,
    miss_kinds: bool = False,
    fidelity: str = "exact",
) -> Result:
    """Run a workload, or one layer, on a machine.

    Every layer begins and ends in DRAM, or where the chip keeps its maps.

    algorithm: a name, or 'auto' for the best that applies to each layer by the objective: latency,
    energy, multiplies or dram, ties going to the faster. dtype: the machine's own when None.
    timeline: keep when every tile moved and step ran (hwsim.report.trace). arrays: how arrays lie,
    by name, where caches see it. patient: a CPU's caches are simulated however long they take;
    else what takes minutes is refused. keeps: layers simulated before are taken from disk, others
    are kept there. miss_kinds: caches tell cold, capacity and conflict misses apart. fidelity:
    'exact', or 'sampled' for a CPU's caches in a quarter of their sets, with a stated error; all
    of them where a layer's time may be more than 10% off, or a stage's lines more than half.
    progress(done, all) is called as simulations finish.

    Raises HwsimError (UnknownName, ConfigError) for what the user can put right, PhysicsError for a
    result that no machine could produce.
    """
    job = Job(
        as_workload(workload),
        as_machine(machine),
        algorithm,
        dataflow,
        dtype,
        objective,
        timeline,
        tuple((arrays or {}).items()),
        patient,
        by_kind=miss_kinds,
        sampled=is_sampled(fidelity),
    )
    return run_jobs([job], progress, keeps)[0]


def compare(
    workload: Workload | Layer | str,
    machines: Sequence[Machine | str | Path],
    algorithms: Sequence[str] = (AUTO,),
    *,
    dtype: str | None = None,
    dtypes: Sequence[str] = (),
    dataflows: Sequence[str] = (),
    batches: Sequence[int] = (),
    what_if: bool = False,
    keeps: bool = False,
    progress: Progress | None = None,
    patient: bool = False,
    fidelity: str = "exact",
) -> Comparison:
    """Every algorithm on every machine, in that order.

    Data types, dataflows and batches are further axes, each of one value where it is not given.

    dtype: the one type of all. A machine is left out of the types that it lacks where there are
    several. what_if: also the fastest run of each machine with one resource after the other twice
    as good. keeps, patient, fidelity, and what it raises: as of `simulate`.
    """
    network = as_workload(workload)
    machines, algorithms = _some(machines, "machine"), _some(algorithms, "algorithm")
    loaded = [as_machine(machine) for machine in machines]
    jobs, left_out = grid(
        network,
        loaded,
        algorithms,
        dtypes or [dtype],
        dataflows or [None],
        batches,
        patient,
        is_sampled(fidelity),
    )
    results, jobs = without_repeats(run_jobs(jobs, progress, keeps), jobs)
    comparison = Comparison(
        network,
        tuple(loaded),
        tuple(algorithms),
        named_apart(results),
        left_out=tuple(left_out),
    )
    if not what_if:
        return comparison
    return replace(comparison, what_if=doubling(comparison, jobs, progress, keeps))


def run_nests(
    path: str | Path,
    progress: Progress | None = None,
    patient: bool = False,
    miss_kinds: bool = False,
    fidelity: str = "exact",
) -> Result:
    """Simulate the nests of a file (docs/mapping.md).

    patient, miss_kinds, fidelity: as of `simulate`.

    Raises ConfigError for what is wrong in it, at its line.
    """
    from hwsim.choose.nests import Choice
    from hwsim.choose.own_nests import read_nests, simulate_nests

    own = read_nests(path)
    job = Job(own.workload, own.machine, own.file.algorithm, None, own.file.dtype)
    job.checked_workload()
    choice = Choice(patient=patient, by_kind=miss_kinds, sampled=is_sampled(fidelity))
    return gather(job, simulate_nests(own, progress, choice))


def as_workload(workload: Workload | Layer | str) -> Workload:
    """A shipped name or path is loaded, a single layer wrapped.

    Raises HwsimError for anything else.
    """
    if isinstance(workload, Workload):
        return workload
    if isinstance(workload, str):
        return find_workload(workload)
    if not isinstance(workload, Layer):
        raise HwsimError(f"{workload!r} is no workload; expected a Workload, a layer or a name")
    return single(workload)


def _some(values: Sequence[Some], what: str) -> Sequence[Some]:
    """At least one of what is compared. Raises HwsimError for none, and for one without a list."""
    if isinstance(values, str | Machine):
        raise HwsimError(f"{values!r} alone; expected a list of {what}s")
    if not values:
        raise HwsimError(f"no {what}; expected at least one")
    return values


def as_machine(machine: Machine | str | Path) -> Machine:
    """A shipped name or path is loaded. Raises HwsimError for anything else."""
    if isinstance(machine, Machine):
        return machine
    if not isinstance(machine, str | Path):
        raise HwsimError(f"{machine!r} is no machine; expected a Machine, a path or a name")
    return load_machine(machine)
