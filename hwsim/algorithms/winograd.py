"""Winograd's minimal filtering F(m x n, r x s): fewer general multiplications, more additions.

    Y = A^T [(G g G^T) . (B^T d B)] A

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. What is saved in
multiplications is paid in additions and traffic. The transforms come from Toom-Cook interpolation
over exact fractions. Strided, dilated and transposed layers are split into phases of stride 1 first
(hwsim.ir.phases).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, FAMILIES, Algorithm, convolve, unless_convolution
from hwsim.algorithms.shared.tiles import (
    TRANSFORMED_BEFORE,
    Method,
    TiledPart,
    output_transform,
    sides,
)
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, Density, Layer
from hwsim.errors import HwsimError
from hwsim.ir.convolution import Convolution, expected
from hwsim.ir.kernel import Rectified, Separable
from hwsim.ir.note import Note
from hwsim.ir.phases import phases_of
from hwsim.ir.program import Matrix, Program, program_of
from hwsim.ir.stage import Plan

if TYPE_CHECKING:
    from hwsim.algorithms import Array

POINTS = tuple(
    Fraction(text)
    for text in [
        "0",
        "1",
        "-1",
        "2",
        "-2",
        "1/2",
        "-1/2",
        "4",
        "-4",
        "1/4",
        "-1/4",
        "3",
        "-3",
        "1/3",
        "-1/3",
    ]
)


@dataclass(frozen=True)
class Transforms:
    """Y = a_t [(g x) . (b_t d)] for one axis: a_t [m][a], g [a][r], b_t [a][a], a = m + r - 1."""

    a_t: Matrix
    g: Matrix
    b_t: Matrix


@lru_cache(maxsize=64)
def transforms(m: int, r: int, points: tuple[Fraction, ...] = POINTS) -> Transforms:
    """F(m, r) by Toom-Cook, transposed, from m + r - 2 points and the point at infinity.

    The points are the first m + r - 2 of those given.

    Rows are scaled so that every denominator stands in g and is positive, which gives Lavin and
    Gray's matrices. With one tap, or one output, nothing is shared and m + r - 1 products are what
    there is to do anyway. Raises HwsimError when there are not enough points.
    """
    size = m + r - 1
    if m == 1 or r == 1:
        one = _identity(size)
        return Transforms(
            one if r == 1 else ((Fraction(1),) * size,),
            one if m == 1 else ((Fraction(1),),) * size,
            one,
        )
    if size - 1 > len(points):
        raise HwsimError(
            f"F({m}, {r}) needs {size - 1} points; expected m + r - 2 of at most {len(points)}"
        )
    used = points[: size - 1]
    a_t = tuple((*(point**i for point in used), Fraction(int(i == m - 1))) for i in range(m))
    g, b_t = [], []
    for point in used:
        others = [other for other in used if other != point]
        scale = Fraction(1)
        for other in others:
            scale *= point - other
        sign = -1 if scale < 0 else 1
        g.append(tuple(point**j / abs(scale) for j in range(r)))
        b_t.append((*tuple(sign * value for value in _expand(others)), Fraction(0)))
    g.append(tuple(Fraction(int(j == r - 1)) for j in range(r)))
    b_t.append(_expand(list(used)))
    return Transforms(a_t, tuple(g), tuple(b_t))


def _identity(size: int) -> Matrix:
    return tuple(
        tuple(Fraction(int(row == column)) for column in range(size)) for row in range(size)
    )


def _expand(roots: list[Fraction]) -> tuple[Fraction, ...]:
    """Coefficients of the product of (x - root), constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [
            high - root * low
            for high, low in zip(shifted, [*coefficients, Fraction(0)], strict=True)
        ]
    return tuple(coefficients)


def _support(matrix: Matrix) -> tuple[tuple[int, ...], ...]:
    """For every row, the columns that are not zero."""
    return tuple(tuple(number for number, value in enumerate(row) if value) for row in matrix)


