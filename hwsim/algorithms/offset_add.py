"""Offset-add: one matrix product of every input position with every tap, then shifted additions.

    T[r][s][k][h][w] = sum over c of ifmap[c][h][w] * filter[k][c][r][s]
    ofmap[k][p][q]   = sum over r, s of
                       T[r][s][k][p*u + r*d - pad][q*u + s*d - pad]

The first line is a product of R S K columns, without an im2col matrix. The input is read once; T, R
S K N H W elements, is written and read. Transposed, the same T is added where each tap of each
input falls. The derivation is EINNET's (Zheng et al., OSDI 2023).

How the second line is run makes three algorithms:

    offset-add          one pass over the output, which adds up all taps of a place
    offset-add-fused    the same for a few filters at a time, whose T stays on chip
    offset-add-taps     a pass for every tap, as a framework's tensor operators do it:
                            sums = T[0][0], then sums = sums + T[0][1], ...
"""

from __future__ import annotations

from collections.abc import Iterator
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
from hwsim.ir.stage import GemmView, Maps, Operations, Plan, Stage
from hwsim.ir.tensor import Axis, Tensor, along

if TYPE_CHECKING:
    from hwsim.algorithms import Array


class OffsetAdd:
    """N K H W (C/groups) R S multiplications; R S - 1 additions an output.

    There is one for every input position, needed or not.

    fused: the products T of a few filters at a time stay on chip and are added up from there.
    by_tap: every tap is added in a pass of its own.
    """

    def __init__(self, name: str, how: str = "", fused: bool = False, by_tap: bool = False) -> None:
        self.name, self.fused, self.by_tap = name, fused, by_tap
        self.summary = f"a product with every tap, then shifted adds{how}"

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
        marks = [f"-{number + 1}" if len(parts) > 1 else "" for number in range(len(parts))]
        add = _a_pass_a_tap if self.by_tap else _one_pass
        adds = [
            stage
            for part, mark in zip(parts, marks, strict=True)
            for stage in add(layer, *part, mark)
        ]
        sums = dict.fromkeys(stage.output.name for stage in adds if stage.output.name != "ofmap")
        return Plan(
            self.name,
            (_all_taps(layer), *adds),
            ("T", *sums),
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


def _one_pass(layer: Convolution, rows: Window, columns: Window, mark: str) -> Iterator[Stage]:
    """The additions of T, each tap's part shifted to where it falls.

    for n, g, k, p, q:
        ofmap[n][g][k][p][q] =
            sum over r, s of T[r][s][g][k][n][p*u + r*d - pad][q*u + s*d - pad]
    """
    taps = _slabs(layer, rows, columns)
    kernel = Add(len(taps))
    yield Stage(
        f"shifted-add{mark}",
        _outputs(layer, rows, columns),
        (*taps, ofmap(layer, rows.output, columns.output)),
        kernel.operations,
        statement="ofmap = sum of T over taps",
        kernel=kernel,
    )


def _a_pass_a_tap(layer: Convolution, rows: Window, columns: Window, mark: str) -> Iterator[Stage]:
    """The same, tap by tap; the last sums are the output.

    for n, g, k, p, q:  sums1[n][g][k][p][q] = T[0][0][g][k][n][p*u - pad][q*u - pad]
    for n, g, k, p, q:  sums2[n][g][k][p][q] = sums1[n][g][k][p][q] + T[0][1]...
    """
    taps = _slabs(layer, rows, columns)
    before: tuple[Tensor, ...] = ()
    for number, tap in enumerate(taps, 1):
        sums = ofmap(layer, rows.output, columns.output)
        if number < len(taps):
            sums = replace(sums, name=f"sums{mark}-{number}")
        kernel = Add(1 + len(before))
        yield Stage(
            f"shifted-add{mark}-{number}",
            _outputs(layer, rows, columns),
            (*before, tap, sums),
            kernel.operations,
            statement=f"{sums.name} = {' + '.join(tensor.name for tensor in (*before, tap))}",
            kernel=kernel,
            maps=Maps("shifted-add", layer.layout),
        )
        before = (replace(sums, role="activation"),)


def _slabs(layer: Convolution, rows: Window, columns: Window) -> tuple[Tensor, ...]:
    taps = product(range(rows.taps), range(columns.taps))
    return tuple(_slab(layer, rows, columns, r, s) for r, s in taps)


def _outputs(layer: Convolution, rows: Window, columns: Window) -> tuple[tuple[str, int], ...]:
    return (
        ("n", layer.n),
        *batch_dims(layer),
        ("k", layer.k // layer.groups),
        ("p", rows.places),
        ("q", columns.places),
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


_members: tuple[Algorithm, ...] = (
    OffsetAdd("offset-add"),
    OffsetAdd("offset-add-fused", ", a few filters at a time on chip", fused=True),
    OffsetAdd("offset-add-taps", ", a pass a tap", by_tap=True),
)
for _member in _members:
    ALGORITHMS.register(_member.name)(_member)
