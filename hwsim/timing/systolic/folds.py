"""Folds of a systolic array in closed form: when each may start, and when the last result has left.

A product does not fit the array at once; its pieces, folds, follow each other:

    for each fold:                      stationary weights (or inputs)   stationary outputs
        r rows x c columns stay         weights shift in from the top    sums, which shift out at
                                                                         the bottom
        T vectors stream through them   inputs from the left             inputs from the left,
                                                                         weights from the top

The first vector needs r L + c - 1 cycles through the cells (L: the stages of a
multiply-accumulate), each later one a cycle more. hwsim.oracle.registers steps every register of
the same array; the two agree to the cycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hwsim.describe.machine import Role
from hwsim.errors import HwsimError

Floats = npt.NDArray[np.float64]
Stays = Literal["ws", "is", "os"]
SHORT: dict[Role, Stays] = {"weight": "ws", "activation": "is", "output": "os"}


@dataclass(frozen=True)
class FoldRules:
    """What an array does between folds.

    hidden: cells have a second register, so the next stationary tile shifts in (or the last sums
    shift out) meanwhile. overlap: a fold's first vector enters right behind the last of the fold
    before it; else that fold's results leave first. drain: stationary sums shift out through the
    cells below; without it they leave all at once, at no cost. stages: cycles from a product's
    operands to its sum, one new product entering each cycle.
    """

    hidden: bool = True
    overlap: bool = True
    drain: bool = True
    stages: int = 1


@dataclass(frozen=True)
class Folds:
    """Folds in the order in which they run, as arrays of one length.

    They say rows and columns of cells in use, and vectors that stream past.
    """

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    stream: Floats


@dataclass(frozen=True)
class Schedule:
    """When folds run.

    starts: the cycle in which each fold's first vector enters. cycles: until the last result has
    left.
    """

    starts: Floats
    cycles: float


def schedule(folds: Folds, timing: FoldRules, stationary: Stays) -> Schedule:
    """When folds start one after another on one array, the first tile's shifting in included."""
    head = 0.0 if stationary == "os" else float(folds.rows[0])
    starts = head + np.concatenate([[0.0], np.cumsum(intervals(folds, timing, stationary))])
    return Schedule(starts, float((starts + latency(folds, timing, stationary)).max()))


def intervals(folds: Folds, timing: FoldRules, stationary: Stays) -> Floats:
    """From each fold's start to the next one's; one fewer than there are folds."""
    ends = latency(folds, timing, stationary)[:-1]
    rows, after, stream = folds.rows[:-1], folds.rows[1:], folds.stream[:-1]
    if stationary == "os":
        if not timing.overlap:
            return ends
        # until a cell has a register free again
        busy = _draining(rows, timing) - (folds.stream[1:] if timing.hidden else 1)
        return np.maximum(stream, stream + busy)
    if not timing.overlap:
        return (
            np.maximum(ends, _shifting(rows, after, timing.stages))
            if timing.hidden
            else ends + after
        )
    if timing.stages > 1:
        return _behind_each_other(folds, timing)
    shifting = _shifting(rows, after, 1)
    return np.maximum(stream, shifting) if timing.hidden else stream - 1 + shifting


def _shifting(
    rows: npt.NDArray[np.int64], after: npt.NDArray[np.int64], stages: int
) -> npt.NDArray[np.int64]:
    """Cycles of the next tile shifting in, row by row as the fold before lets go of its rows."""
    return np.asarray((np.minimum(rows, after) - 1) * stages + 1 + np.maximum(0, after - rows))


def _behind_each_other(folds: Folds, timing: FoldRules) -> Floats:
    """The same where cells take several cycles.

    Vectors sink slower than tiles, so rows that earlier folds hold are in the way.
    """
    most = int(folds.rows.max())
    # free: when a row has last been needed, from the current fold's start
    depth, free = np.arange(most), np.full(most, -np.inf)
    found = np.zeros(len(folds.rows) - 1)
    for number, (rows, after, stream) in enumerate(
        zip(folds.rows[:-1], folds.rows[1:], folds.stream[:-1], strict=True)
    ):
        free[:rows] = depth[:rows] * timing.stages + (0 if timing.hidden else stream - 1)
        found[number] = max(stream, (free - depth)[:after].max() + after)
        free -= found[number]
    return found


def latency(folds: Folds, timing: FoldRules, stationary: Stays) -> Floats:
    """From a fold's first vector to its last result.

    Vectors are skewed in, row by row, and out, column by column.
    """
    if stationary == "os":
        return (
            folds.stream
            + folds.rows
            + folds.columns
            - 2
            + timing.stages
            - 1
            + _draining(folds.rows, timing)
        )
    return folds.stream + folds.rows * timing.stages + folds.columns - 2


def _draining(rows: npt.NDArray[np.int64], timing: FoldRules) -> npt.NDArray[np.int64]:
    return rows if timing.drain else np.zeros_like(rows)


@dataclass(frozen=True)
class Product:
    """How a product M x N x K falls on an array.

    Rows and columns hold two of the dims, the third streams past.
    """

    rows: int
    columns: int
    stream: int


def mapped(m: int, n: int, k: int, stationary: str) -> Product:
    """Which dims stand still, and which streams, by what stays.

    Outputs are M x N, K streams; weights K x N, M streams; inputs K x M, N streams.

    Raises HwsimError for a letter pair that is none of os, ws, is.
    """
    choices = {"os": Product(m, n, k), "ws": Product(k, n, m), "is": Product(k, m, n)}
    if stationary not in choices:
        raise HwsimError(f"{stationary!r} stands still; expected one of {', '.join(choices)}")
    return choices[stationary]


def product_folds(
    m: int,
    n: int,
    k: int,
    stationary: Stays,
    rows: int,
    columns: int,
    *,
    whole: bool = False,
    depth: int | None = None,
) -> Folds:
    """The folds of a product on rows x columns cells.

    They go for column pieces: for strips of the stream: for row pieces.

    whole: a partial fold takes as long as a full one. depth: vectors whose sums the accumulators
    hold (ws, is); the stream is cut into strips of it.
    """
    product = mapped(m, n, k, stationary)
    down, across = _pieces(product.rows, rows), _pieces(product.columns, columns)
    strips = _pieces(product.stream, depth if depth and stationary != "os" else product.stream)
    c, t, r = (part.ravel() for part in np.meshgrid(across, strips, down, indexing="ij"))
    if whole:
        r, c = np.full_like(r, rows), np.full_like(c, columns)
    return Folds(r, c, t.astype(np.float64))


def even_tile(size: int, most: int) -> int:
    """The size cut into as few pieces as fit, and those as even as can be."""
    return -(-size // -(-size // most))


def _pieces(size: int, most: int) -> npt.NDArray[np.int64]:
    return np.diff(np.append(np.arange(0, size, even_tile(size, most)), size))
