"""Images in groups, each through the whole network, where fewer at a time stay on the chip.

    for each layer:                       for each group of images:
        for all images:           ->          for each layer:
            maps go to DRAM                       maps stay in the chip's buffer

A group is a run of its own: it loads again what weights the chip does not keep, and has the
machine's start before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from hwsim.algorithms import AUTO, DIRECT, lower, own_algorithm
from hwsim.choose.objectives import OBJECTIVES
from hwsim.describe.layer import GemmLayer, Layer
from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError
from hwsim.ir.stage import Plan
from hwsim.job import Job, gather
from hwsim.parts.scratchpad import Scratchpad
from hwsim.results.result import LayerResult, Result, StageResult
from hwsim.rewrite.fusion import together
from hwsim.rewrite.placement import kept_roles, weight_bytes

if TYPE_CHECKING:
    from hwsim.choose.mappings import Mappings

WORDS = {  # objectives of hwsim map
    "latency": "the time",
    "energy": "the energy",
    "edp": "the energy x delay",
    "dram": "the DRAM traffic",
}
GAIN = 0.99  # of the time of all at once: groups that gain less are not worth the words


def parts_that_stay(job: Job) -> list[Job]:
    """The job on parts of its images, of which more stays on the chip.

    A chip of several has its share already.
    """
    if job.placed:
        return []
    workload = job.checked_workload()
    sizes = sizes_that_stay(workload, job.machine, job.algorithm)
    return [replace(job, workload=workload.with_batch(size)) for size in sizes]


def best_of(job: Job, whole: Result, parts: Sequence[tuple[Job, Result]]) -> Result:
    """All images at once, or parts of them one after another, by the job's objective."""
    least = GAIN * _worth(whole, job.objective)
    found = whole
    for part, of_part in parts:
        in_turn = _one_after_another(job, part, of_part, whole)
        if _worth(in_turn, job.objective) < least:
            found, least = in_turn, _worth(in_turn, job.objective)
    return found


def _one_after_another(job: Job, part: Job, of_part: Result, whole: Result) -> Result:
    """A part's run, as often as there are parts."""
    groups = job.workload.batch // part.workload.batch
    loaded = _loaded_weights(part.checked_workload(), part.machine, job.algorithm)
    of_all = job.checked_workload().layers
    layers = tuple(
        _layer_of_all_groups(layer, groups, loaded[layer.name], weight_bytes(of_all[layer.name]))
        for layer in of_part.layers
    )
    starts = groups * of_part.start_seconds
    longer = whole.seconds / (starts + sum(layer.seconds for layer in layers))
    note = (
        f"{part.workload.batch} of the {job.workload.batch} images at a time, of which more stays "
        f"on the chip; all at once would take {longer:.3g} times as long"
    )
    workload = replace(job.checked_workload(), notes=(*job.workload.notes, note))
    return replace(gather(replace(job, workload=workload), layers), start_seconds=starts)


def sizes_that_stay(workload: Workload, machine: Machine, algorithm: str) -> list[int]:
    """Parts of a batch of which more stays on the chip than of larger parts, the largest first.

    They divide the batch. There are none where no memory keeps maps, or all of the batch stay as
    well as one image does.
    """
    parts = machine.memories.values()
    keeps_maps = any(isinstance(part, Scratchpad) and "output" in part.keeps for part in parts)
    if workload.batch == 1 or not keeps_maps or not _divides(workload):
        return []
    found, stay = [], _kept(workload, machine, algorithm)
    for size in range(workload.batch - 1, 0, -1):
        if workload.batch % size == 0:
            here = _kept(workload.with_batch(size), machine, algorithm)
            if sum(map(len, here)) > sum(map(len, stay)):
                found.append(size)
                stay = here
    return found


def _divides(workload: Workload) -> bool:
    """Has every layer as many images as the batch, or a multiple?"""
    return all(_rows(layer) % workload.batch == 0 for layer in workload.layers.values())


