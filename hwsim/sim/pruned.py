"""Zeros of the weights that a machine can skip: the products it is spared, by the structure of the zeros.

2:4        for c: out += x[c] * w[c]      ->     for c/2: out += (one of x[4i ... 4i+3]) * w[c/2]      tensor cores that select
blocks     the same with whole blocks left out, where a block fills what the machine multiplies at a time
channels   a smaller layer, for everyone (hwsim.algorithms)
anything else is multiplied like any number; a machine that gates zeros saves the multiplier's energy
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from hwsim.ir.access import Tensor
from hwsim.ir.stage import Plan, Stage
from hwsim.parts.core import Core
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.parts.systolic import SystolicArray
from hwsim.spec.layer import DENSE, Density, Layer
from hwsim.spec.machine import Machine

LEAST_BLOCK = 16  # of filters and channels, for a tensor core's fragments


def exploit(plan: Plan, layer: Layer, machine: Machine) -> tuple[Plan, list[str]]:
    """The plan with the products left out that the machine need not do, and what became of the zeros."""
    density: Density = getattr(layer, "density", DENSE)
    notes = list(plan.notes)
    if density.weights == 1.0 or density.structure == "channels":
        return plan, notes
    reason = _why_not(density, machine, layer.dtype)
    stages = tuple(stage if reason or not _holds_zeros(stage, density) else _compressed(stage, density.weights) for stage in plan.stages)
    if stages != plan.stages:
        return replace(plan, stages=stages), [*notes, f"{machine.name} skips the {density.structure} zeros of the weights"]
    gates = getattr(machine.compute, "zeros", "multiplied") == "gating"
    why = reason or "the transform fills them in"
    return plan, [*notes, f"{machine.name} {'spends no multiplier energy on' if gates else 'multiplies'} zeros of the weights: {why}"]


def _why_not(density: Density, machine: Machine, dtype: str | None) -> str | None:
    """Why the machine cannot skip these zeros; None when it can."""
    compute = machine.compute
    if density.of_group is not None:
        formats = compute.sparse if isinstance(compute, StreamingMultiprocessor) and compute.uses_tensor_cores(dtype) else ()
        return (
            None
            if density.structure in formats
            else f"it has no {density.structure} products" + (f" of {dtype}" if isinstance(compute, StreamingMultiprocessor) else "")
        )
    if density.block is not None:
        least = _least_block(machine)
        fits = least is not None and all(side % own == 0 for side, own in zip(density.block, least, strict=True))
        return (
            None
            if fits
            else f"blocks of {density.structure} are none that it multiplies at a time"
            + (f"; expected multiples of {least[0]}x{least[1]}" if least else "")
        )
    return "they lie anywhere"


def _least_block(machine: Machine) -> tuple[int, int] | None:
    """Filters x channels that a machine multiplies at a time: a vector by one, a fragment, an array."""
    compute = machine.compute
    if isinstance(compute, Core):
        return compute.vector // 4, 1
    if isinstance(compute, StreamingMultiprocessor):
        return LEAST_BLOCK, LEAST_BLOCK
    return (compute.cols, compute.rows) if isinstance(compute, SystolicArray) else None


def _holds_zeros(stage: Stage, density: Density) -> bool:
    """Are a product's weights the pruned ones? Blocks go through transforms of the taps, N:M does not."""
    weights = [tensor for tensor in stage.tensors if tensor.role == "weight"]
    if stage.view is None or not weights:
        return False
    return weights[0].name in ("filter", "B") or density.block is not None


def _compressed(stage: Stage, share: float) -> Stage:
    """The first dim of the reduction shortened to its share; a product selects one of ceil(1/share) inputs."""
    assert stage.view is not None
    dim = stage.view.k[0]
    left = ceil(stage.extents[dim] * share)
    ratio = ceil(1 / share)
    bounds = tuple((name, left if name == dim else bound) for name, bound in stage.bounds)
    return replace(stage, bounds=bounds, tensors=tuple(_compressed_tensor(tensor, dim, left, ratio) for tensor in stage.tensors))


def _compressed_tensor(tensor: Tensor, dim: str, left: int, ratio: int) -> Tensor:
    axes = []
    for axis in tensor.axes:
        if dim not in axis.dims:
            axes.append(axis)
        elif tensor.role == "weight":
            axes.append(replace(axis, size=left))
        else:
            axes.append(
                replace(axis, terms=tuple((name, step * ratio if name == dim else step) for name, step in axis.terms), extent=ratio)
            )
    return replace(tensor, axes=tuple(axes))
