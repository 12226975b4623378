"""im2col: write every window out as a column of a matrix, then one matrix product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, Algorithm, convolve, unless_product
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, GemmLayer, Layer, LinearLayer
from hwsim.errors import HwsimError
from hwsim.ir.convolution import (
    Convolution,
    Window,
    batch_dims,
    effectual,
    gemm_stages,
    grouped,
    ifmap,
    weight_width,
    width,
    windows,
)
from hwsim.ir.kernel import Move
from hwsim.ir.note import Note
from hwsim.ir.stage import GemmView, Maps, Operations, Plan, Stage
from hwsim.ir.tensor import Axis, Tensor, along

if TYPE_CHECKING:
    from hwsim.algorithms import Array


class Im2col:
    """The product of the filters and a matrix of windows, (C/groups R S) x (N P Q) per group.

    The matrix lies in memory: R S / stride^2 times the input.
    """

    name = "im2col"
    summary = "windows written out as a matrix in memory, then one product"

    def refuses(self, layer: Layer) -> str | None:
        return unless_product(layer)

    def lower(self, layer: Layer) -> Plan:
        if isinstance(layer, (LinearLayer, GemmLayer)):
            matrix = Note("the input is the matrix already")
            return Plan(self.name, gemm_stages(layer), notes=(matrix,))
        if isinstance(layer, (ConvLayer, ConvTransposeLayer)):
            parts = windows(layer)
            marks = [str(number + 1) if len(parts) > 1 else "" for number in range(len(parts))]
            stages = tuple(
                stage
                for part, mark in zip(parts, marks, strict=True)
                for stage in (_unfold(layer, *part, mark), _product(layer, *part, mark))
            )
            return Plan(self.name, stages, temporaries=tuple(f"columns{mark}" for mark in marks))
        raise HwsimError(f"im2col: {self.refuses(layer)}")

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array:
        return convolve(layer, self.lower(layer), x, w)


def matrix_elements(layer: ConvLayer) -> int:
    """Elements of the blown-up matrix, all groups."""
    return layer.c * layer.r * layer.s * layer.n * layer.p * layer.q


def _unfold(layer: Convolution, rows: Window, columns: Window, mark: str) -> Stage:
    """The stage that writes the matrix: every window of the input as a column.

    for g, c, r, s, n, p, q:
        columns[g][c][r][s][n][p][q] = ifmap[n][g][c][p*u + r*d - pad][q*u + s*d - pad]
    """
    dims = (
        ("c", layer.c // layer.groups),
        ("r", rows.taps),
        ("s", columns.taps),
        ("n", layer.n),
        ("p", rows.places),
        ("q", columns.places),
    )
    matrix = Tensor(
        f"columns{mark}",
        "output",
        grouped(layer, *(along(dim, bound) for dim, bound in dims)),
        width(layer.dtype),
    )
    return Stage(
        f"unfold{mark}",
        (*batch_dims(layer), *dims),
        (ifmap(layer, rows.input, columns.input), matrix),
        Operations(),
        statement=f"columns{mark} = ifmap",
        kernel=Move(),
        maps=Maps("unfold", layer.layout),
    )


def _product(layer: Convolution, rows: Window, columns: Window, mark: str) -> Stage:
    """The product of the filters with the matrix.

        for n, g, m, k, c:  ofmap[n][g][k][m] += columns[g][c][n][m] * filter[g][k][c]

    c: channels and taps; m: output positions (transposed: p and q, as a phase's outputs do not
    stand side by side).
    """
    if isinstance(layer, ConvLayer):
        places: tuple[tuple[str, int], ...] = (("m", rows.places * columns.places),)
        depth = layer.c // layer.groups * layer.r * layer.s
        filter_axes: tuple[Axis, ...] = (along("k", depth),)
        outputs: tuple[Axis, ...] = (along(*places[0]),)
        sums: tuple[tuple[str, int], ...] = (("k", depth),)
    else:
        places = (("p", rows.places), ("q", columns.places))
        filter_axes, outputs = (
            (along("c", layer.c // layer.groups), rows.filter, columns.filter),
            (rows.output, columns.output),
        )
        sums = (("c", layer.c // layer.groups), ("r", rows.taps), ("s", columns.taps))
    images = (("b", layer.n),) if layer.n > 1 else ()
    n, bytes_ = layer.k // layer.groups, width(layer.dtype)
    tensors = (
        Tensor(
            f"columns{mark}",
            "activation",
            grouped(layer, *(along(dim, bound) for dim, bound in (*sums, *images, *places))),
            bytes_,
        ),
        _packed("filter", grouped(layer, along("n", n), *filter_axes), weight_width(layer.dtype)),
        Tensor(
            "ofmap",
            "output",
            (
                *(along(dim, bound) for dim, bound in images),
                *grouped(layer, along("n", n), *outputs),
            ),
            bytes_,
        ),
    )
    view = GemmView(
        *(
            tuple(dim for dim, _ in dims)
            for dims in ((*images, *places), (("n", n),), sums, batch_dims(layer))
        )
    )
    return Stage(
        f"gemm{mark}",
        (*batch_dims(layer), *images, *places, ("n", n), *sums),
        tensors,
        Operations(multiplies=1, additions=1),
        effectual(layer, rows, columns),
        view,
        statement=f"ofmap += columns{mark} * filter",
    )


def _packed(name: str, axes: tuple[Axis, ...], bytes_: float) -> Tensor:
    """A filter tensor [g][n][...] stored with n fastest."""
    n = next(number for number, axis in enumerate(axes) if axis.dims == ("n",))
    return Tensor(
        name, "weight", axes, bytes_, (*(number for number in range(len(axes)) if number != n), n)
    )


ALGORITHMS.register("im2col")(_im2col := Im2col())
_checked: Algorithm = _im2col
