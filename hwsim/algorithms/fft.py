"""Convolution by tiles in the Fourier domain: overlap-save, real input, complex products.

A tile of t x t inputs gives (t - r + 1) x (t - s + 1) outputs, and takes one complex product per
point of its spectrum. Of the spectrum t x (t/2 + 1) points are kept, the rest being their
conjugates. The transforms are split-radix (Sorensen et al. 1986, 1987), for t numbers

    real       2 t log2 t - 4 t + 6 operations
    complex    4 t log2 t - 6 t + 8 operations

Vasilache et al., "Fast Convolutional Nets With fbfft", ICLR 2015; tiled, and counted as in Lavin
and Gray 2016, section 5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import cos, pi, sin, sqrt
from typing import TYPE_CHECKING, Any

from hwsim.algorithms import ALGORITHMS, FAMILIES, Algorithm, convolve, unless_convolution
from hwsim.algorithms.shared.tiles import (
    TRANSFORMED_BEFORE,
    Method,
    TiledPart,
    output_transform,
    sides,
)
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, Layer
from hwsim.errors import HwsimError
from hwsim.ir.convolution import Convolution
from hwsim.ir.kernel import run_along
from hwsim.ir.note import Note
from hwsim.ir.phases import Phases, joined_phases
from hwsim.ir.program import Program, Step, transposed
from hwsim.ir.stage import Operations, Plan, Stage

if TYPE_CHECKING:
    import numpy.typing as npt

    from hwsim.algorithms import Array

    Values = npt.NDArray[Any]

SIZES = (4, 8, 16, 32, 64, 128, 256)
TRIED = (8, 16, 32, 64)  # what plain `fft` chooses from
# numbers of the real and the imaginary value, None where it is zero
Complex = tuple[int, int | None]


class _Writer:
    """Straight-line code under construction."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.steps: list[Step] = []

    def add(self, *terms: tuple[float, int]) -> int:
        self.steps.append(Step(terms))
        return self.inputs + len(self.steps) - 1

    def sum(self, a: int, b: int, sign: int = 1) -> int:
        return self.add((1, a), (sign, b))

    def turned(self, value: tuple[int, int], k: int, n: int) -> tuple[int, int]:
        """value times exp(-2 pi i k / n)"""
        re_, im = value
        if k == 0:
            return value
        if 8 * k == n:
            half = sqrt(0.5)
            return self.add((half, self.sum(re_, im))), self.add((half, self.sum(im, re_, -1)))
        if 8 * k == 3 * n:
            half = sqrt(0.5)
            return self.add((half, self.sum(im, re_, -1))), self.add((-half, self.sum(re_, im)))
        c, s = cos(2 * pi * k / n), sin(2 * pi * k / n)
        return self.add((c, re_), (s, im)), self.add((c, im), (-s, re_))

    def complex(self, x: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Split radix: even samples by a transform of half the length, odd by two of a quarter."""
        n = len(x)
        if n == 1:
            return x
        if n == 2:
            (a, b), (c, d) = x
            return [(self.sum(a, c), self.sum(b, d)), (self.sum(a, c, -1), self.sum(b, d, -1))]
        even, first, third = self.complex(x[::2]), self.complex(x[1::4]), self.complex(x[3::4])
        out = [(0, 0)] * n
        for k in range(n // 4):
            turned, thrice = self.turned(first[k], k, n), self.turned(third[k], 3 * k, n)
            plus = (self.sum(turned[0], thrice[0]), self.sum(turned[1], thrice[1]))
            minus = (self.sum(turned[0], thrice[0], -1), self.sum(turned[1], thrice[1], -1))
            e, f = even[k], even[k + n // 4]
            out[k] = (self.sum(e[0], plus[0]), self.sum(e[1], plus[1]))
            out[k + n // 2] = (self.sum(e[0], plus[0], -1), self.sum(e[1], plus[1], -1))
            out[k + n // 4] = (self.sum(f[0], minus[1]), self.sum(f[1], minus[0], -1))
            out[k + 3 * n // 4] = (self.sum(f[0], minus[1], -1), self.sum(f[1], minus[0]))
        return out

    def real(self, x: list[int]) -> list[Complex]:
        """Points 0 ... n/2 of real samples; the others are conjugates and are not computed."""
        n = len(x)
        if n == 1:
            return [(x[0], None)]
        if n == 2:
            return [(self.sum(x[0], x[1]), None), (self.sum(x[0], x[1], -1), None)]
        even, first, third = self.real(x[::2]), self.real(x[1::4]), self.real(x[3::4])
        out: list[Complex] = [(0, None)] * (n // 2 + 1)
        plus = self.sum(first[0][0], third[0][0])
        out[0], out[n // 2] = (
            (self.sum(even[0][0], plus), None),
            (self.sum(even[0][0], plus, -1), None),
        )
        out[n // 4] = even[n // 4][0], self.add((-1, self.sum(first[0][0], third[0][0], -1)))
        for k in range(1, -(-n // 8)):
            self._butterfly(out, k, n, even, _whole(first[k]), _whole(third[k]))
        if n >= 8:
            self._middle(out, n // 8, even, first[n // 8][0], third[n // 8][0])
        return out

    def _butterfly(
        self,
        out: list[Complex],
        k: int,
        n: int,
        even: list[Complex],
        first: tuple[int, int],
        third: tuple[int, int],
    ) -> None:
        """Four points of a transform, from those of its parts.

        Points k and n/2 - k come from point k of the even half, n/4 + k and n/4 - k from its point
        n/4 - k.
        """
        a, b = self.turned(first, k, n), self.turned(third, 3 * k, n)
        plus = (self.sum(a[0], b[0]), self.sum(a[1], b[1]))
        minus = (self.sum(a[0], b[0], -1), self.sum(a[1], b[1], -1))
        e, f = _whole(even[k]), _whole(even[n // 4 - k])
        out[k] = self.sum(e[0], plus[0]), self.sum(e[1], plus[1])
        out[n // 2 - k] = self.sum(e[0], plus[0], -1), self.sum(plus[1], e[1], -1)
        out[n // 4 + k] = self.sum(f[0], minus[1]), self.add((-1, f[1]), (-1, minus[0]))
        out[n // 4 - k] = self.sum(f[0], minus[1], -1), self.sum(f[1], minus[0], -1)

    def _middle(
        self, out: list[Complex], k: int, even: list[Complex], first: int, third: int
    ) -> None:
        """Points n/8 and 3n/8: the quarters' last points are real, and turn by an eighth."""
        half = sqrt(0.5)
        across, down = (
            self.add((half, self.sum(first, third, -1))),
            self.add((half, self.sum(first, third))),
        )
        e = _whole(even[k])
        out[k] = self.sum(e[0], across), self.sum(e[1], down, -1)
        out[3 * k] = self.sum(e[0], across, -1), self.add((-1, e[1]), (-1, down))


def _whole(value: Complex) -> tuple[int, int]:
    assert value[1] is not None
    return value[0], value[1]


@lru_cache(maxsize=16)
def real_program(t: int) -> Program:
    """t real samples to the real parts of points 0 to t/2, then the imaginary parts.

    The imaginary parts are those of points 1 to t/2 - 1.
    """
    writer = _Writer(t)
    points = writer.real(list(range(t)))
    return Program(
        t,
        tuple(writer.steps),
        (*(value for value, _ in points), *(_whole(point)[1] for point in points[1:-1])),
    )


@lru_cache(maxsize=16)
def complex_program(t: int) -> Program:
    """t real parts, then t imaginary parts -> the same of the spectrum."""
    writer = _Writer(2 * t)
    points = writer.complex([(number, t + number) for number in range(t)])
    return Program(
        2 * t,
        tuple(writer.steps),
        (*(value for value, _ in points), *(value for _, value in points)),
    )


@lru_cache(maxsize=16)
def inverse_program(t: int) -> Program:
    """The transpose of real_program: points 1 ... t/2 - 1 times two give t times the samples."""
    return transposed(real_program(t))


@dataclass(frozen=True)
class Forward:
    """t x t real numbers, or the taps in their corner, to t x (t/2 + 1) complex points.

    gauss: to their three real sums.
    """

    t: int
    gauss: bool
    taps: tuple[int, int] | None = None

    @cached_property
    def operations(self) -> Operations:
        """Rows are real; of the columns the first and last are, the others complex."""
        t, sums = self.t, (1 if self.taps is None else 2) if self.gauss else 0
        scaled = 0 if self.taps is None else 2 * int((_inverse_scale(t) > 0).sum())
        return spectrum_operations(t) + Operations(additions=sums * t * (t // 2 + 1), shifts=scaled)

    def apply(self, patches: list[Values]) -> Values:
        import numpy as np

        tile = patches[0]
        if self.taps is None:
            return self._sums(*_spectrum(tile.reshape(*tile.shape[:-1], self.t, self.t)))
        whole = np.repeat(tile[..., :1] * 0.0, self.t**2, axis=-1).reshape(
            *tile.shape[:-1], self.t, self.t
        )
        whole[..., : self.taps[0], : self.taps[1]] = tile.reshape(*tile.shape[:-1], *self.taps)
        re_, im = _spectrum(whole)
        scale = _inverse_scale(self.t)
        return self._sums(re_ * scale, -im * scale)

    def _sums(self, re_: Values, im: Values) -> Values:
        """What the products take of each complex point.

        That is (re, im), the filter's as a 2 x 2 matrix, or Gauss' three sums.
        """
        import numpy as np

        data = self.taps is None
        rows = (
            _gauss_sums(re_, im, data) if self.gauss else [re_, im] if data else [re_, im, -im, re_]
        )
        return np.stack([row.reshape(*row.shape[:-2], -1) for row in rows], axis=-1).reshape(
            *re_.shape[:-2], -1
        )


def _gauss_sums(re_: Values, im: Values, data: bool) -> list[Values]:
    """Gauss' three sums, with which (a + bi)(c + di) takes three multiplications.

    k1 = c (a + b), k2 = a (d - c), k3 = b (c + d); the real part is k1 - k3, the imaginary k1 + k2.
    """
    return [re_ + im, re_, im] if data else [re_, im - re_, re_ + im]


@dataclass(frozen=True)
class Inverse:
    """Products at t x (t/2 + 1) points to the first rows x columns of the tile."""

    t: int
    gauss: bool
    rows: int
    columns: int

    @cached_property
    def operations(self) -> Operations:
        t = self.t
        real, whole = inverse_program(t).operations, complex_program(t).operations
        return (
            real * (t + 2)
            + whole * (t // 2 - 1)
            + Operations(additions=2 * t * (t // 2 + 1) if self.gauss else 0)
        )

    def apply(self, patches: list[Values]) -> Values:
        products = patches[0].reshape(
            *patches[0].shape[:-1], self.t, self.t // 2 + 1, 3 if self.gauss else 2
        )
        parts = [products[..., number] for number in range(products.shape[-1])]
        re_, im = (parts[0] - parts[2], parts[0] + parts[1]) if self.gauss else (parts[0], parts[1])
        tile = _samples(re_, im)[..., : self.rows, : self.columns]
        return tile.reshape(*tile.shape[:-2], -1)


def spectrum_operations(t: int) -> Operations:
    """Operations of a t x t real tile's transform, or of the inverse.

    They are t + 2 real transforms of t numbers and t/2 - 1 complex ones.
    """
    return real_program(t).operations * (t + 2) + complex_program(t).operations * (t // 2 - 1)


def _spectrum(tile: Values) -> tuple[Values, Values]:
    """(real, imaginary) [..., t, t/2 + 1] of real tiles [..., t, t]."""
    import numpy as np

    t = tile.shape[-1]
    half = t // 2
    rows = run_along(real_program(t), tile, -1)
    re_, im = rows[..., : half + 1], rows[..., half + 1 :]
    edges = run_along(real_program(t), re_[..., [0, half]], -2)
    inner = run_along(complex_program(t), np.concatenate([re_[..., 1:half], im], axis=-2), -2)
    full_re = np.concatenate([edges[..., : half + 1, :], edges[..., half - 1 : 0 : -1, :]], axis=-2)
    zero = edges[..., :1, :] * 0.0
    full_im = np.concatenate(
        [zero, edges[..., half + 1 :, :], zero, -edges[..., :half:-1, :]], axis=-2
    )
    return (
        np.concatenate([full_re[..., :1], inner[..., :t, :], full_re[..., 1:]], axis=-1),
        np.concatenate([full_im[..., :1], inner[..., t:, :], full_im[..., 1:]], axis=-1),
    )


def _samples(re_: Values, im: Values) -> Values:
    """Real tiles from spectra that carry the scale of _inverse_scale."""
    import numpy as np

    t, half = re_.shape[-2], re_.shape[-1] - 1
    ends = np.concatenate([re_[..., : half + 1, [0, half]], im[..., 1:half, [0, half]]], axis=-2)
    edges = run_along(inverse_program(t), ends, -2)
    swapped = run_along(
        complex_program(t), np.concatenate([im[..., 1:half], re_[..., 1:half]], axis=-2), -2
    )
    rows = np.concatenate(
        [edges[..., :1], swapped[..., t:, :], edges[..., 1:], swapped[..., :t, :]], axis=-1
    )
    return run_along(inverse_program(t), rows, -1)


@lru_cache(maxsize=16)
def _inverse_scale(t: int) -> Values:
    """[t, t/2 + 1]: the inverse's scale at each point, put into the filter once.

    It is 1 / t^2, and twice that for points that stand for their conjugates too.
    """
    import numpy as np

    both = np.full(t // 2 + 1, 2.0)
    both[[0, -1]] = 1.0
    scale = np.tile(both, (t, 1)) / t**2
    rows = np.zeros(t)
    rows[: t // 2 + 1] = both
    scale[:, [0, -1]] *= rows[:, None]
    return scale


class Fft:
    """t (t/2 + 1) points a tile, 4 multiplications each (3 by Gauss' rule).

    Tiles have t - r + 1 outputs a side.

    With 4 multiplications the filter's points are stored as 2 x 2 real matrices, with 3 as three
    sums.
    """

    def __init__(self, name: str, t: int, gauss: bool) -> None:
        self.name, self.t, self.gauss = name, t, gauss
        self.summary = (
            f"tiles of {t}x{t} in the Fourier domain, {3 if gauss else 4} multiplications a point"
        )

    def refuses(self, layer: Layer) -> str | None:
        if not isinstance(layer, (ConvLayer, ConvTransposeLayer)):
            return unless_convolution(layer)
        taps = max(phase.taps for axis in (0, 1) for phase in joined_phases(layer, axis))
        if layer.r == 1 and layer.s == 1:
            return "a 1x1 filter shares nothing between outputs; expected at least 2 taps"
        return (
            f"a tile of {self.t} holds filters of at most {self.t} taps, not {taps}"
            if taps > self.t
            else None
        )

    def lower(self, layer: Layer) -> Plan:
        if (
            not isinstance(layer, (ConvLayer, ConvTransposeLayer))
            or self.refuses(layer) is not None
        ):
            raise HwsimError(f"{self.name}: {self.refuses(layer)}")
        pairs = [
            (rows, columns)
            for rows in joined_phases(layer, 0)
            for columns in joined_phases(layer, 1)
        ]
        marks = [str(number + 1) if len(pairs) > 1 else "" for number in range(len(pairs))]
        parts = [self._part(layer, pair, mark) for pair, mark in zip(pairs, marks, strict=True)]
        before = [stage for part in parts for stage in part.filter_transforms()]
        online = [stage for part in parts for stage in self._stages(layer, part)]
        temporaries = tuple(f"{letter}{mark}" for letter in "VM" for mark in marks)
        return Plan(self.name, (*before, *online), temporaries, (TRANSFORMED_BEFORE,))

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array:
        return convolve(layer, self.lower(layer), x, w)

    def _part(self, layer: Convolution, pair: tuple[Phases, Phases], mark: str) -> TiledPart:
        taps = (pair[0].taps, pair[1].taps)
        tile = (self.t - taps[0] + 1, self.t - taps[1] + 1)
        points = self.t * (self.t // 2 + 1) * (3 if self.gauss else 1)
        everything = ((tuple(range(self.t)),) * 2,) * points
        method = Method(
            tile,
            (self.t, self.t),
            points,
            Forward(self.t, self.gauss),
            Forward(self.t, self.gauss, taps),
            everything,
            ((tuple(range(taps[0])), tuple(range(taps[1]))),) * points,
            1 if self.gauss else 2,
        )
        return TiledPart(layer, *sides(layer, pair[0], pair[1], tile), method, mark)

    def _stages(self, layer: Convolution, part: TiledPart) -> list[Stage]:
        inverse = Inverse(self.t, self.gauss, *part.method.tile)
        name = f"output-transform-{part.mark}" if part.mark else "output-transform"
        return [
            part.input_transform(),
            part.products(),
            output_transform([part], inverse, name),
        ]


class BestFft:
    """The tile of 8, 16, 32 or 64 of the fewest operations, by Gauss' three multiplications.

    Operations: products, and additions and constants of the transforms.
    """

    name = "fft"
    summary = "tiles in the Fourier domain, of the size that takes the fewest operations"

    def refuses(self, layer: Layer) -> str | None:
        return min(
            (Fft(self.name, t, False).refuses(layer) for t in TRIED),
            key=lambda reason: reason is not None,
        )

    def lower(self, layer: Layer) -> Plan:
        if self.refuses(layer) is not None:
            raise HwsimError(f"{self.name}: {self.refuses(layer)}")
        plan = _fewest(layer)
        taken = Note(f"of the tiles, {plan.algorithm}")
        return replace(plan, algorithm=self.name, notes=(taken, *plan.notes))

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array:
        return convolve(layer, self.lower(layer), x, w)


@lru_cache(maxsize=512)
def _fewest(layer: Layer) -> Plan:
    members = [Fft(f"fft-t{t}-3m", t, gauss=True) for t in TRIED]
    plans = [member.lower(layer) for member in members if member.refuses(layer) is None]
    return min(
        plans,
        key=lambda plan: sum(
            2 * stage.operations.multiplies + stage.operations.vector_operations
            for stage in plan.stages
            if not stage.offline
        ),
    )


class FftFamily:
    """fft-t<t>, and fft-t<t>-3m with three multiplications, for t a power of two from 4 to 256."""

    pattern = "fft-t<t>[-3m]"
    summary = "tiles of t x t, with 4 or 3 multiplications a point"

    def member(self, name: str) -> Algorithm | None:
        match = re.fullmatch(r"fft-t(\d{1,4})(-3m)?", name)
        if match is None:
            return None
        if int(match[1]) not in SIZES:
            raise HwsimError(
                f"{name}: tiles of {match[1]}; expected one of {', '.join(map(str, SIZES))}"
            )
        return Fft(name, int(match[1]), match[2] is not None)


FAMILIES.register("fft")(FftFamily())
ALGORITHMS.register("fft")(_fft := BestFft())
_checked: Algorithm = _fft
