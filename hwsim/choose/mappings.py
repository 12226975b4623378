"""The best mapping of every layer: found by the mapper, run by the simulator."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hwsim.algorithms import DIRECT, lower, whole_stages
from hwsim.choose.layer import simulate_layer
from hwsim.describe.layer import ElementwiseLayer, Layer, PoolLayer
from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError
from hwsim.results.result import StageResult
from hwsim.rewrite.placement import keep_on_chip
from hwsim.schedule.mapper import Options, best_mapping
from hwsim.schedule.mapper.found import Found

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class MappedStage:
    """A stage's best mapping, and what the simulator makes of it."""

    name: str
    layer: Layer
    found: Found
    simulated: StageResult


@dataclass(frozen=True)
class Mappings:
    """The best mappings of a workload's layers."""

    machine: Machine
    objective: str
    algorithm: str
    dtype: str
    stages: tuple[MappedStage, ...]

    def text(self) -> str:
        """One mapping in full, several as a table; at most 80 columns wide."""
        from hwsim.report.mapping import mapping_text

        return mapping_text(
            self.machine.name,
            self.objective,
            [(stage.name, stage.found, stage.simulated) for stage in self.stages],
        )

    def to_dict(self) -> dict[str, Any]:
        """The mappings as the JSON schema's document."""
        from hwsim.report.mapping import mapping_document

        return mapping_document(
            self.machine.name,
            self.objective,
            self.algorithm,
            self.dtype,
            [(stage.name, stage.found, stage.simulated) for stage in self.stages],
        )

    def nest_file(self, machine: str | None = None) -> str:
        """A file of these nests for `hwsim run --nest`; machine: its name or path, when that is not
        its own name."""
        from hwsim.ir.nest_file import nest_text

        return nest_text(
            machine or self.machine.name,
            self.algorithm,
            self.dtype,
            [(stage.name, stage.layer, stage.found.nest) for stage in self.stages],
        )


def map_workload(
    network: Workload,
    machine: Machine,
    objective: str,
    algorithm: str,
    options: Options,
    seconds: float | None,
    progress: Progress | None,
) -> Mappings:
    """Equal layers once; layers that do not multiply are left out. Interrupted, what there is.
    Raises as hwsim.map_layers."""
    whole_stages(algorithm)
    found: list[MappedStage] = []
    seen: set[Layer] = set()
    for name, layer in network.layers.items():
        if layer in seen or isinstance(layer, (PoolLayer, ElementwiseLayer)):
            continue
        seen.add(layer)
        stages, complete = _map_layer(
            name, layer, machine, objective, algorithm, options, seconds, progress
        )
        found += stages
        if not complete:
            break
    if not found:
        raise HwsimError(
            f"{network.name}: no layer that multiplies; expected a convolution or a product"
        )
    return Mappings(
        machine, objective, algorithm, found[0].layer.dtype or machine.dtype, tuple(found)
    )


def _map_layer(
    name: str,
    layer: Layer,
    machine: Machine,
    objective: str,
    algorithm: str,
    options: Options,
    seconds: float | None,
    progress: Progress | None,
) -> tuple[list[MappedStage], bool]:
    """A layer's stages mapped and then simulated; False when interrupted."""
    plan = lower(layer, algorithm)
    reference = lower(layer, DIRECT)
    stages = [
        replace(stage, dtype=layer.dtype)
        for stage in plan.stages
        if not stage.offline and stage.view is not None
    ]
    found = {}
    for stage in stages:
        found[stage.name] = best_mapping(
            stage,
            machine,
            objective,
            placement=keep_on_chip(plan, machine),
            options=options,
            seconds=seconds,
            progress=progress,
            workers=os.cpu_count() or 1,
        )
        if found[stage.name].interrupted:
            break
    result = simulate_layer(
        name,
        layer,
        plan,
        reference,
        machine,
        None,
        {stage: best.nest for stage, best in found.items()},
    )
    simulated = {stage.name: stage for stage in result.stages}
    complete = len(found) == len(stages) and not any(best.interrupted for best in found.values())
    return [
        MappedStage(name, layer, best, simulated[stage]) for stage, best in found.items()
    ], complete
