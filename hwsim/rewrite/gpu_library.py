"""Algorithms as a GPU's library runs them, where that is not how the textbook does.

    transforms and products apart:   what the transforms write is of fp32, and so are the products;
                                     Winograd's take `winograd_images` at a time, some of them none;
                                     every group is called for by itself, of Fourier's every tile,
                                     whose filters are complex numbers
    a matrix of windows:             written by one kernel for every image
    attention in blocks:             one kernel, in half precision
    transforms fused with products:  one kernel, where the library has it

Seen in the launches and workspaces of reference/h100_conv.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hwsim.describe.machine import Machine
from hwsim.describe.units import DTYPE_BYTES
from hwsim.ir.attention import fused_attention
from hwsim.ir.kernel import Move, Rectified, Separable
from hwsim.ir.note import About, Note
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.tensor import Axis, Tensor, without_axis
from hwsim.ir.transformed import in_one_stage
from hwsim.parts.sm import StreamingMultiprocessor

SUMS = "fp32"
HALVES = ("fp16", "bf16")  # types that fused attention is written for


def as_library_runs(plan: Plan, machine: Machine) -> Plan:
    """The plan with what the machine's library does otherwise; itself on machines without one."""
    sm = machine.compute
    if not isinstance(sm, StreamingMultiprocessor) or sm.library is None:
        return plan
    if plan.one_kernel and plan.stages[0].dtype in HALVES and sm.uses_tensor_cores(HALVES[0]):
        return replace(plan, stages=(fused_attention(plan.stages),), temporaries=(), fused_over=())
    read = {tensor.name for stage in plan.stages for tensor in stage.inputs}
    spectra = frozenset(stage.output.name for stage in plan.stages) & read
    products = [stage for stage in plan.stages if _multiplies_spectra(stage, spectra)]
    if plan.fused_over:
        block = sm.library.winograd_fused
        fused = None if block is None else in_one_stage(plan, block.filters)
        if fused is not None or not products:
            return fused or plan
        plan = _apart(plan, machine)
    if not products:
        return replace(plan, stages=tuple(_by_image(stage, plan) for stage in plan.stages))
    wide = [_in_sums(stage, spectra) for stage in plan.stages]
    if not any(isinstance(stage.kernel, (Separable, Rectified)) for stage in plan.stages):
        matrices = _matrix_axes(products)
        narrow = [_as_complex(stage, matrices) for stage in wide]
        return replace(plan, stages=tuple(_tile_by_tile(stage, spectra) for stage in narrow))
    images = sm.library.winograd_images
    stages = tuple(_of_groups(stage, spectra, images) for stage in wide)
    return replace(plan, stages=stages, notes=(*plan.notes, *_said(wide, stages, images, machine)))


def _apart(plan: Plan, machine: Machine) -> Plan:
    """Fused transforms and products that the library has no kernel for, one after another."""
    why = (
        f"not fused on {machine.name}: its library has no kernel for it; the stages run one after "
        f"another"
    )
    return replace(plan, fused_over=(), notes=(*plan.notes, Note(why, About.LIBRARY)))


def _said(
    before: Sequence[Stage], after: Sequence[Stage], images: int, machine: Machine
) -> Iterator[Note]:
    """What of it a user may wonder at."""
    there, taken = _most_images(before), _most_images(after)
    if taken > there:
        some = "one takes" if there == 1 else f"{there} take"
        yield Note(
            f"{machine.name}'s library transforms {images} images at a time: {some} as long as "
            f"{taken}",
            About.LIBRARY,
        )
    if any(stage.launches > 1 for stage in after):
        yield Note(f"{machine.name}'s library calls for every group by itself", About.LIBRARY)


def _most_images(stages: Sequence[Stage]) -> int:
    return max(stage.extents.get("n", 1) for stage in stages)


def _multiplies_spectra(stage: Stage, spectra: frozenset[str]) -> bool:
    """Does it multiply a map's transform with the filters'?"""
    return stage.view is not None and all(tensor.name in spectra for tensor in stage.inputs)


def _in_sums(stage: Stage, spectra: frozenset[str]) -> Stage:
    """The stage with transforms in the type of sums, or a wider one of its own.

    Products of them are in that type as well.
    """
    sums = max(SUMS, stage.dtype or SUMS, key=lambda dtype: DTYPE_BYTES[dtype])
    width = max(DTYPE_BYTES[sums], stage.output.width)
    tensors = tuple(
        replace(tensor, width=width) if tensor.name in spectra else tensor
        for tensor in stage.tensors
    )
    product = _multiplies_spectra(stage, spectra)
    return replace(stage, tensors=tensors, dtype=sums if product else stage.dtype)


def _of_groups(stage: Stage, spectra: frozenset[str], images: int) -> Stage:
    """The stage on a whole number of groups of images.

    Images that there are not lie outside the maps.
    """
    extents = stage.extents
    called_over = tuple(dim for dim in ("g",) if dim in extents)
    if "n" not in extents:  # the filters'
        return replace(stage, called_over=called_over)
    padded = -(-extents["n"] // images) * images
    bounds = tuple((dim, padded if dim == "n" else bound) for dim, bound in stage.bounds)
    tensors = tuple(_wider(tensor, padded, spectra) for tensor in stage.tensors)
    return replace(stage, bounds=bounds, tensors=tensors, called_over=called_over)


def _matrix_axes(products: Sequence[Stage]) -> dict[str, int]:
    """Filters whose points are 2 x 2 real matrices, and the number of the axis along a row."""
    return {
        tensor.name: number
        for stage in products
        for tensor in stage.inputs
        for number, axis in enumerate(tensor.axes)
        if tensor.role == "weight" and axis.dims == ("o",)
    }


def _as_complex(stage: Stage, matrices: Mapping[str, int]) -> Stage:
    """Filters' points stored as complex numbers: the first column of the matrix says all."""
    tensors = tuple(
        without_axis(tensor, matrices[tensor.name]) if tensor.name in matrices else tensor
        for tensor in stage.tensors
    )
    return replace(stage, tensors=tensors)


def _tile_by_tile(stage: Stage, spectra: frozenset[str]) -> Stage:
    """Spectra of one place of the tiles at a time, of all images."""
    called_over = tuple(dim for dim in ("y", "x") if dim in stage.extents)

    def places_first(tensor: Tensor) -> Tensor:
        if tensor.name not in spectra:
            return tensor
        order = sorted(
            tensor.order, key=lambda number: not set(tensor.axes[number].dims) & set(called_over)
        )
        return replace(tensor, layout=tuple(order))

    view = stage.view
    if view is not None:
        rows = tuple(dim for dim in view.m if dim not in called_over)
        view = replace(view, m=rows, b=(*called_over, *view.b))
    tensors = tuple(places_first(tensor) for tensor in stage.tensors)
    return replace(stage, tensors=tensors, called_over=called_over, view=view)


def _wider(tensor: Tensor, images: int, spectra: frozenset[str]) -> Tensor:
    if tensor.name not in spectra:
        return tensor

    def widened(axis: Axis) -> Axis:
        return replace(axis, size=images) if axis.dims == ("n",) else axis

    return replace(tensor, axes=tuple(widened(axis) for axis in tensor.axes))


def _by_image(stage: Stage, plan: Plan) -> Stage:
    """Windows are written out image by image."""
    writes_windows = isinstance(stage.kernel, Move) and stage.has_taps
    if not writes_windows or stage.output.name not in plan.temporaries:
        return stage
    return replace(stage, called_over=tuple(dim for dim in ("n",) if dim in stage.extents))
