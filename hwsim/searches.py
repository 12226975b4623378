"""What is searched, on one page: mappings, sweeps, splits over chips, kernels of a GPU.

mappings = map_layers("resnet18", "eyeriss-v1", "energy")
result   = sweep("toy-8x8", "alexnet", {"parts.dram.bandwidth": "powers(1 GB/s, 64 GB/s)"})
found    = split("llama-3-8b", "dgx-h100")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hwsim.algorithms import AUTO, DIRECT
from hwsim.api import as_machine, as_workload
from hwsim.describe.layer import DENSE, Layer
from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError, UnknownName
from hwsim.job import Job
from hwsim.jobs import Progress
from hwsim.results.result import Result

if TYPE_CHECKING:
    from hwsim.chips.split import Split
    from hwsim.choose.kernels import KernelChoice
    from hwsim.choose.mappings import Mappings
    from hwsim.describe.system import System
    from hwsim.sweeps.result import SweepResult

Convention = Literal["exact", "timeloop"]
CONVENTIONS = ("exact", "timeloop")


def map_layers(
    workload: Workload | Layer | str,
    machine: Machine | str | Path,
    objective: str = "edp",
    *,
    algorithm: str = DIRECT,
    dtype: str | None = None,
    mixed: bool = True,
    convention: Convention = "exact",
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Mappings:
    """The best mapping of every layer that multiplies, equal layers once.

    See docs/mapping.md for the space and the proof. Of a batch, fewer images at a time are mapped
    as well where more of them stays on the chip, and taken where that is better.

    objective: latency, energy, edp or dram. mixed: several dims may share an axis of the array.
    convention: 'timeloop' leaves out of the cost what Timeloop does. Zeros are multiplied: layers
    are mapped as dense ones. seconds: for each stage, after which the best so far is taken and its
    gap stated. Interrupted, it returns what it has. Raises as `simulate` does.
    """
    from hwsim.choose.mappings import map_workload
    from hwsim.image_groups import best_mapped, sizes_that_stay
    from hwsim.schedule.mapper import Options

    if convention not in CONVENTIONS:
        raise UnknownName("convention", convention, CONVENTIONS)
    dense = as_workload(workload).with_density(DENSE)
    job = Job(dense, as_machine(machine), algorithm, None, dtype)
    layers, chip = job.checked_workload(), job.machine
    sizes = [layers.batch, *sizes_that_stay(layers, chip, algorithm)]
    mapped: list[tuple[Workload, Mappings]] = []
    for size in sizes:
        part = layers.with_batch(size)
        options = Options(mixed, convention)
        found = map_workload(part, chip, objective, algorithm, options, seconds, progress)
        mapped.append((part, found))
        if found.interrupted:
            break
    return best_mapped(mapped)


def sweep(
    machine: str | Path,
    workload: str | Path,
    axes: Mapping[str, Sequence[object] | str],
    *,
    where: Sequence[str] = (),
    objectives: Sequence[str] = ("latency", "energy"),
    model: Literal["simulate", "bound"] = "simulate",
    schedules: Literal["best", "quick"] = "best",
    journal: str | Path = "sweep.sqlite",
    engine: str = "pool",
    sampler: str = "all",
    trials: int = 100,
    workers: int | None = None,
    progress: Progress | None = None,
    **fixed: object,
) -> SweepResult:
    """Every combination of the axes' values, as `hwsim sweep FILE` runs them.

    What the journal knows is not run again.

    axes: places in the machine's file ('parts.dram.bandwidth'), or machine, workload, batch, input,
    context, dtype, algorithm, dataflow, to lists of values or texts such as 'powers(16 KiB, 1
    MiB)'. fixed: values of these words that stay. where: constraints such as 'array.rows >= 8'.
    Programs that call it with engine='pool' stand under `if __name__ == "__main__":`. Raises
    HwsimError for a sweep that no point can come of.
    """
    from hwsim.sweeps.axes import axis
    from hwsim.sweeps.engines import Crew
    from hwsim.sweeps.run import Asked, run_sweep
    from hwsim.sweeps.sweep_file import make_sweep

    made = []
    for title, values in axes.items():
        if isinstance(values, (bytes, Mapping)) or not isinstance(values, Iterable):
            raise HwsimError(f"axis {title}: {values!r}; expected a list of values, or a text")
        each = values if isinstance(values, str) else [str(value) for value in values]
        made.append(axis(title, each))
    names = {name for each in made for name in each.names}
    same = {"machine": machine, "workload": workload, **fixed}
    stays = {name: str(value) for name, value in same.items() if name not in names}
    asked = make_sweep("sweep", made, stays, where, objectives, model, schedules)
    if workers is not None and workers < 1:
        raise HwsimError(f"{workers} workers; expected at least 1")
    how = Asked(engine, sampler, trials, Crew(workers))
    result = run_sweep(asked, Path(journal), how, progress)
    result.check()
    return result


def split(
    workload: Workload | Layer | str,
    system: System | str | Path,
    algorithm: str = AUTO,
    *,
    dtype: str | None = None,
    tensor: int | None = None,
    pipeline: int | None = None,
    data: int | None = None,
    microbatches: int | None = None,
    progress: Progress | None = None,
) -> Split:
    """Every way to lay a workload on all chips of a system, quickest first (hwsim.chips).

    tensor, pipeline, data: chips that share a layer, stages, copies; microbatches: of a copy's part
    of the batch; None for what is searched. Raises HwsimError where they do not make up the chips.
    """
    from hwsim.chips import split as chips
    from hwsim.describe.system import System, load_system

    loaded = system if isinstance(system, System) else load_system(system)
    asked = chips.Asked(tensor or 0, pipeline or 0, data or 0, microbatches or 0)
    return chips.split(
        as_workload(workload),
        loaded,
        asked=asked,
        algorithm=algorithm,
        dtype=dtype,
        progress=progress,
    )


def kernel_choices(
    result: Result, workload: Workload | Layer | str, machine: Machine | str | Path, most: int = 5
) -> list[KernelChoice]:
    """For every product of a run on a GPU, its library's fastest kernels, by layer and stage.

    There are none on other machines.
    """
    from hwsim.choose.kernels import choices

    layers = Job(
        as_workload(workload), as_machine(machine), AUTO, None, result.dtype
    ).checked_workload()
    taken = [
        (name, layer, ran.algorithm)
        for (name, layer), ran in zip(layers.layers.items(), result.layers, strict=True)
    ]
    ran = [len(layer.stages) for layer in result.layers]
    return choices(taken, as_machine(machine), result.dtype, most, ran)
