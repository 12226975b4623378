"""Offset-add: one matrix product of every input position with every tap, then shifted additions.

    T[r][s][k][h][w] = sum over c of ifmap[c][h][w] * filter[k][c][r][s]
    ofmap[k][p][q]   = sum over r, s of
                       T[r][s][k][p*u + r*d - pad][q*u + s*d - pad]

The first line is a product of R S K columns, without an im2col matrix. The input is read once; T, R
S K N H W elements, is written and read. Transposed, the same T is added where each tap of each
input falls. The derivation is EINNET's (Zheng et al., OSDI 2023).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, Algorithm, convolve, unless_convolution
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, Layer
from hwsim.errors import HwsimError
from hwsim.ir.convolution import (
    Convolution,
    Window,
    batch_dims,
    expected,
    filters,
    grouped,
    ifmap,
    ofmap,
    width,
    windows,
)
from hwsim.ir.kernel import Add
from hwsim.ir.stage import GemmView, Operations, Plan, Stage
from hwsim.ir.tensor import Axis, Tensor, along

if TYPE_CHECKING:
    from hwsim.algorithms import Array


class OffsetAdd:
    """N K H W (C/groups) R S multiplications; R S - 1 additions an output.

    There is one for every input position, needed or not.

    Fused, the products T of a few filters at a time stay on chip and are added up from there.
    """

    def __init__(self, name: str, fused: bool) -> None:
        self.name, self.fused = name, fused
        self.summary = "a product with every tap, then shifted adds" + (
            ", a few filters at a time on chip" if fused else ""
        )

    def refuses(self, layer: Layer) -> str | None:
        if not isinstance(layer, (ConvLayer, ConvTransposeLayer)):
            return unless_convolution(layer)
        return (
            "a 1x1 filter leaves nothing to add; expected at least 2 taps"
            if layer.r == layer.s == 1
            else None
        )

    def lower(self, layer: Layer) -> Plan:
        if (
            not isinstance(layer, (ConvLayer, ConvTransposeLayer))
            or self.refuses(layer) is not None
        ):
            raise HwsimError(f"{self.name}: {self.refuses(layer)}")
        parts = windows(layer)
        adds = (
            _shifted_add(layer, rows, columns, f"-{number + 1}" if len(parts) > 1 else "")
            for number, (rows, columns) in enumerate(parts)
        )
        return Plan(
            self.name,
            (_all_taps(layer), *adds),
            ("T",),
            fused_over=("g", "n", "k") if self.fused else (),
        )

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array:
        return convolve(layer, self.lower(layer), x, w)


def _all_taps(layer: Convolution) -> Stage:
    """The product of every input position with every tap.

    for g, n, h, w, r, s, k, c:
        T[r][s][g][k][n][h][w] += ifmap[n][g][c][h][w] * filter[g][k][c][r][s]
    """
    places = (("n", layer.n), ("h", layer.h), ("w", layer.w))
    columns = (("r", layer.r), ("s", layer.s), ("k", layer.k // layer.groups))
    sums = (("c", layer.c // layer.groups),)
    axes = (
        along("r", layer.r),
        along("s", layer.s),
        *grouped(layer, along("k", layer.k // layer.groups)),
        *(along(*place) for place in places),
    )
    tensors = (
        ifmap(layer, along("h", layer.h), along("w", layer.w)),
        filters(layer, along("r", layer.r), along("s", layer.s)),
        Tensor("T", "output", axes, width(layer.dtype)),
    )
    bounds = (*batch_dims(layer), *places, *columns, *sums)
    stage = Stage(
        "gemm",
        bounds,
        tensors,
        Operations(multiplies=1, additions=1),
        statement="T += ifmap * filter",
        view=GemmView(
            *(tuple(dim for dim, _ in dims) for dims in (places, columns, sums, batch_dims(layer)))
        ),
    )
    return replace(stage, effectual=expected(stage.iterations, layer.density))


def _shifted_add(layer: Convolution, rows: Window, columns: Window, mark: str) -> Stage:
    """The additions of T, each tap's part shifted to where it falls.

    for n, g, k, p, q:
        ofmap[n][g][k][p][q] =
            sum over r, s of T[r][s][g][k][n][p*u + r*d - pad][q*u + s*d - pad]
    """
    taps = tuple(
        _slab(layer, rows, columns, r, s) for r, s in product(range(rows.taps), range(columns.taps))
    )
    bounds = (
        ("n", layer.n),
        *batch_dims(layer),
        ("k", layer.k // layer.groups),
        ("p", rows.places),
        ("q", columns.places),
    )
    kernel = Add(len(taps))
    return Stage(
        f"shifted-add{mark}",
        bounds,
        (*taps, ofmap(layer, rows.output, columns.output)),
        kernel.operations,
        statement="ofmap = sum of T over taps",
        kernel=kernel,
    )


def _slab(layer: Convolution, rows: Window, columns: Window, r: int, s: int) -> Tensor:
    """T of one tap, at the input position that the tap meets at output (p, q)."""
    number = (
        (rows.filter.offset + rows.filter.terms[0][1] * r) * layer.s
        + columns.filter.offset
        + columns.filter.terms[0][1] * s
    )
    shifted = [
        Axis(
            window.input.terms[:1],
            window.input.size,
            window.input.offset + window.input.terms[1][1] * tap,
        )
        for window, tap in ((rows, r), (columns, s))
    ]
    axes = (*grouped(layer, along("k", layer.k // layer.groups)), along("n", layer.n), *shifted)
    return Tensor(
        f"T[{number // layer.s},{number % layer.s}]",
        "activation",
        axes,
        width(layer.dtype),
        part_of=("T", number),
    )


for _name in ("offset-add", "offset-add-fused"):
    _member: Algorithm = OffsetAdd(_name, _name.endswith("fused"))
    ALGORITHMS.register(_name)(_member)
