"""The lecture's tiled matrix product: formulas, the exact closed form, and the executed loops.

    for m, n, k:                     for m step v1:
      C[m][n] += A[m][k] * B[k][n]     for n step v2:            C tile v1 x v2 in registers
                              ->         for k step v3:          load A v1 x v3 and B v3 x v2
                                           for m, n, k inside:
                                             C[m][n] += A[m][k] * B[k][n]

Loads: A is read M N K / v2 times (every word again for each tile of n), B M N K / v1 times, C
written M N times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import isqrt

import numpy as np
import numpy.typing as npt

from hwsim.count import closed_form
from hwsim.describe.layer import GemmLayer
from hwsim.errors import HwsimError
from hwsim.ir.convolution import gemm_stage
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.transform import drop_idle, points
from hwsim.ir.verify import verify_nest

OUTSIDE, REGISTERS = "dram", "registers"
LONGEST = 4096  # beyond which the closed form of any nest gives way to the same one for this nest
MOST_SWEPT = 10
# of traffic in floating point, and how many tiles may be equal in it
ROUNDING, MOST_EQUALS = 1e-12, 1000
MOST_EXECUTED = 20_000_000  # iterations that are executed


@dataclass(frozen=True)
class Tiled:
    """C[M][N] += A[M][K] B[K][N] in tiles of v1 x v2 outputs, v3 of the reduction at a time.

    Raises HwsimError for a tile that is not between 1 and its dim.
    """

    m: int
    n: int
    k: int
    v1: int
    v2: int
    v3: int

    def __post_init__(self) -> None:
        for tile, size, names in (
            (self.v1, self.m, "v1 (of m"),
            (self.v2, self.n, "v2 (of n"),
            (self.v3, self.k, "v3 (of k"),
        ):
            if size < 1:
                raise HwsimError(f"a length of {size}; expected at least 1")
            if not 1 <= tile <= size:
                raise HwsimError(f"tile {names} = {size}) is {tile}; expected 1 to {size}")

    @property
    def formulas(self) -> dict[str, tuple[str, float]]:
        """Name: (formula, value).

        They are exact where tiles divide their dims and none but C's stays from step to step.
        """
        work = self.m * self.n * self.k
        return {
            "A loads": ("M N K / v2", work / self.v2),
            "B loads": ("M N K / v1", work / self.v1),
            "C stores": ("M N", float(self.m * self.n)),
            "A registers": ("v1 v3", float(self.v1 * self.v3)),
            "B registers": ("v2 v3", float(self.v2 * self.v3)),
            "C registers": ("v1 v2", float(self.v1 * self.v2)),
        }

    @cached_property
    def nest(self) -> Nest:
        """The tiled loops, with registers inside the three tile loops."""
        items: tuple[Loop | Hold, ...] = (
            Hold(OUTSIDE, ("A", "B", "C")),
            Loop("m", self.v1),
            Loop("n", self.v2),
            Loop("k", self.v3),
            Hold(REGISTERS, ("A", "B", "C")),
            *points(("m", "n", "k")),
        )
        stage = gemm_stage(GemmLayer(self.m, self.n, self.k))
        return verify_nest(Nest(stage, drop_idle(stage, items), "tiled"))

    @cached_property
    def closed(self) -> dict[str, int]:
        """The same names as the formulas, counted exactly.

        Tiles may be ragged, and what is already there is not loaded again.
        """
        if max(self.m, self.n, self.k) <= LONGEST:
            return _counted(closed_form.count(self.nest))
        a, b = self.loads
        return {
            "A loads": a,
            "B loads": b,
            "C stores": self.m * self.n,
            "A registers": self.v1 * self.v3,
            "B registers": self.v2 * self.v3,
            "C registers": self.v1 * self.v2,
        }

    @cached_property
    def executed(self) -> dict[str, int] | None:
        """The same, by executing every iteration; None where there are too many.

        hwsim.count.tiled_loops does it.
        """
        if self.m * self.n * self.k > MOST_EXECUTED:
            return None
        from hwsim.count.tiled_loops import execute

        return execute(self.m, self.n, self.k, self.v1, self.v2, self.v3)

    @property
    def footprint(self) -> int:
        """Words in registers: v1 v3 + v2 v3 + v1 v2."""
        return self.v1 * self.v3 + self.v2 * self.v3 + self.v1 * self.v2

    @property
    def accesses(self) -> int:
        """Words to and from DRAM, exactly, without the cost of building the nest.

        A comes anew for every tile of n unless its tile is the whole of k and stays; B likewise
        over tiles of m.
        """
        return sum(self.loads) + self.m * self.n

    @property
    def loads(self) -> tuple[int, int]:
        """Words of A and of B that are loaded, exactly."""
        across, down, deep = (
            -(-size // tile)
            for size, tile in ((self.n, self.v2), (self.m, self.v1), (self.k, self.v3))
        )
        a = self.m * self.k * (across if deep > 1 else 1)
        b = self.n * self.k * (1 if deep == 1 and across == 1 else down)
        return a, b


def _counted(counts: NestCounts) -> dict[str, int]:
    return {
        "A loads": counts.of(OUTSIDE, "A").serves,
        "B loads": counts.of(OUTSIDE, "B").serves,
        "C stores": counts.of(OUTSIDE, "C").updates,
        "A registers": counts.of(REGISTERS, "A").peak,
        "B registers": counts.of(REGISTERS, "B").peak,
        "C registers": counts.of(REGISTERS, "C").peak,
    }


def best_tiles(m: int, n: int, k: int, words: int, sum_words: int = 1) -> Tiled:
    """The tiles of least DRAM traffic that fit `words` registers, the smallest among equals.

    That is by their footprint. sum_words: that a word of C takes while it is summed.

    v3 = 1 is never worse than more: loads do not depend on it while k is cut, and less of it leaves
    room for v1 and v2. Only v3 = k, where A's tile stays across n, can beat it. Raises HwsimError
    when not even single words fit.
    """
    best = min(
        _candidates(m, n, k, words, sum_words),
        key=lambda tiled: (tiled.accesses, tiled.footprint),
        default=None,
    )
    if best is None:
        raise HwsimError(f"{words} words; expected at least 3, one of each matrix")
    return best


def _candidates(m: int, n: int, k: int, words: int, sum_words: int) -> Iterator[Tiled]:
    """The tiles of least traffic, but for rounding, among the widest that fit.

    For every v1 with another number of tiles there is a widest v2 that fits.
    """
    for v3 in {1, k}:
        rows = _lengths(m, max(0, words - 1) // v3)
        room = (words - rows * v3) // (sum_words * rows + v3)
        rows, room = rows[room >= 1], np.minimum(room[room >= 1], n)
        if not len(rows):
            continue
        down, across = -(-m // rows), -(-n // room)
        a = float(m) * k * (across if v3 < k else 1)
        b = float(n) * k * np.where((v3 == k) & (across == 1), 1, down)
        traffic = a + b
        for number in np.flatnonzero(traffic <= traffic.min() * (1 + ROUNDING))[
            :MOST_EQUALS
        ].tolist():
            yield Tiled(m, n, k, int(rows[number]), int(room[number]), v3)
            yield Tiled(m, n, k, int(rows[number]), _shortest(n, int(room[number])), v3)


def _lengths(size: int, most: int) -> npt.NDArray[np.int64]:
    """The shortest tile for every number of tiles that a size can be cut into, up to a length."""
    root = isqrt(size)
    short = np.arange(1, min(root, most) + 1, dtype=np.int64)
    found = np.unique(np.concatenate([short, -(-size // np.arange(1, root + 1, dtype=np.int64))]))
    return np.asarray(found[found <= most])


def _shortest(size: int, most: int) -> int:
    """The shortest tile with as few chunks as one of `most`."""
    return -(-size // -(-size // most))


def sweep(m: int, n: int, k: int) -> list[Tiled]:
    """Tiles of every dim, in order of their footprint.

    They are all that differ in their number up to MOST_SWEPT, else powers of two.
    """
    tiles = [
        Tiled(m, n, k, v1, v2, v3) for v1 in _powers(m) for v2 in _powers(n) for v3 in _powers(k)
    ]
    return sorted(tiles, key=lambda tiled: (tiled.footprint, tiled.accesses))


def _powers(size: int) -> list[int]:
    found = sorted({-(-size // pieces) for pieces in range(1, min(size, 4096) + 1)})
    return (
        found
        if len(found) <= MOST_SWEPT
        else [*(2**power for power in range(size.bit_length()) if 2**power < size), size]
    )


def pareto(tiles: list[Tiled]) -> list[Tiled]:
    """Those that no other beats in both footprint and accesses; `tiles` in order of footprint."""
    front: list[Tiled] = []
    for tiled in tiles:
        if not front or tiled.accesses < front[-1].accesses:
            front.append(tiled)
    return front
