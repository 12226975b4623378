"""Points in closed form: the least time that arithmetic and compulsory traffic allow, many at once.

    seconds >= sum over layers of max(multiplications / peak + other operations, bytes / bandwidth)

No schedule of the layers takes less (Williams et al. 2009, the roofline model, layer by layer); how
near one comes is what simulating tells. Layers of Winograd, FFT and others count their own stages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hwsim.algorithms import AUTO, lower
from hwsim.choose.algorithm import candidates, vector_rate
from hwsim.count.compulsory import compulsory_bytes
from hwsim.describe.machine import Machine
from hwsim.energy.account import energy_pj
from hwsim.errors import HwsimError, shortened
from hwsim.ir.stage import Operations, Plan
from hwsim.parts.dram import Dram
from hwsim.rewrite.placement import with_weights_that_fit
from hwsim.sweeps.rows import Row, Run as Spent
from hwsim.sweeps.spec import Run, Sweep, Values, loaded, run_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Work:
    """A workload's layers as arrays [algorithms, layers], infinite where one does not apply.

    operations: likewise, None where an algorithm does not apply. macs, batch: of the workload.
    """

    multiplies: Floats
    others: Floats
    compulsory: Floats
    operations: tuple[tuple[Operations | None, ...], ...]
    macs: int
    batch: int


@lru_cache(maxsize=1024)
def _work(run: Run, algorithm: str, dtype: str, keeps: tuple[str, ...]) -> Work:
    """algorithm: a name, or 'auto' for all that it tries."""
    workload = loaded(run)
    layers = list(workload.with_dtype(dtype).layers.values())
    names = [algorithm]
    if algorithm == AUTO:
        names = list(dict.fromkeys(name for layer in layers for name in candidates(layer)))
    plans = [
        [
            lower(layer, name).with_dtype(dtype)
            if algorithm != AUTO or name in candidates(layer)
            else None
            for layer in layers
        ]
        for name in names
    ]

    def table(of: Callable[[Plan], float]) -> Floats:
        return np.array(
            [[np.inf if plan is None else of(plan) for plan in row] for row in plans], float
        )

    return Work(
        table(lambda plan: plan.operations.multiplies),
        table(_other_operations),
        table(lambda plan: compulsory_bytes(plan, keeps)),
        tuple(tuple(None if plan is None else plan.operations for plan in row) for row in plans),
        workload.macs,
        workload.batch,
    )


def _other_operations(plan: Plan) -> float:
    """Of stages that multiply nothing."""
    online = [stage.operations for stage in plan.stages if not stage.offline]
    return float(sum(each.vector_operations for each in online if not each.multiplies))


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
    work = _work(run, values.get("algorithm", AUTO), dtype, _keeps(machine, run))
    peak, dram = machine.compute.peak_macs_per_cycle(dtype), _dram(machine)
    clock = machine.clock_hz
    arithmetic = work.multiplies / peak + work.others / vector_rate(machine, dtype)
    moving = work.compulsory / dram.bandwidth.bytes_per_cycle(clock)
    whole = np.maximum(arithmetic, moving) + machine.compute.launch_cycles(clock)
    best, every = whole.argmin(axis=0), np.arange(whole.shape[1])
    seconds = float(whole[best, every].sum()) / clock
    moved = int(work.compulsory[best, every].sum())
    chosen = [work.operations[row][layer] for layer, row in enumerate(best.tolist())]
    operations = sum((each for each in chosen if each is not None), Operations())
    energy = sum(energy_pj(machine, dtype, operations, {machine.dram_name: moved}).values())
    return Row.of_run(
        machine,
        work.batch,
        work.macs,
        dtype,
        Spent(seconds, energy, moved),
        "computing"
        if arithmetic[best, every].sum() >= moving[best, every].sum()
        else machine.dram_name,
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
