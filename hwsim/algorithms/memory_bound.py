"""Pooling, elementwise layers and copies: no multiplications to save, only data to move."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, Algorithm
from hwsim.describe.layer import (
    OVER_CHANNELS,
    ElementwiseLayer,
    Layer,
    MemoryLayer,
    MoveLayer,
    PoolLayer,
)
from hwsim.errors import HwsimError
from hwsim.ir.convolution import Convolution, width
from hwsim.ir.stage import Maps, Operations, Plan, Rows, Stage
from hwsim.ir.tensor import Axis, Tensor, along

if TYPE_CHECKING:
    from hwsim.algorithms import Array


class MemoryBound:
    """A window's elements are compared or added; an element takes its operator's operations."""

    name = "memory-bound"
    summary = "pooling, elementwise layers and copies"

    def refuses(self, layer: Layer) -> str | None:
        return None if isinstance(layer, MemoryLayer) else "it multiplies"

    def lower(self, layer: Layer) -> Plan:
        if isinstance(layer, PoolLayer):
            return Plan(self.name, (_pool(layer),))
        if isinstance(layer, ElementwiseLayer):
            return Plan(self.name, (_elementwise(layer),))
        if isinstance(layer, MoveLayer):
            return Plan(self.name, (_move(layer),))
        raise HwsimError(f"memory-bound: {self.refuses(layer)}")

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array:
        raise HwsimError("memory-bound: it does not convolve")


def _pool(layer: PoolLayer) -> Stage:
    """The loops of a pool that takes the maximum; an average adds up instead.

    for n, c, p, q, r, s:
        ofmap[n][c][p][q] = max(ofmap, ifmap[n][c][p*u + r - pad][q*u + s - pad])
    """
    bytes_ = width(layer.dtype)
    image = (along("n", layer.n), along("c", layer.c))
    (down, across), ((top, _), (left, _)) = layer.strides, layer.pads
    rows = Axis((("p", down), ("r", 1)), layer.h, -top)
    columns = Axis((("q", across), ("s", 1)), layer.w, -left)
    tensors = (
        Tensor("ifmap", "activation", (*image, rows, columns), bytes_),
        Tensor("ofmap", "output", (*image, along("p", layer.p), along("q", layer.q)), bytes_),
    )
    bounds = (
        ("n", layer.n),
        ("c", layer.c),
        ("p", layer.p),
        ("q", layer.q),
        ("r", layer.r),
        ("s", layer.s),
    )
    return Stage(
        f"{layer.op}pool",
        bounds,
        tensors,
        Operations(additions=1),
        statement="ofmap = max(ofmap, ifmap)" if layer.op == "max" else "ofmap += ifmap",
        maps=Maps(f"{layer.op}pool", layer.layout),
    )


def _elementwise(layer: ElementwiseLayer) -> Stage:
    """for n, c, h, w:  ofmap[n][c][h][w] = op(ifmap0[n][c][h][w], ...)"""
    bounds = (("n", layer.n), ("c", layer.c), ("h", layer.h), ("w", layer.w))
    axes = tuple(along(dim, bound) for dim, bound in bounds)
    names = ["ifmap"] if layer.inputs == 1 else [f"ifmap{number}" for number in range(layer.inputs)]
    tensors = (
        *(Tensor(name, "activation", axes, width(layer.dtype)) for name in names),
        Tensor("ofmap", "output", axes, width(layer.dtype)),
    )
    over_channels = layer.op in OVER_CHANNELS
    return Stage(
        layer.op,
        bounds,
        tensors,
        Operations(additions=layer.operations),
        statement=f"ofmap = {layer.op}({', '.join(names)})",
        rows=Rows(layer.op, ("c",)) if over_channels else None,
        maps=None if over_channels else Maps(layer.op, layer.layout),
    )


def _move(layer: MoveLayer) -> Stage:
    """A copy in which each word of the shorter side meets several of the longer.

    for n, e:  out[n][e] = in[n][e*steps : (e+1)*steps]     where more is read than written
    for n, e:  out[n][e*steps : (e+1)*steps] = in[n][e]     where more is written
    """
    bytes_ = width(layer.dtype)
    few, many = sorted((layer.reads, layer.writes))
    steps = -(-many // few)
    longer = Axis((("e", steps),), many, extent=steps)
    shorter = along("e", few)
    came, left = (longer, shorter) if layer.reads >= layer.writes else (shorter, longer)
    image = along("n", layer.n)
    read = Tensor("ifmap", "activation", (image, came), bytes_)
    if layer.table:
        read = replace(read, name="table", role="weight")
    return Stage(
        layer.op,
        (("n", layer.n), ("e", -(-many // steps))),
        (
            read,
            Tensor("ofmap", "output", (image, left), bytes_),
        ),
        Operations(),
        statement=f"ofmap = {read.name}",
    )


ALGORITHMS.register("memory-bound")(_memory_bound := MemoryBound())
_checked: Algorithm = _memory_bound
