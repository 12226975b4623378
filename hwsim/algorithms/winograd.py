"""Winograd's minimal filtering F(m x m, r x s): fewer general multiplications, more additions and traffic.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016:  Y = A^T [(G g G^T) . (B^T d B)] A.
The transforms come from Toom-Cook interpolation over exact fractions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, FAMILIES, Algorithm
from hwsim.errors import HwsimError
from hwsim.ir.access import Axis, Tensor, along
from hwsim.ir.conv import batch_dims, grouped, width
from hwsim.ir.stage import GemmView, Operations, Plan, Stage
from hwsim.spec.layer import ConvLayer, Layer

if TYPE_CHECKING:
    from hwsim.algorithms import Array

Matrix = tuple[tuple[Fraction, ...], ...]

POINTS = tuple(Fraction(text) for text in ["0", "1", "-1", "2", "-2", "1/2", "-1/2", "4", "-4", "1/4", "-1/4", "3", "-3", "1/3", "-1/3"])


@dataclass(frozen=True)
class Transforms:
    """Y = a_t [(g x) . (b_t d)] for one axis: a_t [m][a], g [a][r], b_t [a][a], a = m + r - 1."""

    a_t: Matrix
    g: Matrix
    b_t: Matrix


@lru_cache(maxsize=64)
def transforms(m: int, r: int) -> Transforms:
    """F(m, r) from the first m + r - 2 of POINTS and the point at infinity (Toom-Cook, transposed).

    Rows are scaled so that every denominator stands in g and is positive, which gives Lavin and Gray's matrices.
    Raises HwsimError when there are not enough points.
    """
    size = m + r - 1
    if size - 1 > len(POINTS):
        raise HwsimError(f"F({m}, {r}) needs {size - 1} points; expected m + r - 2 of at most {len(POINTS)}")
    points = POINTS[: size - 1]
    a_t = tuple((*(point**i for point in points), Fraction(int(i == m - 1))) for i in range(m))
    g, b_t = [], []
    for point in points:
        others = [other for other in points if other != point]
        scale = Fraction(1)
        for other in others:
            scale *= point - other
        sign = -1 if scale < 0 else 1
        g.append(tuple(point**j / abs(scale) for j in range(r)))
        b_t.append((*tuple(sign * value for value in _expand(others)), Fraction(0)))
    g.append(tuple(Fraction(int(j == r - 1)) for j in range(r)))
    b_t.append(_expand(list(points)))
    return Transforms(a_t, tuple(g), tuple(b_t))


def _expand(roots: list[Fraction]) -> tuple[Fraction, ...]:
    """Coefficients of the product of (x - root), constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return tuple(coefficients)


def apply_cost(matrix: Matrix) -> Operations:
    """Operations of one matrix-vector product, term by term: 0 is free, +-1 is a sign, +-2^k is a shift."""
    constants = shifts = additions = 0
    for row in matrix:
        terms = [abs(value) for value in row if value]
        additions += max(0, len(terms) - 1)
        shifts += sum(_power_of_two(value) for value in terms if value != 1)
        constants += sum(not _power_of_two(value) for value in terms if value != 1)
    return Operations(constant_multiplies=constants, shifts=shifts, additions=additions)


def _power_of_two(value: Fraction) -> bool:
    return (value.numerator & (value.numerator - 1)) == 0 and (value.denominator & (value.denominator - 1)) == 0


