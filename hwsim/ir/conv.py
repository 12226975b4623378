"""The loops of a convolution and of a matrix product, as stages that algorithms start from."""

from __future__ import annotations

from hwsim.ir.access import Axis, Tensor, along
from hwsim.ir.stage import GemmView, Operations, Stage
from hwsim.spec.layer import ConvLayer, GemmLayer, LinearLayer
from hwsim.units import DTYPE_BYTES


def width(dtype: str | None) -> int:
    """Bytes of an element; fp32 when the layer does not say."""
    return DTYPE_BYTES[dtype or "fp32"]


def grouped(layer: ConvLayer, *axes: Axis) -> tuple[Axis, ...]:
    """The axes behind a group axis where the layer has groups."""
    return (along("g", layer.groups), *axes) if layer.groups > 1 else axes


def ifmap(layer: ConvLayer) -> Tensor:
    """ifmap[n][g][c][p*stride + r*dilation - pad][q*stride + s*dilation - pad]"""
    rows = Axis((("p", layer.stride), ("r", layer.dilation)), layer.h, -layer.pad)
    columns = Axis((("q", layer.stride), ("s", layer.dilation)), layer.w, -layer.pad)
    axes = (along("n", layer.n), *grouped(layer, along("c", layer.c // layer.groups)), rows, columns)
    return Tensor("ifmap", "activation", axes, width(layer.dtype))


def filters(layer: ConvLayer) -> Tensor:
    """filter[g][k][c][r][s], stored with k fastest: packed once, before inference, for vectors of filters."""
    axes = grouped(layer, along("k", layer.k // layer.groups), along("c", layer.c // layer.groups),
                   along("r", layer.r), along("s", layer.s))
    k = len(axes) - 4
    layout = (*range(k), k + 1, k + 2, k + 3, k)
    return Tensor("filter", "weight", axes, width(layer.dtype), layout)


def ofmap(layer: ConvLayer) -> Tensor:
    """ofmap[n][g][k][p][q]"""
    axes = (along("n", layer.n), *grouped(layer, along("k", layer.k // layer.groups)), along("p", layer.p), along("q", layer.q))
    return Tensor("ofmap", "output", axes, width(layer.dtype))


def batch_dims(layer: ConvLayer) -> tuple[tuple[str, int], ...]:
    """The group dim, where there are groups."""
    return (("g", layer.groups),) if layer.groups > 1 else ()


def effectual(layer: ConvLayer) -> int:
    """Multiplications whose activation is not padding."""
    rows = _inside(layer.p, layer.r, layer.h, layer)
    columns = _inside(layer.q, layer.s, layer.w, layer)
    return layer.n * layer.k * (layer.c // layer.groups) * rows * columns


def _inside(places: int, taps: int, size: int, layer: ConvLayer) -> int:
    """Pairs (place, tap) whose coordinate is inside the image."""
    total = 0
    for tap in range(taps):
        shift = tap * layer.dilation - layer.pad
        first = max(0, -(shift // layer.stride) if shift < 0 else 0)
        while first * layer.stride + shift < 0:
            first += 1
        last = min(places - 1, (size - 1 - shift) // layer.stride)
        total += max(0, last - first + 1)
    return total


def conv_stage(layer: ConvLayer, reduction: tuple[str, ...]) -> Stage:
    """The seven (grouped: eight) loops of a convolution; `reduction`: the dims that a matrix unit takes as its k.

    for n, g, k, c, p, q, r, s:
      ofmap[n][g][k][p][q] += ifmap[n][g][c][p*u + r*d - pad][q*u + s*d - pad] * filter[g][k][c][r][s]
    """
    bounds = (("n", layer.n), *batch_dims(layer), ("k", layer.k // layer.groups), ("c", layer.c // layer.groups),
              ("p", layer.p), ("q", layer.q), ("r", layer.r), ("s", layer.s))
    batch = tuple(dim for dim, _ in batch_dims(layer))
    return Stage("convolution", bounds, (ifmap(layer), filters(layer), ofmap(layer)), Operations(multiplies=1, additions=1),
                 effectual(layer), GemmView(("n", "p", "q"), ("k",), reduction, batch),
                 statement="ofmap += ifmap * filter")


def gemm_stage(layer: LinearLayer | GemmLayer) -> Stage:
    """for m, n, k:  C[m][n] += A[m][k] * B[k][n], B stored with n fastest"""
    if isinstance(layer, GemmLayer):
        m, n, k, names = layer.m, layer.n, layer.k, ("A", "B", "C")
    else:
        m, n, k, names = layer.n, layer.k, layer.c, ("ifmap", "filter", "ofmap")
    bytes_ = width(layer.dtype)
    tensors = (Tensor(names[0], "activation", (along("m", m), along("k", k)), bytes_),
               Tensor(names[1], "weight", (along("k", k), along("n", n)), bytes_),
               Tensor(names[2], "output", (along("m", m), along("n", n)), bytes_))
    return Stage("gemm", (("m", m), ("n", n), ("k", k)), tensors, Operations(multiplies=1, additions=1), m * n * k,
                 GemmView(("m",), ("n",), ("k",)), statement=f"{names[2]} += {names[0]} * {names[1]}")
