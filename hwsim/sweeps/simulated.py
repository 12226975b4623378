"""Points simulated: every layer of every point, as `hwsim run` would."""

from __future__ import annotations

from hwsim.algorithms import AUTO
from hwsim.choose.objectives import OBJECTIVES
from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError, PhysicsError, shortened
from hwsim.job import Job
from hwsim.jobs import run_jobs
from hwsim.results.result import Result
from hwsim.sweeps.rows import Row, Run
from hwsim.sweeps.spec import Sweep, Values, workload_of

LONGEST_ERROR = 300


def simulated(sweep: Sweep, numbers: list[int]) -> list[Row]:
    """A row for each point; one that cannot run says why."""
    return [_row(sweep, sweep.whole(number)) for number in numbers]


def _row(sweep: Sweep, values: Values) -> Row:
    try:
        return row_of(_run(sweep, values), sweep.machine(values))
    except (HwsimError, PhysicsError) as error:
        return Row(error=shortened(str(error), LONGEST_ERROR))


def _run(sweep: Sweep, values: Values) -> Result:
    wanted = next((name for name in sweep.objectives if name in OBJECTIVES), "latency")
    job = Job(
        workload_of(values),
        sweep.machine(values),
        values.get("algorithm", AUTO),
        values.get("dataflow"),
        values.get("dtype"),
        wanted,
        planned=sweep.planned(values),
        sampled=sweep.fidelity == "sampled",
    )
    return run_jobs([job], workers=1)[0]


def row_of(result: Result, machine: Machine) -> Row:
    """What a run came to."""
    causes = result.time_by_cause
    layers = result.layers
    return Row.of_run(
        machine,
        result.batch,
        sum(layer.macs for layer in layers),
        result.dtype,
        Run(
            result.seconds,
            sum(sum(layer.energy_pj.values()) for layer in layers),
            sum(layer.dram_bytes for layer in layers),
        ),
        max(causes, key=lambda cause: causes[cause], default=""),
    )
