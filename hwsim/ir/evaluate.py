"""The values of a plan, computed on arrays stage after stage.

What is computed follows from a stage's tensors and statement alone. Its tensors become strided
views of their arrays, one axis a loop dim (and one a patch), padding added around; a
multiply-accumulate is then a batch of matrix products, any other statement its kernel on all
iterations at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from hwsim.describe.layer import ConvTransposeLayer
from hwsim.errors import HwsimError
from hwsim.ir.convolution import Convolution
from hwsim.ir.stage import Plan, Stage
from hwsim.ir.tensor import Tensor

PIECE = 1 << 18  # words that a kernel works on at a time

Array = npt.NDArray[Any]
Contract = Callable[[Array | None, Array, Array], Array]


def add_product(total: Array | None, a: Array, b: Array) -> Array:
    """total [b, m, n] + a [b, m, k] x b [b, k, n]; None is zero."""
    return a @ b if total is None else total + a @ b


def exactly(values: Array, stage: Stage) -> Array:
    """What a stage writes, as it was computed."""
    return values


@dataclass(frozen=True)
class Arithmetic:
    """How numbers are kept and multiplied.

    contract: as add_product. store: rounds what a stage writes. zero: of dtype.
    """

    dtype: npt.DTypeLike = np.float64
    contract: Contract = add_product
    store: Callable[[Array, Stage], Array] = exactly
    zero: Any = 0


FLOAT64 = Arithmetic()


def evaluate(
    plan: Plan, operands: Mapping[str, Array], arithmetic: Arithmetic = FLOAT64
) -> dict[str, Array]:
    """{tensor: values} of all that a plan reads and writes, in the shape of its axes."""
    values: dict[str, Array] = {}
    for stage in plan.stages:
        for tensor in stage.inputs:
            if tensor.buffer not in values:
                values[tensor.buffer] = np.asarray(operands[tensor.buffer], arithmetic.dtype)
        values[stage.output.name] = run_stage(stage, values, arithmetic)
    return values


def run_stage(stage: Stage, values: Mapping[str, Array], arithmetic: Arithmetic = FLOAT64) -> Array:
    """The stage's output; what an earlier stage wrote elsewhere in the same tensor stays."""
    target = Canvas(stage.output, stage, values.get(stage.output.name), arithmetic)
    if stage.kernel is None:
        _contract(stage, values, arithmetic, target)
    else:
        dims = [dim for dim, _ in stage.bounds if dim in stage.output.dims]
        patches = [gathered(tensor, stage, values, dims, arithmetic) for tensor in stage.inputs]
        result = np.concatenate([stage.kernel.apply(part) for part in _pieces(patches, stage)])
        target.write(
            dims,
            arithmetic.store(
                np.broadcast_to(result, (*target.lengths(dims), result.shape[-1])), stage
            ),
        )
    return target.values()


