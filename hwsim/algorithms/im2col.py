"""im2col: write every window out as a column of a matrix, then one matrix product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, Algorithm, unless_product
from hwsim.errors import HwsimError
from hwsim.ir.access import Tensor, along
from hwsim.ir.conv import batch_dims, effectual, gemm_stage, grouped, ifmap, width
from hwsim.ir.stage import GemmView, Operations, Plan, Stage
from hwsim.spec.layer import ConvLayer, GemmLayer, Layer, LinearLayer

if TYPE_CHECKING:
    from hwsim.algorithms import Array


class Im2col:
    """The matrix has (C/groups R S) x (N P Q) elements per group: R S / stride^2 times the input, in memory."""

    name = "im2col"
    summary = "windows written out as a matrix in memory, then one product"

    def refuses(self, layer: Layer) -> str | None:
        return unless_product(layer)

    def lower(self, layer: Layer) -> Plan:
        if isinstance(layer, (LinearLayer, GemmLayer)):
            return Plan(self.name, (gemm_stage(layer),), notes=("the input is the matrix already",))
        if isinstance(layer, ConvLayer):
            return Plan(self.name, (_unfold(layer), _product(layer)), temporaries=("columns",))
        raise HwsimError(f"im2col: {self.refuses(layer)}")

    def compute(self, layer: ConvLayer, x: Array, w: Array) -> Array:
        columns = unfold(layer, x)
        filters = w.reshape(layer.groups, layer.k // layer.groups, -1)
        out = filters @ columns
        return out.reshape(layer.k, layer.n, layer.p, layer.q).swapaxes(0, 1).copy()


def unfold(layer: ConvLayer, x: Array) -> Array:
    """[groups, c/groups * r * s, n * p * q]: the windows as columns."""
    import numpy as np

    pad, u, d = layer.pad, layer.stride, layer.dilation
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    columns = np.empty((layer.c, layer.r, layer.s, layer.n, layer.p, layer.q))
    for r in range(layer.r):
        for s in range(layer.s):
            window = padded[:, :, r * d: r * d + (layer.p - 1) * u + 1: u, s * d: s * d + (layer.q - 1) * u + 1: u]
            columns[:, r, s] = window.swapaxes(0, 1)
    return columns.reshape(layer.groups, -1, layer.n * layer.p * layer.q)


def matrix_elements(layer: ConvLayer) -> int:
    """Elements of the blown-up matrix, all groups."""
    return layer.c * layer.r * layer.s * layer.n * layer.p * layer.q


def _unfold(layer: ConvLayer) -> Stage:
    """for g, c, r, s, n, p, q:  columns[g][c][r][s][n][p][q] = ifmap[n][g][c][p*u + r*d - pad][q*u + s*d - pad]"""
    rows = (("c", layer.c // layer.groups), ("r", layer.r), ("s", layer.s), ("n", layer.n), ("p", layer.p), ("q", layer.q))
    axes = grouped(layer, *(along(dim, bound) for dim, bound in rows))
    columns = Tensor("columns", "output", axes, width(layer.dtype))
    return Stage("unfold", (*batch_dims(layer), *rows), (ifmap(layer), columns), Operations(),
                 statement="columns = ifmap")


def _product(layer: ConvLayer) -> Stage:
    """for g, m, n, k:  ofmap[g][n][m] += columns[g][k][m] * filter[g][k][n]"""
    m = layer.n * layer.p * layer.q
    n, k = layer.k // layer.groups, layer.c // layer.groups * layer.r * layer.s
    bytes_ = width(layer.dtype)
    tensors = (Tensor("columns", "activation", grouped(layer, along("k", k), along("m", m)), bytes_),
               Tensor("filter", "weight", grouped(layer, along("k", k), along("n", n)), bytes_),
               Tensor("ofmap", "output", grouped(layer, along("n", n), along("m", m)), bytes_))
    batch = tuple(dim for dim, _ in batch_dims(layer))
    return Stage("gemm", (*batch_dims(layer), ("m", m), ("n", n), ("k", k)), tensors, Operations(multiplies=1, additions=1),
                 effectual(layer), GemmView(("m",), ("n",), ("k",), batch), statement="ofmap += columns * filter")


ALGORITHMS.register("im2col")(_im2col := Im2col())
_checked: Algorithm = _im2col
