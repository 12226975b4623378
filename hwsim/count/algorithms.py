"""A workload's operations under every algorithm, counted from the stages alone: no machine, nothing simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.algorithms import lower
from hwsim.count.effectual import effectual_multiplies
from hwsim.errors import HwsimError, nearest
from hwsim.ir.conv import Convolution
from hwsim.ir.evaluate import evaluate, operands
from hwsim.ir.stage import Operations, Plan
from hwsim.spec.layer import ConvLayer, ConvTransposeLayer, ElementwiseLayer, Layer, PoolLayer
from hwsim.spec.workload import Workload

Array = npt.NDArray[Any]
DIRECT = "direct"


@dataclass(frozen=True)
class Arrays:
    """One layer's input x [n, c, h, w] and weights w [k, c/groups, r, s]; u: weights in the Winograd domain, or None."""

    x: Array
    w: Array
    u: Array | None = None


@dataclass(frozen=True)
class Counted:
    """A workload's layers that multiply, under one algorithm.

    operations: at inference. offline: once before it (filter transforms). direct: multiplications of direct convolution,
    zeros included. workspace_bytes: the most that any layer's temporaries take. fallbacks: layers it does not
    apply to. fused: those temporaries stay on chip, a block at a time.
    """

    algorithm: str
    operations: Operations
    offline: Operations
    direct: int
    workspace_bytes: int
    fallbacks: tuple[str, ...]
    fused: bool = False

    @property
    def reduction(self) -> float:
        """Dense direct multiplications for each effectual one."""
        return self.direct / self.operations.effectual_multiplies if self.operations.effectual_multiplies else float("inf")


def count_algorithms(workload: Workload, names: Sequence[str], arrays: Mapping[str, Arrays] | None = None) -> list[Counted]:
    """One row an algorithm, in the order of the names. arrays: by layer, to count effectual multiplications exactly.

    Raises UnknownName, HwsimError as `lower` does.
    """
    layers = {name: layer for name, layer in workload.layers.items() if not isinstance(layer, (PoolLayer, ElementwiseLayer))}
    if not layers:
        raise HwsimError(f"{workload.name}: no layer that multiplies; expected a convolution or a product")
    return [_count(layers, name, arrays or {}) for name in names]


def _count(layers: Mapping[str, Layer], algorithm: str, arrays: Mapping[str, Arrays]) -> Counted:
    online, offline, workspace, fallbacks, fused = Operations(), Operations(), 0, [], False
    for name, layer in layers.items():
        plan = lower(layer, algorithm)
        if plan.algorithm != algorithm:
            fallbacks.append(name)
        own = sum((stage.operations for stage in plan.stages if not stage.offline), Operations())
        if name in arrays and isinstance(layer, (ConvLayer, ConvTransposeLayer)):
            own = own.with_effectual(_on_arrays(layer, plan, arrays[name]))
        online = online + own
        offline = offline + sum((stage.operations for stage in plan.stages if stage.offline), Operations())
        workspace = max(workspace, plan.workspace_bytes)
        fused = fused or bool(plan.fused_over)
    return Counted(algorithm, online, offline, sum(layer.macs for layer in layers.values()), workspace, tuple(fallbacks), fused)


def _on_arrays(layer: Convolution, plan: Plan, arrays: Arrays) -> int:
    given = operands(layer, arrays.x, arrays.w)
    weights = {tensor.name for stage in plan.stages for tensor in stage.tensors if tensor.role == "weight"}
    written = {stage.output.name for stage in plan.stages}
    for name in weights - written - set(given):
        if not name.startswith("U"):
            raise HwsimError(f"{plan.algorithm}: its weights are not the layer's; expected a density instead of arrays")
        given[name] = arrays.u if arrays.u is not None else _transformed_filter(layer, plan, given, name)
    return effectual_multiplies(plan, given)


def _transformed_filter(layer: Layer, plan: Plan, given: Mapping[str, Array], name: str) -> Array:
    """U of the filter, for a plan that takes it as it is."""
    plain = lower(layer, plan.algorithm.replace("-relu", ""))
    before = Plan(plain.algorithm, tuple(stage for stage in plain.stages if stage.offline))
    return evaluate(before, given)[name]


def load_arrays(path: Path, workload: Workload) -> dict[str, Arrays]:
    """Arrays of a NumPy .npz file: LAYER.weights and LAYER.activations for each layer, LAYER.U where weights are in the
    Winograd domain.

    Raises HwsimError for a file that is none, a layer the workload does not have, and a shape that is not the layer's.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise HwsimError(f"{path}: cannot be read as a NumPy .npz file: {error}") from None
    arrays = {}
    for name in dict.fromkeys(entry.rpartition(".")[0] for entry in found):
        layer = workload.layers.get(name)
        if not isinstance(layer, (ConvLayer, ConvTransposeLayer)):
            raise HwsimError(
                f"{path}: no convolution {name!r} in {workload.name}{nearest(name, workload.layers)}; "
                f"expected entries named LAYER.weights and LAYER.activations"
            )
        arrays[name] = _checked(path, name, layer, found)
    return arrays


def _checked(path: Path, name: str, layer: Convolution, found: Mapping[str, Array]) -> Arrays:
    transposed = isinstance(layer, ConvTransposeLayer)
    filters = (layer.c, layer.k // layer.groups) if transposed else (layer.k, layer.c // layer.groups)
    shapes = {"activations": (layer.n, layer.c, layer.h, layer.w), "weights": (*filters, layer.r, layer.s)}
    for kind, shape in shapes.items():
        if f"{name}.{kind}" not in found:
            raise HwsimError(f"{path}: no entry {name}.{kind}; expected one of shape {shape}")
        if found[f"{name}.{kind}"].shape != shape:
            raise HwsimError(f"{path}: {name}.{kind} has shape {found[f'{name}.{kind}'].shape}; expected {shape}")
    return Arrays(found[f"{name}.activations"], found[f"{name}.weights"], found.get(f"{name}.U"))