class Winograd:
    """F(m x m, r x s): tiles (m+r-1)(m+s-1) N K C/groups multiplications, tiles = ceil(P/m) ceil(Q/m), whole at edges."""

    def __init__(self, m: int) -> None:
        self.m = m
        self.name = f"winograd-f{m}"
        self.summary = f"F({m}x{m}, r x s): transforms, then a product per point"

    def refuses(self, layer: Layer) -> str | None:
        if not isinstance(layer, ConvLayer):
            return "it is not a convolution"
        if layer.stride != 1:
            return f"stride {layer.stride}; expected 1"
        if layer.dilation != 1:
            return f"dilation {layer.dilation}; expected 1"
        if layer.r == 1 or layer.s == 1:
            return f"a {layer.r}x{layer.s} filter shares nothing between outputs; expected at least 2x2"
        if self.m + max(layer.r, layer.s) - 2 > len(POINTS):
            return f"F({self.m}, {max(layer.r, layer.s)}) needs more than {len(POINTS)} points"
        return None

    def lower(self, layer: Layer) -> Plan:
        if not isinstance(layer, ConvLayer) or self.refuses(layer) is not None:
            raise HwsimError(f"{self.name}: {self.refuses(layer)}")
        shape = _Tiles(self.m, layer)
        stages = (shape.filter_transform(), shape.input_transform(), shape.products(), shape.output_transform())
        return Plan(self.name, stages, temporaries=("V", "M"), notes=("filter transform offline, not timed",))

    def compute(self, layer: ConvLayer, x: Array, w: Array) -> Array:
        import numpy as np

        tile = _Tiles(self.m, layer)
        rows, columns = (_arrays(transforms(self.m, taps)) for taps in (layer.r, layer.s))
        u = np.einsum("ar,kcrs,bs->abkc", rows.g, w, columns.g, optimize=True)
        v = np.einsum("ai,ncyxij,bj->abncyx", rows.b_t, tile.patches(x), columns.b_t, optimize=True)
        u = u.reshape(*u.shape[:2], layer.groups, -1, u.shape[3])
        v = v.reshape(*v.shape[:3], layer.groups, -1, tile.y, tile.x)
        products = np.einsum("abgkc,abngcyx->abngkyx", u, v, optimize=True)
        tiles = np.einsum("ia,abngkyx,jb->ngkyixj", rows.a_t, products, columns.a_t, optimize=True)
        out = tiles.reshape(layer.n, layer.k, tile.y * self.m, tile.x * self.m)
        return np.ascontiguousarray(out[:, :, : layer.p, : layer.q])


@dataclass(frozen=True)
class _FloatTransforms:
    a_t: Array
    g: Array
    b_t: Array


def _arrays(exact: Transforms) -> _FloatTransforms:
    import numpy as np

    return _FloatTransforms(*(np.array(matrix, dtype=np.float64) for matrix in (exact.a_t, exact.g, exact.b_t)))