@lru_cache(maxsize=256)
def _method(down: Transforms, across: Transforms) -> Method:
    supports = [
        tuple((rows, columns) for rows in _support(d) for columns in _support(a))
        for d, a in ((down.b_t, across.b_t), (down.g, across.g))
    ]
    kernels = [
        Separable(((program_of(d), program_of(a)),))
        for d, a in ((down.b_t, across.b_t), (down.g, across.g))
    ]
    size = (len(down.b_t), len(across.b_t))
    return Method(
        (len(down.a_t), len(across.a_t)),
        size,
        size[0] * size[1],
        kernels[0],
        kernels[1],
        supports[0],
        supports[1],
    )


class Winograd:
    """F(m x n, r x s): tiles (m+r-1)(n+s-1) N K C/groups multiplications.

    There are ceil(P/m) ceil(Q/n) tiles, whole at edges.

    Along an axis with one tap a tile is one output long: a 1 x 7 filter is the one-dimensional F(m,
    7). Fused, the temporaries V and M of a block of tiles at a time stay on chip.
    """

    def __init__(
        self,
        name: str,
        m: int,
        n: int,
        points: tuple[Fraction, ...] = POINTS,
        *,
        fused: bool = False,
        relu: bool = False,
    ) -> None:
        self.name, self.m, self.n, self.points, self.fused, self.relu = (
            name,
            m,
            n,
            points,
            fused,
            relu,
        )
        how = " of blocks of tiles that stay on chip" if fused else ""
        self.summary = f"F({m}x{n}, r x s): transforms{how}, then a product per point"
        if relu:
            self.summary = (
                f"F({m}x{n}, r x s) of a network pruned and ReLU'd between the transforms"
            )

    def refuses(self, layer: Layer) -> str | None:
        if not isinstance(layer, (ConvLayer, ConvTransposeLayer)):
            return unless_convolution(layer)
        rows, columns = phases_of(layer, 0), phases_of(layer, 1)
        longest = max((phase.taps for phase in (*rows, *columns)), default=1)
        if longest == 1:
            each = (
                f"a {layer.r}x{layer.s} filter"
                if layer.stride == 1
                else f"a phase of one tap ({layer.r}x{layer.s}, stride {layer.stride})"
            )
            return f"{each} shares nothing between outputs; expected at least 2 taps"
        for m, phases in ((self.m, rows), (self.n, columns)):
            taps = max((phase.taps for phase in phases), default=1)
            if taps > 1 and m + taps - 2 > len(self.points):
                most = len(self.points) + 2 - taps
                return (
                    f"F({m}, {taps}) needs {m + taps - 2} points of {len(self.points)}; "
                    f"expected a tile of at most {most}"
                )
        if (
            self.fused
            and len({(part.places, part.phase_dims) for part in self._parts(layer)}) > 1
            and isinstance(layer, ConvTransposeLayer)
        ):
            return (
                "its phases have tiles of different numbers; expected a filter that the stride "
                "divides"
            )
        return None

    def lower(self, layer: Layer) -> Plan:
        if (
            not isinstance(layer, (ConvLayer, ConvTransposeLayer))
            or self.refuses(layer) is not None
        ):
            raise HwsimError(f"{self.name}: {self.refuses(layer)}")
        plan = self._plan(layer)
        if not self.relu:
            return plan
        return _rectified(plan, layer.density, plain=self.name.replace("-relu", ""))

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array:
        return convolve(layer, self._plan(layer), x, w)

    def _plan(self, layer: Convolution) -> Plan:
        parts = self._parts(layer)
        before = [stage for part in parts for stage in part.filter_transforms()]
        inputs, products = (
            [part.input_transform() for part in parts],
            [part.products() for part in parts],
        )
        groups = [parts] if isinstance(layer, ConvLayer) else [[part] for part in parts]
        outputs = []
        for number, group in enumerate(groups):
            name = "output-transform" + (f"-{number + 1}" if len(groups) > 1 else "")
            outputs.append(
                output_transform(
                    group, Separable(tuple(self._inverse(part) for part in group)), name
                )
            )
        temporaries = tuple(f"{letter}{part.mark}" for letter in "VM" for part in parts)
        fused_over = ("n", "i", "y", "j", "x") if self.fused else ()
        return Plan(
            self.name,
            (*before, *inputs, *products, *outputs),
            temporaries,
            (TRANSFORMED_BEFORE,),
            fused_over,
        )

    def _parts(self, layer: Convolution) -> list[TiledPart]:
        pairs = [(rows, columns) for rows in phases_of(layer, 0) for columns in phases_of(layer, 1)]
        parts = []
        for number, (rows, columns) in enumerate(pairs):
            tile = (self._tile(layer, 0), self._tile(layer, 1))
            method = _method(
                transforms(tile[0], rows.taps, self.points),
                transforms(tile[1], columns.taps, self.points),
            )
            parts.append(
                TiledPart(
                    layer,
                    *sides(layer, rows, columns, tile),
                    method,
                    str(number + 1) if len(pairs) > 1 else "",
                )
            )
        return parts

    def _tile(self, layer: Convolution, axis: int) -> int:
        """Outputs of a tile along an axis: one where no phase has a second tap."""
        return (
            (self.m, self.n)[axis]
            if max((phase.taps for phase in phases_of(layer, axis)), default=1) > 1
            else 1
        )

    def _inverse(self, part: TiledPart) -> tuple[Program, Program]:
        rows, columns = (
            transforms(side.m, side.phases.taps, self.points) for side in (part.rows, part.columns)
        )
        return program_of(rows.a_t), program_of(columns.a_t)


