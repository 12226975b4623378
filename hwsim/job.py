"""A job: a workload on a machine under an algorithm, and its layers' results as the job's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwsim.algorithms import AUTO, find_algorithm
from hwsim.choose.objectives import OBJECTIVES
from hwsim.describe.machine import Machine
from hwsim.describe.units import DTYPE_BYTES
from hwsim.describe.workload import Workload
from hwsim.energy.account import assumed_text
from hwsim.errors import HwsimError, UnknownName
from hwsim.ir.tensor import Array
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import FIDELITIES, LayerResult, Result
from hwsim.rewrite.placement import captured, with_weights_that_fit
from hwsim.rewrite.residency import Residency
from hwsim.schedule.dataflows import find_dataflow, full_name
from hwsim.schedule.dataflows.library_kernel import KERNEL

Arrays = tuple[tuple[str, Array], ...]


def is_sampled(fidelity: str) -> bool:
    """Are a CPU's caches simulated in a sample of their sets? Raises UnknownName."""
    if fidelity not in FIDELITIES:
        raise UnknownName("fidelity", str(fidelity), FIDELITIES)
    return fidelity == "sampled"


@dataclass(frozen=True)
class Job:
    """A workload on a machine under an algorithm.

    planned: the machine for which quick schedules are made (hwsim.choose.quick), None for the best
    ones. placed: the machine is already one that keeps weights or loads them, whatever the
    workload's come to. residencies: what a GPU's L2 has of layers' maps, where the workload's order
    does not say it. by_kind: caches tell their misses apart by kind. sampled: a CPU's are simulated
    in a sample of their sets.
    """

    workload: Workload
    machine: Machine
    algorithm: str
    dataflow: str | None
    dtype: str | None
    objective: str = "latency"
    timeline: bool = False
    arrays: Arrays = ()
    patient: bool = False
    planned: Machine | None = None
    placed: bool = False
    residencies: tuple[tuple[str, Residency], ...] | None = None
    by_kind: bool = False
    sampled: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.algorithm, str):
            raise HwsimError(f"algorithm {self.algorithm!r}; expected a name")
        if self.dataflow is not None:
            object.__setattr__(self, "dataflow", full_name(self.dataflow))

    def checked_workload(self) -> Workload:
        """The workload in the data type of the run, checked.

        Raises HwsimError for a type the machine lacks.
        """
        dtype = self.dtype or self._stated() or self.machine.dtype
        if dtype not in DTYPE_BYTES or dtype not in self.machine.compute.dtypes:
            raise HwsimError(
                f"{self.machine.name} does not compute {dtype!r}; expected one of "
                f"{', '.join(self.machine.compute.dtypes)}"
            )
        if self.algorithm != AUTO:
            find_algorithm(self.algorithm)
        if self.arrays and self.algorithm == AUTO:
            raise HwsimError(
                "arrays are those of one algorithm; expected --algorithm direct or another beside "
                "them, not auto"
            )
        if self.objective not in OBJECTIVES:
            raise UnknownName("objective", self.objective, OBJECTIVES)
        if self.dataflow is not None:
            self._check_kernel()
            find_dataflow(self.dataflow)
            if ":" in self.dataflow and self.algorithm == AUTO:
                named = self.dataflow.removeprefix(KERNEL)
                asked = f"dataflow {self.dataflow}"
                if named != self.dataflow:
                    asked = f"--kernel {named}"
                raise HwsimError(
                    f"{asked} fixes the mapping of one algorithm's nest; expected --algorithm "
                    f"direct or another beside it, not auto"
                )
        return self.workload.with_dtype(dtype)

    def _check_kernel(self) -> None:
        """Raises HwsimError for a kernel by name on a machine that has none."""
        sm, named = self.machine.compute, self.dataflow or ""
        has = isinstance(sm, StreamingMultiprocessor) and sm.library is not None
        if named.startswith(KERNEL) and not has:
            raise HwsimError(
                f"{self.machine.name} names no library of kernels; expected a GPU for "
                f"--kernel {named.removeprefix(KERNEL)}"
            )

    @property
    def is_network(self) -> bool:
        """Do layers follow one another?"""
        return len(self.workload.layers) > 1

    @property
    def site(self) -> str:
        """What machine the layers run on: in a network, a GPU's kernels follow without calls."""
        return f"{self.machine.name} in a network" if self.is_network else self.machine.name

    def _stated(self) -> str | None:
        """The data type that the layers themselves state, when they all state one."""
        stated = {layer.dtype for layer in self.workload.layers.values()}
        return stated.pop() if len(stated) == 1 else None


def as_found(job: Job) -> Machine:
    """The machine as the job's layers find it."""
    machine = job.machine
    if not job.placed:
        machine = with_weights_that_fit(machine, job.checked_workload())
    return captured(machine) if job.is_network else machine


def gather(job: Job, layers: tuple[LayerResult, ...]) -> Result:
    """The layers' results as the job's, with what is to be known of its machine."""
    machine, workload = job.machine, job.workload
    dtype = next(iter(workload.layers.values())).dtype or machine.dtype
    dram: Any = machine.parts[machine.dram_name]
    fidelity = " ".join(
        filter(
            None,
            (
                f"set: {', '.join(map(str, machine.settings))}." if machine.settings else "",
                machine.fidelity.strip(),
                assumed_text(machine),
                *(f"In {workload.name}: {note}." for note in workload.notes),
            ),
        )
    )
    return Result(
        machine.name,
        workload.name,
        job.algorithm,
        dtype,
        machine.clock_hz,
        layers,
        {name: part.capacity for name, part in machine.memories.items()},
        machine.compute.peak_macs_per_cycle(dtype),
        dram.bandwidth.bytes_per_cycle(machine.clock_hz) * machine.clock_hz,
        fidelity,
        machine.compute.units if machine.pipelined else 0,
        machine.start.cycles(machine.clock_hz) / machine.clock_hz if machine.start else 0.0,
        workload.batch,
        job.dataflow or "",
        job.algorithm,
    )
