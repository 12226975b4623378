"""The loops of a convolution and of a matrix product, as stages that algorithms start from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from hwsim.describe.layer import (
    DENSE,
    ConvLayer,
    ConvTransposeLayer,
    Density,
    GemmLayer,
    LinearLayer,
)
from hwsim.describe.machine import Role
from hwsim.describe.units import DTYPE_BYTES, WEIGHT_BYTES
from hwsim.ir.phases import phases_of
from hwsim.ir.stage import GemmView, Operations, Stage
from hwsim.ir.tensor import Axis, Tensor, along

Convolution = ConvLayer | ConvTransposeLayer


def weight_width(dtype: str | None) -> float:
    """Bytes of a weight."""
    return WEIGHT_BYTES[dtype or "fp32"]


def width(dtype: str | None) -> float:
    """Bytes of an element; fp32 when the layer does not say."""
    return DTYPE_BYTES[dtype or "fp32"]


def grouped(layer: Convolution, *axes: Axis) -> tuple[Axis, ...]:
    """The axes behind a group axis where the layer has groups."""
    return (along("g", layer.groups), *axes) if layer.groups > 1 else axes


def batch_dims(layer: Convolution) -> tuple[tuple[str, int], ...]:
    """The group dim, where there are groups."""
    return (("g", layer.groups),) if layer.groups > 1 else ()


@dataclass(frozen=True)
class Window:
    """Outputs and taps of one axis that meet without gaps.

    Such a part of a convolution is itself a plain one.

    input: of output position x dim and tap; output: of output position; filter: of tap.
    """

    places: int
    taps: int
    input: Axis
    output: Axis
    filter: Axis


def windows(layer: Convolution) -> list[tuple[Window, Window]]:
    """(rows, columns) of every plain convolution that a layer consists of.

    It is one, but for transposed layers.

    Rows are p and r, columns q and s.
    """
    return list(product(_windows(layer, 0), _windows(layer, 1)))


def _windows(layer: Convolution, axis: int) -> list[Window]:
    place, tap = (("p", "r"), ("q", "s"))[axis]
    size, taps, outputs = ((layer.h, layer.r, layer.p), (layer.w, layer.s, layer.q))[axis]
    if isinstance(layer, ConvLayer):
        return [
            Window(
                outputs,
                taps,
                Axis(
                    ((place, layer.strides[axis]), (tap, layer.dilations[axis])),
                    size,
                    -layer.pads[axis][0],
                ),
                along(place, outputs),
                along(tap, taps),
            )
        ]
    found = []
    for phase in phases_of(layer, axis):
        for number, residue in product(range(phase.phases), range(phase.residues)):
            first = (
                phase.output.offset + phase.output.phase * number + phase.output.residue * residue
            )
            places = min(phase.places, -(-(outputs - first) // phase.output.step))
            if places > 0:
                found.append(
                    Window(
                        places,
                        phase.taps,
                        Axis(
                            ((place, phase.input.step), (tap, phase.input.step)),
                            size,
                            phase.input.offset + phase.input.residue * residue,
                        ),
                        Axis(((place, phase.output.step),), outputs, first),
                        Axis(
                            ((tap, phase.filter.step),),
                            taps,
                            phase.filter.offset + phase.filter.phase * number,
                        ),
                    )
                )
    return found


def ifmap(layer: Convolution, rows: Axis, columns: Axis) -> Tensor:
    """ifmap[n][g][c][rows][columns]"""
    axes = (
        along("n", layer.n),
        *grouped(layer, along("c", layer.c // layer.groups)),
        rows,
        columns,
    )
    return Tensor("ifmap", "activation", axes, width(layer.dtype))


def filters(layer: Convolution, rows: Axis, columns: Axis) -> Tensor:
    """filter[g][k][c][r][s], stored with k fastest.

    It is packed once, before inference, for vectors of filters.
    """
    axes = grouped(
        layer,
        along("k", layer.k // layer.groups),
        along("c", layer.c // layer.groups),
        rows,
        columns,
    )
    k = len(axes) - 4
    layout = (*range(k), k + 1, k + 2, k + 3, k)
    return Tensor("filter", "weight", axes, weight_width(layer.dtype), layout)


def ofmap(layer: Convolution, rows: Axis, columns: Axis) -> Tensor:
    """ofmap[n][g][k][rows][columns]"""
    axes = (
        along("n", layer.n),
        *grouped(layer, along("k", layer.k // layer.groups)),
        rows,
        columns,
    )
    return Tensor("ofmap", "output", axes, width(layer.dtype))


def effectual(layer: Convolution, rows: Window, columns: Window) -> int:
    """Multiplications whose activation is not padding and whose operands are not zero.

    That is in expectation on densities.
    """
    inside = layer.n * layer.k * (layer.c // layer.groups) * _inside(rows) * _inside(columns)
    return expected(inside, layer.density)


def expected(multiplies: int, density: Density) -> int:
    """How many of independent products have two non-zero operands.

    That is in expectation, to the nearest integer.
    """
    return (
        multiplies
        if density == DENSE
        else round(multiplies * density.weights * density.activations)
    )


def _inside(window: Window) -> int:
    """Pairs (place, tap) whose coordinate is inside the image."""
    (_, stride), (_, dilation) = window.input.terms
    total = 0
    for tap in range(window.taps):
        shift = tap * dilation + window.input.offset
        first = max(0, -(shift // stride))
        last = min(window.places - 1, (window.input.size - 1 - shift) // stride)
        total += max(0, last - first + 1)
    return total


def conv_stages(layer: Convolution, reduction: tuple[str, ...]) -> tuple[Stage, ...]:
    """The seven (grouped: eight) loops of a convolution.

        for n, g, k, c, p, q, r, s:
          ofmap[n][g][k][p][q] +=
            ifmap[n][g][c][p*u + r*d - pad][q*u + s*d - pad] * filter[g][k][c][r][s]

    Transposed, the outputs of each phase in turn, with the taps that reach them. reduction: the
    dims that a matrix unit takes as its k.
    """
    parts = windows(layer)
    return tuple(
        _conv_stage(layer, rows, columns, reduction, _numbered("convolution", number, len(parts)))
        for number, (rows, columns) in enumerate(parts)
    )


def _numbered(name: str, number: int, of: int) -> str:
    return f"{name}-{number + 1}" if of > 1 else name


def _conv_stage(
    layer: Convolution, rows: Window, columns: Window, reduction: tuple[str, ...], name: str
) -> Stage:
    bounds = (
        ("n", layer.n),
        *batch_dims(layer),
        ("k", layer.k // layer.groups),
        ("c", layer.c // layer.groups),
        ("p", rows.places),
        ("q", columns.places),
        ("r", rows.taps),
        ("s", columns.taps),
    )
    batch = tuple(dim for dim, _ in batch_dims(layer))
    tensors = (
        ifmap(layer, rows.input, columns.input),
        filters(layer, rows.filter, columns.filter),
        ofmap(layer, rows.output, columns.output),
    )
    return Stage(
        name,
        bounds,
        tensors,
        Operations(multiplies=1, additions=1),
        effectual(layer, rows, columns),
        GemmView(("n", "p", "q"), ("k",), reduction, batch),
        statement="ofmap += ifmap * filter",
    )


def gemm_stages(layer: LinearLayer | GemmLayer) -> tuple[Stage, ...]:
    """The one product of a layer; of experts one or two.

        for b, m, n, k:  C[b][m][n] += A[b][m][k] * B[b][k][n], B stored with n fastest

    Experts with as many rows are one batch of products, those with one row more another.
    """
    if isinstance(layer, GemmLayer):
        return (gemm_stage(layer),)
    each, more = divmod(layer.n, layer.used_experts)
    shares = [(layer.used_experts - more, each), *([(more, each + 1)] if more else [])]
    return tuple(
        _product(
            layer,
            _numbered("gemm", number, len(shares)),
            (batch, m, layer.k, layer.c),
            tuple(_numbered(name, number, len(shares)) for name in ("ifmap", "filter", "ofmap")),
            data=False,
        )
        for number, (batch, m) in enumerate(shares)
    )


def gemm_stage(layer: GemmLayer) -> Stage:
    """for b, m, n, k:  C[b][m][n] += A[b][m][k] * B[b][k][n], B stored with n fastest"""
    sizes = (layer.batch, layer.m, layer.n, layer.k)
    return _product(layer, "gemm", sizes, ("A", "B", "C"), layer.operand == "data")


def _product(
    layer: LinearLayer | GemmLayer,
    name: str,
    sizes: tuple[int, int, int, int],
    names: tuple[str, ...],
    data: bool,
) -> Stage:
    """sizes: batch, m, n, k. data: is the second operand none of the network's weights?"""
    batch, m, n, k = sizes
    bytes_ = width(layer.dtype)
    b = (along("b", batch),) if batch > 1 else ()
    second = bytes_ if data else weight_width(layer.dtype)
    kept: Role | None = "activation" if data else None
    tensors = (
        Tensor(names[0], "activation", (*b, along("m", m), along("k", k)), bytes_),
        Tensor(names[1], "weight", (*b, along("k", k), along("n", n)), second, kept_as=kept),
        Tensor(names[2], "output", (*b, along("m", m), along("n", n)), bytes_),
    )
    times = (("b", batch),) if batch > 1 else ()
    return Stage(
        name,
        (*times, ("m", m), ("n", n), ("k", k)),
        tensors,
        Operations(multiplies=1, additions=1),
        expected(batch * m * n * k, layer.density),
        GemmView(("m",), ("n",), ("k",), ("b",) if batch > 1 else ()),
        statement=f"{names[2]} += {names[0]} * {names[1]}",
    )