def _rows(layer: Layer) -> int:
    """What grows with the batch."""
    if not isinstance(layer, GemmLayer):
        return layer.n
    return layer.batch if layer.batch > 1 and layer.operand == "data" else layer.m


def _kept(workload: Workload, machine: Machine, algorithm: str) -> list[frozenset[str]]:
    """The roles of each layer's tensors that stay on the chip."""
    return [
        frozenset(kept_roles(_plan(layer, algorithm), machine))
        for layer in workload.layers.values()
    ]


def _plan(layer: Layer, algorithm: str) -> Plan:
    """As the layer is lowered, or directly where `auto` chooses or the algorithm does not apply."""
    if algorithm != AUTO:
        with suppress(HwsimError):
            return lower(layer, own_algorithm(layer, algorithm))
    return lower(layer, DIRECT)


def best_mapped(mapped: Sequence[tuple[Workload, Mappings]]) -> Mappings:
    """The mappings of all images at once, or of parts of them, by what all of them come to.

    mapped: a workload of fewer images after the other, all at once first, and what was found.
    """
    (whole, at_once), *parts = mapped
    of_all = _mapped_worth(whole, at_once, 1)
    best, least = at_once, GAIN * of_all
    for part, found in parts:
        groups = whole.batch // part.batch
        worth = _mapped_worth(part, found, groups)
        if worth < least and not found.interrupted:
            note = (
                f"mapped for {part.batch} of the {whole.batch} images at a time, of which more "
                f"stays on the chip; all at once would be {of_all / worth:.3g} times "
                f"{WORDS[found.objective]}"
            )
            best, least = replace(found, notes=(*found.notes, note)), worth
    return best


def _mapped_worth(workload: Workload, found: Mappings, groups: int) -> float:
    """A workload's layers by the objective, one group of images after another.

    A mapping is that of all layers that are equal.
    """
    layers = list(workload.layers.values())
    mapped = [(stage.simulated, groups * layers.count(stage.layer)) for stage in found.stages]
    cycles = sum(times * stage.cycles.total for stage, times in mapped)
    energy = sum(times * sum(stage.energy_pj.values()) for stage, times in mapped)
    moved = sum(times * (stage.dram_read_bytes + stage.dram_write_bytes) for stage, times in mapped)
    by = {"latency": cycles, "energy": energy, "edp": cycles * energy, "dram": moved}
    return by[found.objective]


def _layer_of_all_groups(layer: LayerResult, groups: int, weights: int, of_all: int) -> LayerResult:
    """A layer's result for one group of images, as often as there are groups.

    weights: bytes of a group's that come from DRAM. What all groups need, of_all, is compulsory
    once: as much, but for experts that only other groups ask.
    """
    own = min(weights, layer.compulsory_bytes)
    once = of_all if own == weights > 0 else own
    return replace(
        layer,
        stages=tuple(
            stage if stage.offline else _of_all_groups(stage, groups) for stage in layer.stages
        ),
        compulsory_bytes=groups * (layer.compulsory_bytes - own) + once,
        macs=groups * layer.macs,
    )


def _of_all_groups(stage: StageResult, groups: int) -> StageResult:
    all_of_them = together([(stage, groups)], stage.operations * groups, groups)
    return replace(all_of_them, nest=f"one of {groups} groups of images:\n{stage.nest}")


def _loaded_weights(workload: Workload, machine: Machine, algorithm: str) -> dict[str, int]:
    """Bytes of each layer's weights that come from DRAM."""
    kept = _kept(workload, machine, algorithm)
    return {
        name: 0 if "weight" in roles else weight_bytes(layer)
        for (name, layer), roles in zip(workload.layers.items(), kept, strict=True)
    }


def _worth(result: Result, objective: str) -> float:
    """What a run is measured by: its layers by the objective, and its starts where they count."""
    by = OBJECTIVES[objective]
    starts = result.start_seconds if by.has_start else 0.0
    return sum(map(by.measure, result.layers)) + starts