@dataclass(frozen=True)
class _Tiles:
    """A layer cut into y x x output tiles of m x m, read as patches of (m+r-1) x (m+s-1)."""

    m: int
    layer: ConvLayer

    @property
    def y(self) -> int:
        return -(-self.layer.p // self.m)

    @property
    def x(self) -> int:
        return -(-self.layer.q // self.m)

    @property
    def points(self) -> int:
        return (self.m + self.layer.r - 1) * (self.m + self.layer.s - 1)

    def patches(self, image: Array) -> Array:
        """[n, c, y, x, m+r-1, m+s-1], zero outside the image."""
        import numpy as np
        from numpy.lib.stride_tricks import sliding_window_view

        layer, m = self.layer, self.m
        below = self.y * m + layer.r - 1 - layer.h - layer.pad
        right = self.x * m + layer.s - 1 - layer.w - layer.pad
        padded = np.pad(image, ((0, 0), (0, 0), (layer.pad, max(0, below)), (layer.pad, max(0, right))))
        windows = sliding_window_view(padded, (m + layer.r - 1, m + layer.s - 1), axis=(2, 3))
        return windows[:, :, ::m, ::m][:, :, : self.y, : self.x]

    def _tensor(self, name: str, role: str, inner: str, whole: bool) -> Tensor:
        """V (inner c) or M (inner k): [points][g][inner][n][y][x], every point at once when `whole`."""
        layer = self.layer
        channels = (layer.c if inner == "c" else layer.k) // layer.groups
        points = Axis((), self.points, 0, self.points) if whole else along("e", self.points)
        axes = (points, *grouped(layer, along(inner, channels)), along("n", layer.n), along("y", self.y), along("x", self.x))
        return Tensor(name, "output" if role == "output" else "activation", axes, width(layer.dtype))

    def filter_transform(self) -> Stage:
        """for g, k, c:  U[:][g][k][c] = G filter[g][k][c] G^T"""
        layer = self.layer
        k, c = layer.k // layer.groups, layer.c // layer.groups
        taps = (Axis((), layer.r, 0, layer.r), Axis((), layer.s, 0, layer.s))
        kernel = Tensor("filter", "activation", grouped(layer, along("k", k), along("c", c), *taps), width(layer.dtype))
        u = Tensor("U", "output", (Axis((), self.points, 0, self.points), *grouped(layer, along("k", k), along("c", c))),
                   width(layer.dtype))
        rows, columns = transforms(self.m, layer.r), transforms(self.m, layer.s)
        cost = apply_cost(rows.g) * layer.s + apply_cost(columns.g) * (self.m + layer.r - 1)
        return Stage("filter-transform", (*batch_dims(layer), ("k", k), ("c", c)), (kernel, u), cost, offline=True,
                     statement="U = G filter G^T")

    def input_transform(self) -> Stage:
        """for n, g, c, y, x:  V[:][g][c][n][y][x] = B^T ifmap[n][g][c][patch y, x] B"""
        layer, m = self.layer, self.m
        c = layer.c // layer.groups
        rows = Axis((("y", m),), layer.h, -layer.pad, m + layer.r - 1)
        columns = Axis((("x", m),), layer.w, -layer.pad, m + layer.s - 1)
        image = Tensor("ifmap", "activation", (along("n", layer.n), *grouped(layer, along("c", c)), rows, columns), width(layer.dtype))
        across, down = transforms(m, layer.s), transforms(m, layer.r)
        cost = apply_cost(down.b_t) * (m + layer.s - 1) + apply_cost(across.b_t) * (m + layer.r - 1)
        return Stage("input-transform", (("n", layer.n), *batch_dims(layer), ("c", c), ("y", self.y), ("x", self.x)),
                     (image, self._tensor("V", "output", "c", whole=True)), cost, statement="V = B^T ifmap B")

    def products(self) -> Stage:
        """for e, g, k, c, n, y, x:  M[e][g][k][n][y][x] += V[e][g][c][n][y][x] * U[e][g][k][c]"""
        layer = self.layer
        k, c = layer.k // layer.groups, layer.c // layer.groups
        axes = (along("e", self.points), *grouped(layer, along("k", k), along("c", c)))
        last = len(axes) - 1
        u = Tensor("U", "weight", axes, width(layer.dtype), (*range(last - 1), last, last - 1))
        v, m = self._tensor("V", "activation", "c", whole=False), self._tensor("M", "output", "k", whole=False)
        bounds = (("e", self.points), *batch_dims(layer), ("n", layer.n), ("y", self.y), ("x", self.x), ("k", k), ("c", c))
        batch = ("e", *(dim for dim, _ in batch_dims(layer)))
        multiplies = self.points * layer.n * self.y * self.x * layer.k * c
        return Stage("products", bounds, (v, u, m), Operations(multiplies=1, additions=1), multiplies,
                     GemmView(("n", "y", "x"), ("k",), ("c",), batch), statement="M += V * U")

    def output_transform(self) -> Stage:
        """for n, g, k, y, x:  ofmap[n][g][k][m x m tile y, x] = A^T M[:][g][k][n][y][x] A"""
        layer, m = self.layer, self.m
        k = layer.k // layer.groups
        rows, columns = Axis((("y", m),), layer.p, 0, m), Axis((("x", m),), layer.q, 0, m)
        out = Tensor("ofmap", "output", (along("n", layer.n), *grouped(layer, along("k", k)), rows, columns), width(layer.dtype))
        across, down = transforms(m, layer.s), transforms(m, layer.r)
        cost = apply_cost(down.a_t) * (m + layer.s - 1) + apply_cost(across.a_t) * m
        return Stage("output-transform", (("n", layer.n), *batch_dims(layer), ("k", k), ("y", self.y), ("x", self.x)),
                     (self._tensor("M", "activation", "k", whole=True), out), cost, statement="ofmap = A^T M A")


class WinogradFamily:
    """winograd-f<m> for any m from 2 for which the points suffice."""

    pattern = "winograd-f<m>"

    def member(self, name: str) -> Algorithm | None:
        match = re.fullmatch(r"winograd-f(\d{1,3})", name)
        if match is None:
            return None
        m = int(match[1])
        if not 2 <= m <= len(POINTS):
            raise HwsimError(f"{name}: an output tile of {m}; expected winograd-f2 to winograd-f{len(POINTS)}")
        return Winograd(m)


FAMILIES.register("winograd")(WinogradFamily())
for _m in (2, 4):
    ALGORITHMS.register(f"winograd-f{_m}")(Winograd(_m))
