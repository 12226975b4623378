"""Images in groups, each through the whole network, where fewer at a time stay on the chip.

    for each layer:                       for each group of images:
        for all images:           ->          for each layer:
            maps go to DRAM                       maps stay in the chip's buffer

A group loads again what weights the chip does not keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwsim.algorithms import DIRECT, lower
from hwsim.choose.objectives import OBJECTIVES
from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.parts.scratchpad import Scratchpad
from hwsim.results.result import LayerResult, StageResult
from hwsim.rewrite.fusion import together
from hwsim.rewrite.placement import kept_roles, weight_bytes

GAIN = 0.99  # of the time of all at once: groups that gain less are not worth the words


def images_that_stay(workload: Workload, machine: Machine) -> int | None:
    """The largest part of a batch whose maps stay on the chip as one image's do.

    It divides the batch. None where all of the batch stay as well, or no memory keeps maps.
    """
    parts = machine.memories.values()
    keeps_maps = any(isinstance(part, Scratchpad) and "output" in part.keeps for part in parts)
    if workload.batch == 1 or not keeps_maps:
        return None
    of_one = _kept(workload.with_batch(1), machine)
    sizes = (size for size in range(workload.batch, 0, -1) if workload.batch % size == 0)
    found = next(size for size in sizes if _kept(workload.with_batch(size), machine) == of_one)
    return None if found == workload.batch else found


def _kept(workload: Workload, machine: Machine) -> list[frozenset[str]]:
    """The roles of each layer's tensors that stay on the chip, as it is lowered directly."""
    return [
        frozenset(kept_roles(lower(layer, DIRECT), machine)) for layer in workload.layers.values()
    ]


def of_all_groups(layer: LayerResult, groups: int, weights: int) -> LayerResult:
    """A layer's result for one group of images, as often as there are groups.

    weights: bytes of the layer's that come from DRAM; they are compulsory once.
    """
    once = min(weights, layer.compulsory_bytes)
    return replace(
        layer,
        stages=tuple(
            stage if stage.offline else _of_all_groups(stage, groups) for stage in layer.stages
        ),
        compulsory_bytes=groups * (layer.compulsory_bytes - once) + once,
        macs=groups * layer.macs,
    )


def _of_all_groups(stage: StageResult, groups: int) -> StageResult:
    operations = sum([stage.operations] * (groups - 1), stage.operations)
    all_of_them = together([(stage, groups)], operations, groups)
    return replace(all_of_them, nest=f"one of {groups} groups of images:\n{stage.nest}")


def loaded_weights(workload: Workload, machine: Machine) -> dict[str, int]:
    """Bytes of each layer's weights that come from DRAM."""
    return {
        name: 0 if "weight" in kept else weight_bytes(layer)
        for (name, layer), kept in zip(
            workload.layers.items(), _kept(workload, machine), strict=True
        )
    }


def are_better(
    groups: Sequence[LayerResult], at_once: Sequence[LayerResult], objective: str
) -> bool:
    """Do all groups one after another beat all images at once, layer by layer, by the objective?"""
    measure = OBJECTIVES[objective].measure
    return sum(map(measure, groups)) < GAIN * sum(map(measure, at_once))
