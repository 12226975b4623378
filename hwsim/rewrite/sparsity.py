"""Zeros of the weights that a machine can skip: the products it is spared, by their structure.

    2:4        for c: out += x[c] * w[c]
               ->  for c/2: out += (one of x[4i ... 4i+3]) * w[c/2]    tensor cores that select
    blocks     the same with whole blocks left out, where a block fills what the machine
               multiplies at a time
    channels   a smaller layer, for everyone (hwsim.algorithms)

Anything else is multiplied like any number; a machine that gates zeros saves the multiplier's
energy.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from hwsim.describe.formats import FORMATS
from hwsim.describe.layer import DENSE, Density, GemmLayer, Layer
from hwsim.describe.machine import Machine
from hwsim.ir.kernel import Separable
from hwsim.ir.note import Note
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.core import Core
from hwsim.parts.dram import Dram
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.parts.systolic import SystolicArray

LEAST_BLOCK = 16  # of filters and channels, for a tensor core's fragments


def exploit(plan: Plan, layer: Layer, machine: Machine) -> tuple[Plan, list[Note]]:
    """The plan without the products that the machine need not do.

    The notes say what became of the zeros.
    """
    density: Density = getattr(layer, "density", DENSE)
    plan, notes = _compressed_tensors(plan, density, machine), list(plan.notes)
    if density.weights == 1.0 or density.structure == "channels":
        return plan, notes
    reason = _why_not(density, layer, machine)
    stages = (
        plan.stages
        if reason
        else tuple(_skipped(stage, plan, layer, density, machine) for stage in plan.stages)
    )
    if stages != plan.stages:
        return replace(plan, stages=stages), [
            *notes,
            Note(f"{machine.name} skips the {density.structure} zeros of the weights"),
        ]
    gates = machine.compute.zeros == "gating"
    why = (
        reason or "these products are not those of the pruned weights, or not for its sparse units"
    )
    does = "spends no multiplier energy on" if gates else "multiplies"
    return plan, [*notes, Note(f"{machine.name} {does} zeros of the weights: {why}")]


def _compressed_tensors(plan: Plan, density: Density, machine: Machine) -> Plan:
    """The plan with the tensors that come and go coded.

    They are coded where the machine does so and their zeros lie anywhere; what coding would
    lengthen travels as it is.
    """
    dram = machine.part(machine.dram_name, Dram)
    if dram.compression == "none":
        return plan
    form = FORMATS[dram.compression]
    anywhere = density.structure == "unstructured"
    densities = {
        "activation": density.activations,
        "output": density.outputs,
        "weight": density.weights if anywhere else 1.0,
    }

    def coded(tensor: Tensor) -> Tensor:
        role = tensor.kept_as or tensor.role
        if tensor.buffer in plan.temporaries or role not in dram.compresses:
            return tensor
        shape = tuple(axis.size for axis in tensor.axes)
        return replace(tensor, coded=form.share(shape, densities[role], round(8 * tensor.width)))

    stages = tuple(
        replace(stage, tensors=tuple(map(coded, stage.tensors))) for stage in plan.stages
    )
    return replace(plan, stages=stages)


def _why_not(density: Density, layer: Layer, machine: Machine) -> str | None:
    """Why the machine cannot skip these zeros; None when it can."""
    compute = machine.compute
    filters, channels = _matrix(layer)
    if density.of_group is not None:
        if density.of_group[1] > channels:
            return f"{channels} channels are fewer than {density.of_group[1]}"
        sparse = (
            isinstance(compute, StreamingMultiprocessor)
            and compute.uses_tensor_cores(layer.dtype)
            and density.structure in compute.sparse
        )
        return None if sparse else f"it has no {density.structure} products of {layer.dtype}"
    if density.block is not None:
        if density.block[0] > filters or density.block[1] > channels:
            return f"{filters} filters of {channels} channels are smaller than a block"
        least = _least_block(machine)
        if least is not None and all(
            side % own == 0 for side, own in zip(density.block, least, strict=True)
        ):
            return None
        return (
            f"it skips whole blocks of {least[0]}x{least[1]} only"
            if least
            else "it skips no blocks"
        )
    return "they lie anywhere"


def _matrix(layer: Layer) -> tuple[int, int]:
    """(filters, channels) of one group's weights."""
    if isinstance(layer, GemmLayer):
        return layer.n, layer.k
    groups = getattr(layer, "groups", 1)
    return getattr(layer, "k", 1) // groups, getattr(layer, "c", 1) // groups


def _skipped(stage: Stage, plan: Plan, layer: Layer, density: Density, machine: Machine) -> Stage:
    """The stage without the zeros' products, where its unit skips them.

    Its weights must be the pruned ones, too.
    """
    weights = [tensor.name for tensor in stage.tensors if tensor.role == "weight"]
    written = {other.output.name for other in plan.stages if isinstance(other.kernel, Separable)}
    transformed = bool(weights) and (plan.trained_in != "" or weights[0] in written)
    outlives = density.block is not None and transformed  # a transform goes along the taps
    if (
        stage.view is None
        or not weights
        or not (weights[0].partition("-")[0] in ("filter", "B") or outlives)
    ):
        return stage
    shorter = _compressed(stage, density.weights, _matrix(layer)[1])
    compute = machine.compute
    if (
        density.of_group is not None
        and isinstance(compute, StreamingMultiprocessor)
        and not compute.on_tensor_cores(shorter)
    ):
        return stage
    return shorter


def _least_block(machine: Machine) -> tuple[int, int] | None:
    """Filters x channels that a machine multiplies at a time.

    They are a vector by one, a fragment, or an array.
    """
    compute = machine.compute
    if isinstance(compute, Core):
        return compute.vector // 4, 1
    if isinstance(compute, StreamingMultiprocessor):
        return LEAST_BLOCK, LEAST_BLOCK
    return (
        (compute.cols, compute.rows)
        if isinstance(compute, SystolicArray) and compute.zeros == "skipping"
        else None
    )


def _compressed(stage: Stage, share: float, channels: int) -> Stage:
    """The first dim of the reduction shortened to its share of channels.

    A product selects one of as many inputs as 1/share, rounded down: all lie inside the map.
    """
    assert stage.view is not None
    dim = stage.view.k[0]
    left = ceil(channels * share) * (stage.extents[dim] // channels)
    ratio = max(1, stage.extents[dim] // left)
    bounds = tuple((name, left if name == dim else bound) for name, bound in stage.bounds)
    return replace(
        stage,
        bounds=bounds,
        tensors=tuple(_compressed_tensor(tensor, dim, left, ratio) for tensor in stage.tensors),
    )


def _compressed_tensor(tensor: Tensor, dim: str, left: int, ratio: int) -> Tensor:
    axes = []
    for axis in tensor.axes:
        if dim not in axis.dims:
            axes.append(axis)
        elif tensor.role == "weight":
            axes.append(replace(axis, size=left))
        else:
            axes.append(
                replace(
                    axis,
                    terms=tuple(
                        (name, step * ratio if name == dim else step) for name, step in axis.terms
                    ),
                    extent=ratio,
                )
            )
    return replace(tensor, axes=tuple(axes))