def _rectified(plan: Plan, density: Density, plain: str) -> Plan:
    """Winograd-ReLU (Liu et al., ICLR 2018): the filters U are what is trained and pruned.

    The ReLU comes after the input transform.

    Densities are U's and V's, so both shares count in every product. plain: the algorithm whose U
    it is.
    """
    products = [stage for stage in plan.stages if stage.view is not None]
    multiplied = {tensor.name for stage in products for tensor in stage.inputs}
    stages = []
    for stage in plan.stages:
        if stage.view is not None:
            stages.append(replace(stage, effectual=expected(stage.iterations, density)))
        elif stage.kernel is not None and not stage.offline and stage.output.name in multiplied:
            kernel = Rectified(stage.kernel, stage.output.axes[0].extent)
            stages.append(
                replace(
                    stage,
                    kernel=kernel,
                    per_iteration=kernel.operations,
                    statement=f"{stage.output.name} = max(0, transform(ifmap))",
                )
            )
        elif not stage.offline:
            stages.append(stage)
    return replace(
        plan,
        stages=tuple(stages),
        notes=(Note("weights are U, in the Winograd domain, and so are the densities"),),
        trained_in=plain,
    )


class WinogradFamily:
    """winograd-f<m>[x<n>][-fused|-relu][@points]: any tile from 2 for which the points suffice."""

    pattern = "winograd-f<m>[x<n>][-fused|-relu][@p:q:...]"
    summary = (
        "other tiles, rectangular ones, other points; fused; pruned and ReLU'd between the "
        "transforms"
    )

    def member(self, name: str) -> Algorithm | None:
        match = re.fullmatch(
            r"winograd-f(\d{1,3})(?:x(\d{1,3}))?(-fused|-relu)?(?:@([^@]*))?", name
        )
        if match is None:
            return None
        points = POINTS if match[4] is None else _points(name, match[4])
        most = len(points)
        m, n = int(match[1]), int(match[2] or match[1])
        for size in (m, n):
            if not 2 <= size <= most:
                raise HwsimError(
                    f"{name}: an output tile of {size}; expected winograd-f2 to winograd-f{most}"
                    + (", as many as there are points" if match[4] else "")
                )
        return Winograd(name, m, n, points, fused=match[3] == "-fused", relu=match[3] == "-relu")


def _points(name: str, text: str) -> tuple[Fraction, ...]:
    try:
        points = tuple(Fraction(point) for point in text.split(":"))
    except (ValueError, ZeroDivisionError):
        raise HwsimError(
            f"{name}: points {text!r}; expected numbers or fractions separated by colons, as "
            f"0:1:-1:1/2"
        ) from None
    if len(set(points)) < len(points) or len(points) < 2:
        raise HwsimError(f"{name}: points {text!r}; expected at least two, all different")
    return points


FAMILIES.register("winograd")(WinogradFamily())
for _name in ("winograd-f2", "winograd-f4", "winograd-f4-fused"):
    _member = WinogradFamily().member(_name)
    assert _member is not None
    ALGORITHMS.register(_name)(_member)