def _pieces(patches: list[Array], stage: Stage) -> Iterator[list[Array]]:
    """The inputs cut along their first dim into pieces.

    A processor's cache holds a piece with what comes of it.
    """
    longest = max(patch.shape[0] for patch in patches) if patches[0].ndim > 1 else 1
    words = max(
        sum(patch.size for patch in patches),
        stage.iterations * prod(axis.extent for axis in stage.output.axes),
    )
    each = max(1, longest * PIECE // words)
    for start in range(0, longest, each):
        yield [
            patch if patch.shape[0] == 1 and longest > 1 else patch[start : start + each]
            for patch in patches
        ]


def _contract(
    stage: Stage, values: Mapping[str, Array], arithmetic: Arithmetic, target: Canvas
) -> None:
    """A batch of matrix products for every iteration of the dims that the view leaves out.

    They are added up in the order of these.
    """
    view, extents = stage.view, stage.extents
    if view is None:
        raise HwsimError(f"{stage.name}: no kernel computes it")
    left, right = stage.inputs
    outside = [dim for dim, _ in stage.bounds if dim not in (*view.b, *view.m, *view.n, *view.k)]
    a = gathered(left, stage, values, [*outside, *view.b, *view.m, *view.k], arithmetic)
    b = gathered(right, stage, values, [*outside, *view.b, *view.k, *view.n], arithmetic)
    size = {
        key: prod(extents[dim] for dim in dims)
        for key, dims in (("b", view.b), ("m", view.m), ("n", view.n), ("k", view.k))
    }
    total: Array | None = None
    for place in product(*(range(extents[dim]) for dim in outside)):
        total = arithmetic.contract(
            total,
            _at(a, place).reshape(size["b"], size["m"], size["k"]),
            _at(b, place).reshape(size["b"], size["k"], size["n"]),
        )
    assert total is not None
    dims = [*view.b, *view.m, *view.n]
    target.write(dims, arithmetic.store(total, stage).reshape(*target.lengths(dims), 1))


def _at(array: Array, place: tuple[int, ...]) -> Array:
    """One iteration of the leading dims; an operand that a dim does not move has length 1 there."""
    part: Array = array[
        tuple(min(index, length - 1) for index, length in zip(place, array.shape, strict=False))
    ]
    return part


def gathered(
    tensor: Tensor,
    stage: Stage,
    values: Mapping[str, Array],
    dims: list[str],
    arithmetic: Arithmetic,
) -> Array:
    """What every iteration touches, [dims..., patch], zero outside the tensor.

    Along dims that do not move it the length is 1.
    """
    source = values[tensor.buffer]
    if tensor.part_of:
        source = source.reshape(-1, tensor.elements)[tensor.part_of[1]]
    source = source.reshape([axis.size for axis in tensor.axes])
    view, names = _view(_padded(source, tensor, stage, arithmetic), tensor, stage)
    order = [names.index(dim) for dim in dims if dim in names]
    moved = view.transpose(*order, *range(len(names), view.ndim))
    lengths = [stage.extents[dim] if dim in names else 1 for dim in dims]
    return moved.reshape(*lengths, prod(moved.shape[len(order) :]))


class Canvas:
    """The array that a stage writes into, with room around it for what falls outside the tensor."""

    def __init__(
        self, tensor: Tensor, stage: Stage, before: Array | None, arithmetic: Arithmetic
    ) -> None:
        self._tensor, self._stage = tensor, stage
        shape = [axis.size for axis in tensor.axes]
        start = (
            np.full(shape, arithmetic.zero, arithmetic.dtype)
            if before is None
            else before.reshape(shape)
        )
        self._padded = np.ascontiguousarray(_padded(start, tensor, stage, arithmetic))

    def lengths(self, dims: list[str]) -> list[int]:
        return [self._stage.extents[dim] for dim in dims]

    def write(self, dims: list[str], result: Array) -> None:
        """result [dims..., patch]"""
        view, names = _view(self._padded, self._tensor, self._stage)
        patch = [axis.extent for axis in self._tensor.axes]
        order = [names.index(dim) for dim in dims if dim in names]
        view.transpose(*order, *range(len(names), view.ndim))[...] = result.reshape(
            *(length for dim, length in zip(dims, result.shape, strict=False) if dim in names),
            *patch,
        )

    def values(self) -> Array:
        inside = [
            slice(low, low + axis.size)
            for axis, (low, _) in zip(
                self._tensor.axes, _margins(self._tensor, self._stage), strict=True
            )
        ]
        return self._padded[tuple(inside)]


def _margins(tensor: Tensor, stage: Stage) -> list[tuple[int, int]]:
    """(before, after) each axis: how far iterations reach outside the tensor."""
    return [axis.overhang(stage.extents) for axis in tensor.axes]


def _padded(array: Array, tensor: Tensor, stage: Stage, arithmetic: Arithmetic) -> Array:
    margins = _margins(tensor, stage)
    if not any(low or high for low, high in margins):
        return array
    return np.pad(array, margins, constant_values=arithmetic.zero)


def _view(array: Array, tensor: Tensor, stage: Stage) -> tuple[Array, list[str]]:
    """(view [dims of all axes..., patch of every axis...], the dims' names)."""
    names, lengths, strides = [], [], []
    for (dim, coefficient), stride in _terms(tensor, array):
        names.append(dim)
        lengths.append(stage.extents[dim])
        strides.append(coefficient * stride)
    lengths += [axis.extent for axis in tensor.axes]
    strides += [axis.step * stride for axis, stride in zip(tensor.axes, array.strides, strict=True)]
    corner = tuple(
        slice(axis.offset + low, None)
        for axis, (low, _) in zip(tensor.axes, _margins(tensor, stage), strict=True)
    )
    return as_strided(array[corner], lengths, strides), names


def _terms(tensor: Tensor, array: Array) -> Iterator[tuple[tuple[str, int], int]]:
    for axis, stride in zip(tensor.axes, array.strides, strict=True):
        for term in axis.terms:
            yield term, stride


def operands(layer: Convolution, x: Array, w: Array) -> dict[str, Array]:
    """x [n, c, h, w] and w [k, c/groups, r, s] as the tensors that stages read.

    Transposed, w is [c, k/groups, r, s].
    """
    if isinstance(layer, ConvTransposeLayer):
        w = w.reshape(
            layer.groups, layer.c // layer.groups, layer.k // layer.groups, layer.r, layer.s
        ).swapaxes(1, 2)[..., ::-1, ::-1]
    return {"ifmap": x, "filter": w}


def convolve(
    layer: Convolution, plan: Plan, x: Array, w: Array, arithmetic: Arithmetic = FLOAT64
) -> Array:
    """[n, k, p, q]: a convolution along a plan's stages."""
    return evaluate(plan, operands(layer, x, w), arithmetic)["ofmap"].reshape(
        layer.n, layer.k, layer.p, layer.q
    )
