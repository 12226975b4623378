"""A workload's operations under every algorithm, counted from the stages alone.

No machine is asked for, and nothing is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from hwsim.algorithms import lower
from hwsim.count.effectual import effectual_multiplies
from hwsim.describe.layer import (
    DENSE,
    ConvLayer,
    ConvTransposeLayer,
    Layer,
    MemoryLayer,
    ProductLayer,
)
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError, nearest
from hwsim.ir.convolution import Convolution
from hwsim.ir.evaluate import evaluate, operands
from hwsim.ir.note import About
from hwsim.ir.stage import Operations, Plan

Array = npt.NDArray[Any]
DIRECT = "direct"
SAID = (About.FALLBACK, About.RESULT)  # notes about what is counted
KINDS = ("weights", "activations", "U")


@dataclass(frozen=True)
class Arrays:
    """One layer's input x [n, c, h, w] and weights w [k, c/groups, r, s].

    u: weights in the Winograd domain, or None.
    """

    x: Array
    w: Array
    u: Array | None = None


@dataclass(frozen=True)
class Counted:
    """A workload's layers that multiply, under one algorithm.

    operations: at inference. offline: once before it (filter transforms). direct: multiplications
    of direct convolution, zeros included. workspace_bytes: the most that any layer's temporaries
    take. notes: what is to be said of which layers. fused: those temporaries stay on chip, a block
    at a time.
    """

    algorithm: str
    operations: Operations
    offline: Operations
    direct: int
    workspace_bytes: int
    fallbacks: tuple[str, ...]
    notes: Mapping[str, tuple[str, ...]]
    fused: bool = False

    @property
    def reduction(self) -> float | None:
        """Dense direct multiplications for each effectual one; None when there is none."""
        return (
            self.direct / self.operations.effectual_multiplies
            if self.operations.effectual_multiplies
            else None
        )


def count_algorithms(
    workload: Workload, names: Sequence[str], arrays: Mapping[str, Arrays] | None = None
) -> list[Counted]:
    """One row an algorithm, in the order of the names.

    arrays: by layer, to count effectual multiplications exactly.

    Raises UnknownName, HwsimError as `lower` does.
    """
    layers = {
        name: layer for name, layer in workload.layers.items() if not isinstance(layer, MemoryLayer)
    }
    if not layers:
        raise HwsimError(
            f"{workload.name}: no layer that multiplies; expected a convolution or a product"
        )
    direct = sum(lower(_dense(layer), DIRECT).operations.multiplies for layer in layers.values())
    return [_count(layers, name, arrays or {}, direct) for name in names]


def _dense(layer: Layer) -> Layer:
    return replace(layer, density=DENSE) if isinstance(layer, ProductLayer) else layer


def _count(
    layers: Mapping[str, Layer], algorithm: str, arrays: Mapping[str, Arrays], direct: int
) -> Counted:
    online, offline, workspace, fallbacks, fused = Operations(), Operations(), 0, [], False
    notes: dict[str, list[str]] = {}
    for name, layer in layers.items():
        plan = lower(layer, algorithm)
        own = plan.operations
        said = [note.predicate for note in plan.notes if note.about in SAID]
        if plan.algorithm != algorithm:
            fallbacks.append(name)
        if name in arrays and isinstance(layer, (ConvLayer, ConvTransposeLayer)):
            exact = _on_arrays(layer, plan, arrays[name])
            own = own if exact is None else own.with_effectual(exact)
            said += (
                ["its weights are not the layer's: zeros are not counted on the arrays"]
                if exact is None
                else []
            )
        for note in said:
            notes.setdefault(note, []).append(name)
        online = online + own
        offline = offline + sum(
            (stage.operations for stage in plan.stages if stage.offline), Operations()
        )
        workspace = max(workspace, plan.workspace_bytes)
        fused = fused or bool(plan.fused_over)
    return Counted(
        algorithm,
        online,
        offline,
        direct,
        workspace,
        tuple(fallbacks),
        {note: tuple(own) for note, own in notes.items()},
        fused,
    )


def _on_arrays(layer: Convolution, plan: Plan, arrays: Arrays) -> int | None:
    """Effectual multiplications; None for an algorithm with weights of its own."""
    if layer.density.structure == "channels":
        return None
    given = operands(layer, arrays.x, arrays.w)
    weights = {
        tensor.name for stage in plan.stages for tensor in stage.tensors if tensor.role == "weight"
    }
    written = {stage.output.name for stage in plan.stages}
    for name in weights - written - set(given):
        if not plan.trained_in:
            return None
        given[name] = (
            _transformed_filter(layer, plan, given, name) if arrays.u is None else arrays.u
        )
        size = next(
            tensor.elements
            for stage in plan.stages
            for tensor in stage.tensors
            if tensor.name == name
        )
        if given[name].size != size:
            raise HwsimError(
                f"{plan.algorithm}: U has {given[name].size} elements; expected {size}: points x "
                f"filters x channels of {name}"
            )
    return effectual_multiplies(plan, given)


def _transformed_filter(layer: Layer, plan: Plan, given: Mapping[str, Array], name: str) -> Array:
    """U of the filter, for a plan that takes it as it is."""
    plain = lower(layer, plan.trained_in)
    before = Plan(plain.algorithm, tuple(stage for stage in plain.stages if stage.offline))
    return evaluate(before, given)[name]


def load_arrays(path: Path, workload: Workload) -> dict[str, Arrays]:
    """A workload's arrays out of a NumPy .npz file.

    Each layer has LAYER.weights and LAYER.activations, and LAYER.U where weights are in the
    Winograd domain.

    Raises HwsimError for a file that is none, a layer the workload does not have, an entry that is
    none of these, and a shape that is not the layer's.
    """
    found = _read_npz(path)
    for entry in found:
        name, _, kind = entry.rpartition(".")
        if name not in workload.layers:
            raise HwsimError(
                f"{path}: {entry}: no layer {name!r} in "
                f"{workload.name}{nearest(name, workload.layers)}; expected LAYER.weights "
                "and LAYER.activations"
            )
        if not isinstance(workload.layers[name], (ConvLayer, ConvTransposeLayer)):
            raise HwsimError(
                f"{path}: {entry}: {name} is not a convolution; expected arrays of convolutions, "
                f"and densities for other layers"
            )
        if kind not in KINDS:
            raise HwsimError(
                f"{path}: {entry}: expected "
                f"{', '.join(f'{name}.{known}' for known in KINDS)}{nearest(kind, KINDS)}"
            )
    names = dict.fromkeys(entry.rpartition(".")[0] for entry in found)
    layers = {
        name: layer
        for name in names
        if isinstance(layer := workload.layers[name], (ConvLayer, ConvTransposeLayer))
    }
    return {name: _checked(path, name, layer, found) for name, layer in layers.items()}


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: np.asarray(file[name]) for name in file.files}
    except FileNotFoundError:
        raise HwsimError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, EOFError, BadZipFile):
        raise HwsimError(
            f"{path}: cannot be read as a NumPy .npz file; expected one written by numpy.savez"
        ) from None
    if not found:
        raise HwsimError(f"{path}: no arrays; expected LAYER.weights and LAYER.activations")
    for name, values in found.items():
        if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
            raise HwsimError(
                f"{path}: {name} has values of {values.dtype} that are no finite real numbers; "
                f"expected those"
            )
    return found


def _checked(path: Path, name: str, layer: Convolution, found: Mapping[str, Array]) -> Arrays:
    transposed = isinstance(layer, ConvTransposeLayer)
    filters = (
        (layer.c, layer.k // layer.groups) if transposed else (layer.k, layer.c // layer.groups)
    )
    shapes = {
        "activations": (layer.n, layer.c, layer.h, layer.w),
        "weights": (*filters, layer.r, layer.s),
    }
    for kind, shape in shapes.items():
        if f"{name}.{kind}" not in found:
            raise HwsimError(f"{path}: no entry {name}.{kind}; expected one of shape {shape}")
        if found[f"{name}.{kind}"].shape != shape:
            raise HwsimError(
                f"{path}: {name}.{kind} has shape {found[f'{name}.{kind}'].shape}; expected {shape}"
            )
    return Arrays(found[f"{name}.activations"], found[f"{name}.weights"], found.get(f"{name}.U"))
