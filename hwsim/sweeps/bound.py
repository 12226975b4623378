"""Points in closed form: the least time that arithmetic and compulsory traffic allow, many at once.

    seconds >= sum over layers of max(multiplications / peak + other operations, bytes / bandwidth)

No schedule of the layers takes less (Williams et al. 2009, the roofline model, layer by layer); how
near one comes is what simulating tells. Layers of Winograd, FFT and others count their own stages.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hwsim.algorithms import AUTO, DIRECT, lower
from hwsim.choose.algorithm import vector_rate
from hwsim.count.compulsory import compulsory_bytes
from hwsim.describe.machine import Machine
from hwsim.energy.account import energy_pj
from hwsim.errors import HwsimError, shortened
from hwsim.ir.stage import Operations
from hwsim.parts.dram import Dram
from hwsim.rewrite.placement import with_weights_that_fit
from hwsim.sweeps.rows import Row, Run as Spent
from hwsim.sweeps.spec import Run, Sweep, Values, loaded, run_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Work:
    """A workload's layers as arrays, one number a layer; operations, macs: of all together."""

    multiplies: Floats
    others: Floats
    compulsory: Floats
    operations: Operations
    macs: int
    batch: int


@lru_cache(maxsize=1024)
def _work(run: Run, algorithm: str, dtype: str, keeps: tuple[str, ...]) -> Work:
    workload = loaded(run)
    plans = [
        lower(layer, algorithm).with_dtype(dtype)
        for layer in workload.with_dtype(dtype).layers.values()
    ]
    online = [plan.operations for plan in plans]
    return Work(
        np.array([each.multiplies for each in online], float),
        np.array([0 if each.multiplies else each.vector_operations for each in online], float),
        np.array([compulsory_bytes(plan, keeps) for plan in plans], float),
        sum(online, Operations()),
        workload.macs,
        workload.batch,
    )


def bounded(sweep: Sweep, numbers: list[int]) -> list[Row]:
    """A row for each point; one that cannot run says why."""
    return [_row(sweep, sweep.whole(number)) for number in numbers]


def _row(sweep: Sweep, values: Values) -> Row:
    try:
        return _bound(sweep.machine(values), values)
    except HwsimError as error:
        return Row(error=shortened(str(error), 300))


def _bound(machine: Machine, values: Values) -> Row:
    run = run_of(values)
    dtype = values.get("dtype") or machine.dtype
    if dtype not in machine.compute.dtypes:
        raise HwsimError(
            f"{machine.name} does not compute {dtype!r}; expected one of "
            f"{', '.join(machine.compute.dtypes)}"
        )
    algorithm = values.get("algorithm", AUTO)
    named = DIRECT if algorithm == AUTO else algorithm
    work = _work(run, named, dtype, _keeps(machine, run))
    peak, dram = machine.compute.peak_macs_per_cycle(dtype), _dram(machine)
    clock = machine.clock_hz
    arithmetic = work.multiplies / peak + work.others / vector_rate(machine, dtype)
    moving = work.compulsory / dram.bandwidth.bytes_per_cycle(clock)
    launches = machine.compute.launch_cycles(clock)
    seconds = float((np.maximum(arithmetic, moving) + launches).sum()) / clock
    moved = int(work.compulsory.sum())
    energy = sum(energy_pj(machine, dtype, work.operations, {machine.dram_name: moved}).values())
    return Row.of_run(
        machine,
        work.batch,
        work.macs,
        dtype,
        Spent(seconds, energy, moved),
        "computing" if arithmetic.sum() >= moving.sum() else machine.dram_name,
    )


def _dram(machine: Machine) -> Dram:
    found: Dram = machine.part(machine.dram_name, Dram)
    return found


def _keeps(machine: Machine, run: Run) -> tuple[str, ...]:
    """Roles of tensors that never leave the chip."""
    if not any(part.keeps for part in machine.memories.values()):
        return ()
    fitting = with_weights_that_fit(machine, loaded(run))
    return tuple(sorted({role for part in fitting.memories.values() for role in part.keeps}))
