"""A systolic array register by register: what every cell holds in every cycle, on real values.

            x  ->  [cell] -> [cell] ->          cell (i, j), each cycle:
                      |         |                   x moves right
            x  ->  [cell] -> [cell] ->              y moves down: a sum (weights stay),
                      v         v                     or a weight (sums stay)
                                                    one product

    weights or inputs stay:   y' = y + x * stays
    outputs stay:             stays' = stays + x * y

Every value travels with a tag that says what it is; a cell that would pair values that do not
belong together, or lose one that is still needed, raises Hazard. So a schedule is not only fast: it
is shown to be one that registers can follow. It is for small products. The array of H. T. Kung,
"Why Systolic Architectures?", IEEE Computer 15(1), 1982.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.errors import HwsimError
from hwsim.timing.systolic.folds import (
    FoldRules,
    Folds,
    Stays,
    even_tile,
    mapped,
    product_folds,
    schedule,
)

Floats = npt.NDArray[np.float64]
EMPTY = -1


class Hazard(Exception):
    """Registers cannot follow the schedule."""


@dataclass(frozen=True)
class Fold:
    """A part of a product that fits the array at once.

    stays: the r x c tile in the cells (None: sums). x [T, r], y [T, c]: vectors from the left and
    from the top.

    into: the rows (a slice, or their numbers) and columns of the product that its results add to.
    """

    stays: Floats | None
    x: Floats
    y: Floats | None
    into: tuple[Any, slice]

    @property
    def rows(self) -> int:
        return int(self.x.shape[1])

    @property
    def columns(self) -> int:
        across = self.stays if self.stays is not None else self.y
        assert across is not None
        return int(across.shape[1])


@dataclass(frozen=True)
class Stepped:
    """A product, stepped cycle by cycle.

    values [M, N]: the product. cycles: until the last result left. products: multiplications;
    switched: of two non-zeros.
    """

    values: Floats
    cycles: int
    products: int
    switched: int


def step_product(
    a: Floats,
    b: Floats,
    stationary: Stays,
    rows: int,
    columns: int,
    timing: FoldRules,
    *,
    whole: bool = False,
    depth: int | None = None,
    skip_zeros: bool = False,
) -> Stepped:
    """a [M, K] times b [K, N] on rows x columns cells, cycle by cycle.

    Folds go in the order of hwsim.timing.systolic.folds.product_folds.

    skip_zeros: vectors that are zero all over, and folds whose stationary tile is, are left out.
    Raises HwsimError for operands or an array that cannot be, Hazard if the schedule were one that
    registers cannot follow.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or 0 in (*a.shape, *b.shape):
        raise HwsimError(f"operands {a.shape} and {b.shape}; expected a [M, K] and b [K, N]")
    if min(rows, columns, timing.stages, depth or 1) < 1:
        raise HwsimError(
            f"{rows} x {columns} cells of {timing.stages} stages, depth {depth}; expected at "
            f"least 1 of each"
        )
    mapped(a.shape[0], b.shape[1], a.shape[1], stationary)
    folds = _folds(a, b, stationary, rows, columns, whole, depth)
    values = np.zeros((a.shape[0], b.shape[1]))
    if skip_zeros:
        folds = [fold for fold in map(_without_zeros, folds) if fold is not None]
    if not folds:
        return Stepped(values, 0, 0, 0)
    shapes = Folds(
        np.array([fold.rows for fold in folds]),
        np.array([fold.columns for fold in folds]),
        np.array([float(len(fold.x)) for fold in folds]),
    )
    starts = schedule(shapes, timing, stationary).starts.astype(int).tolist()
    array = (
        _SumsStay(rows, columns, timing, folds, starts)
        if stationary == "os"
        else _TileStays(rows, columns, timing, folds, starts)
    )
    return array.run(values.T if stationary == "is" else values, values)


def _folds(
    a: Floats,
    b: Floats,
    stationary: Stays,
    rows: int,
    columns: int,
    whole: bool,
    depth: int | None,
) -> list[Fold]:
    """Cut the operands as product_folds cuts their sizes."""
    (m, k), n = a.shape, b.shape[1]
    if stationary == "is":  # inputs stay: the transposed product, weights streaming
        a, b, m, n = b.T, a.T, n, m
    made = []
    down, across, stream = (m, n, k) if stationary == "os" else (k, n, m)
    strip = even_tile(stream, depth if depth and stationary != "os" else stream)
    high, wide = even_tile(down, rows), even_tile(across, columns)
    for j in range(0, across, wide):
        for t in range(0, stream, strip):
            for i in range(0, down, high):
                if stationary == "os":
                    x, y, stays = a[i : i + high].T, b[:, j : j + wide], None
                    into = (slice(i, i + x.shape[1]), slice(j, j + y.shape[1]))
                else:
                    x, stays, y = (
                        a[t : t + strip, i : i + high],
                        b[i : i + high, j : j + wide],
                        None,
                    )
                    into = (slice(t, t + len(x)), slice(j, j + stays.shape[1]))
                made.append(
                    _padded(Fold(stays, x, y, into), rows, columns)
                    if whole
                    else Fold(stays, x, y, into)
                )
    return made


def _padded(fold: Fold, rows: int, columns: int) -> Fold:
    """A partial fold filled up with zeros to the whole array."""
    x = np.pad(fold.x, ((0, 0), (0, rows - fold.rows)))
    if fold.stays is None:
        assert fold.y is not None
        return Fold(None, x, np.pad(fold.y, ((0, 0), (0, columns - fold.y.shape[1]))), fold.into)
    return Fold(
        np.pad(fold.stays, ((0, rows - fold.stays.shape[0]), (0, columns - fold.stays.shape[1]))),
        x,
        None,
        fold.into,
    )


def _without_zeros(fold: Fold) -> Fold | None:
    """The fold without vectors that add nothing; None when nothing is left of it.

    Results keep their rows.
    """
    if fold.stays is not None and not fold.stays.any():
        return None
    useful = fold.x.any(axis=1) if fold.y is None else fold.x.any(axis=1) & fold.y.any(axis=1)
    if not useful.any():
        return None
    if fold.y is not None:
        return Fold(None, fold.x[useful], fold.y[useful], fold.into)
    kept = np.flatnonzero(useful) + fold.into[0].start
    return Fold(fold.stays, fold.x[useful], None, (kept, fold.into[1]))


class _Array:
    """What both kinds share: x moving right, skewed row by row; the results as they leave."""

    def __init__(
        self, rows: int, columns: int, timing: FoldRules, folds: list[Fold], starts: list[int]
    ) -> None:
        self.shape, self.timing, self.folds, self.starts = (rows, columns), timing, folds, starts
        self.x, self.x_fold, self.x_at = (
            np.zeros(self.shape),
            np.full(self.shape, EMPTY),
            np.full(self.shape, EMPTY),
        )
        self.products = self.switched = 0
        self.left = 0  # results of all folds that have left
        self.due = sum(
            fold.columns * (len(fold.x) if fold.stays is not None else fold.rows) for fold in folds
        )

    def run(self, into: Floats, values: Floats) -> Stepped:
        cycle = 0
        while self.left < self.due:
            self._cycle(cycle, into)
            cycle += 1
        return Stepped(values, cycle, self.products, self.switched)

    def _cycle(self, cycle: int, into: Floats) -> None:
        raise NotImplementedError

    def _entering(self, cycle: int) -> tuple[int, int]:
        """(fold, vector) that enters an edge at a cycle, or EMPTY twice."""
        for number in range(len(self.folds) - 1, -1, -1):
            at = cycle - self.starts[number]
            if 0 <= at < len(self.folds[number].x):
                return number, at
        return EMPTY, EMPTY

    def _shift_right(self, cycle: int, skew: int) -> None:
        """x one cell on; row i gets at its left edge what row 0 got i * skew cycles ago."""
        for register in (self.x, self.x_fold, self.x_at):
            register[:, 1:] = register[:, :-1].copy()
        for row in range(self.shape[0]):
            number, at = self._entering(cycle - row * skew)
            if number != EMPTY and row < self.folds[number].rows:
                self.x[row, 0], self.x_fold[row, 0], self.x_at[row, 0] = (
                    self.folds[number].x[at, row],
                    number,
                    at,
                )
            else:
                self.x[row, 0], self.x_fold[row, 0], self.x_at[row, 0] = 0.0, EMPTY, EMPTY

    def _at_work(self) -> npt.NDArray[np.bool_]:
        """Cells that hold an x of a fold they belong to.

        Cells right of a narrow fold pass its x on unused.
        """
        widths = np.array([*(fold.columns for fold in self.folds), 0])
        return np.asarray((self.x_fold != EMPTY) & (np.arange(self.shape[1]) < widths[self.x_fold]))

    def _tally(self, x: Floats, other: Floats) -> None:
        self.products += x.size
        self.switched += int(np.count_nonzero((x != 0) & (other != 0)))


class _TileStays(_Array):
    """Weights (or inputs) stay; sums move down, a cell's L stages each."""

    def __init__(
        self, rows: int, columns: int, timing: FoldRules, folds: list[Fold], starts: list[int]
    ) -> None:
        super().__init__(rows, columns, timing, folds, starts)
        # tag = fold * rows + row of its tile
        self.tile, self.tile_tag = np.zeros(self.shape), np.full(self.shape, EMPTY)
        self.next, self.next_tag = np.zeros(self.shape), np.full(self.shape, EMPTY)
        self.sums = np.zeros((timing.stages, *self.shape))
        self.sum_tags = np.full((timing.stages, *self.shape), EMPTY)
        # of each column: the fold that shifts in, and how many of its rows have
        self.loading = [(0, 0)] * columns
        self.most = max(len(fold.x) for fold in folds)

    def _cycle(self, cycle: int, into: Floats) -> None:
        self._shift_right(cycle, self.timing.stages)
        self._take_next()
        self._multiply(into)
        for column in range(self.shape[1]):
            self._shift_in(cycle, column)

    def _take_next(self) -> None:
        """A cell takes its next tile's value when the first x of that fold reaches it."""
        if self.timing.hidden:
            swap = self._at_work() & (self.next_tag == self._own_tags())
            self.tile[swap], self.tile_tag[swap] = self.next[swap], self.next_tag[swap]
            self.next_tag[swap] = EMPTY

    def _own_tags(self) -> npt.NDArray[np.int64]:
        """Of each cell, the tag of the tile's value that its x needs."""
        return np.asarray(self.x_fold * self.shape[0] + np.arange(self.shape[0])[:, None])

    def _multiply(self, into: Floats) -> None:
        work = self._at_work()
        if (self.tile_tag != self._own_tags())[work].any():
            raise Hazard("a vector meets a tile that is not its own")
        tags = self.x_fold * self.most + self.x_at
        out, out_tags = self.sums[-1].copy(), self.sum_tags[-1].copy()
        above = np.vstack([np.zeros((1, self.shape[1])), out[:-1]])
        fits = np.vstack([tags[:1], out_tags[:-1]]) == tags
        if not fits[work].all():
            raise Hazard("a sum does not arrive with its vector")
        self.sums[1:], self.sum_tags[1:] = self.sums[:-1].copy(), self.sum_tags[:-1].copy()
        self.sums[0], self.sum_tags[0] = (
            np.where(work, above + self.x * self.tile, 0.0),
            np.where(work, tags, EMPTY),
        )
        self._tally(self.x[work], self.tile[work])
        self._leave(into)

    def _leave(self, into: Floats) -> None:
        """Sums that have passed a fold's last row add to the accumulators."""
        finished, tags = self.sums[-1], self.sum_tags[-1]
        for row, column in zip(*np.nonzero(tags != EMPTY), strict=True):
            number, at = divmod(int(tags[row, column]), self.most)
            fold = self.folds[number]
            if row == fold.rows - 1:
                rows, columns = fold.into
                first = columns.start + column
                if first < min(columns.stop, into.shape[1]):
                    into[rows.start + at if isinstance(rows, slice) else rows[at], first] += (
                        finished[row, column]
                    )
                self.left += 1

    def _shift_in(self, cycle: int, column: int) -> None:
        """One more row of the next tile into a column, if there is room for it.

        The row that it pushes the others on to must be free.
        """
        number, done = self.loading[column]
        while number < len(self.folds) and self.folds[number].columns <= column:
            number, done = number + 1, 0
        self.loading[column] = (number, done)
        if number == len(self.folds) or not self._free(cycle, number, done, column):
            return
        value, owner = (
            (self.next, self.next_tag) if self.timing.hidden else (self.tile, self.tile_tag)
        )
        fold, row = self.folds[number], self.folds[number].rows - 1 - done
        assert fold.stays is not None
        for register, new in (
            (value, fold.stays[row, column]),
            (owner, number * self.shape[0] + row),
        ):
            register[1 : done + 1, column] = register[:done, column].copy()
            register[0, column] = new
        self.loading[column] = (number, done + 1) if row else (number + 1, 0)

    def _free(self, cycle: int, number: int, row: int, column: int) -> bool:
        """Does nothing that is still needed lie where the tile's front moves to?"""
        if (
            not self.timing.overlap
            and not self.timing.hidden
            and number
            and not self._left_by(number)
        ):
            return False
        if self.timing.hidden:
            return bool(self.next_tag[row, column] == EMPTY)
        holder = int(self.tile_tag[row, column])
        return holder == EMPTY or self._last_used(cycle, holder // self.shape[0], row, column)

    def _left_by(self, number: int) -> bool:
        """Have all results of the folds before left?"""
        return self.left >= sum(fold.columns * len(fold.x) for fold in self.folds[:number])

    def _last_used(self, cycle: int, number: int, row: int, column: int) -> bool:
        """Has the last vector of a fold reached the cell?"""
        return (
            cycle
            >= self.starts[number]
            + len(self.folds[number].x)
            - 1
            + row * self.timing.stages
            + column
        )


class _SumsStay(_Array):
    """Outputs stay until their reduction is done, then shift down and out; weights move down."""

    def __init__(
        self, rows: int, columns: int, timing: FoldRules, folds: list[Fold], starts: list[int]
    ) -> None:
        super().__init__(rows, columns, timing, folds, starts)
        self.y, self.y_fold, self.y_at = (
            np.zeros(self.shape),
            np.full(self.shape, EMPTY),
            np.full(self.shape, EMPTY),
        )
        self.sums, self.sum_fold = np.zeros(self.shape), np.full(self.shape, EMPTY)
        self.pipe: list[tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
        # on the way out: tag = fold * rows + row
        self.out, self.out_tag = np.zeros(self.shape), np.full(self.shape, EMPTY)

    def _cycle(self, cycle: int, into: Floats) -> None:
        self._shift_right(cycle, 1)
        self._shift_down(cycle)
        self._multiply()
        arriving = self._add()
        self._shift_out(arriving, into)

    def _shift_down(self, cycle: int) -> None:
        for register in (self.y, self.y_fold, self.y_at):
            register[1:] = register[:-1].copy()
        for column in range(self.shape[1]):
            number, at = self._entering(cycle - column)
            if number != EMPTY and column < self.folds[number].columns:
                y = self.folds[number].y
                assert y is not None
                self.y[0, column], self.y_fold[0, column], self.y_at[0, column] = (
                    y[at, column],
                    number,
                    at,
                )
            else:
                self.y[0, column], self.y_fold[0, column], self.y_at[0, column] = 0.0, EMPTY, EMPTY

    def _multiply(self) -> None:
        work = self._at_work()
        if (self.y_fold[work] != self.x_fold[work]).any() or (
            self.y_at[work] != self.x_at[work]
        ).any():
            raise Hazard("an x meets a y that is not its own")
        self.pipe.insert(
            0,
            (
                np.where(work, self.x * self.y, 0.0),
                np.where(work, self.x_fold, EMPTY),
                np.where(work, self.x_at, EMPTY),
            ),
        )
        self._tally(self.x[work], self.y[work])

    def _add(self) -> npt.NDArray[np.bool_]:
        """Products that have passed their stages join the cells' sums.

        The result says which sums are complete with that.
        """
        if len(self.pipe) < self.timing.stages:
            return np.zeros(self.shape, np.bool_)
        product, number, at = self.pipe.pop()
        adding, first = number != EMPTY, at == 0
        busy = first & (self.sum_fold != EMPTY)
        if busy.any():
            raise Hazard("a sum is still in a cell that begins the next")
        self.sums[first], self.sum_fold[first] = 0.0, number[first]
        self.sums += np.where(adding, product, 0.0)
        lengths = np.array([*(len(fold.x) for fold in self.folds), 0])
        return np.asarray(adding & (at == lengths[number] - 1))

    def _shift_out(self, arriving: npt.NDArray[np.bool_], into: Floats) -> None:
        """Complete sums leave: at once, or down the column behind the sums of the rows below."""
        self._move_down(arriving, into)
        if (self.out_tag[arriving] != EMPTY).any():
            raise Hazard("a complete sum finds its way out taken")
        rows = np.broadcast_to(np.arange(self.shape[0])[:, None], self.shape)
        self.out[arriving] = self.sums[arriving]
        self.out_tag[arriving] = (self.sum_fold * self.shape[0] + rows)[arriving]
        self.sum_fold[arriving] = EMPTY
        if not self.timing.drain:
            for row, column in zip(*np.nonzero(self.out_tag != EMPTY), strict=True):
                self._result(int(row), int(column), into)
        if not self.timing.hidden and ((self.out_tag != EMPTY) & (self.sum_fold != EMPTY)).any():
            raise Hazard("a sum on its way out meets one that has begun")

    def _move_down(self, arriving: npt.NDArray[np.bool_], into: Floats) -> None:
        """Move sums down, from the bottom up.

        A sum moves if the register below is free and no sum of that cell's own comes in.
        """
        for column in range(self.shape[1]):
            for row in range(self.shape[0] - 1, -1, -1):
                tag = int(self.out_tag[row, column])
                if tag == EMPTY:
                    continue
                if row == self.folds[tag // self.shape[0]].rows - 1:
                    self._result(row, column, into)
                elif self.out_tag[row + 1, column] == EMPTY and not arriving[row + 1, column]:
                    self.out[row + 1, column], self.out_tag[row + 1, column] = (
                        self.out[row, column],
                        tag,
                    )
                    self.out_tag[row, column] = EMPTY

    def _result(self, row: int, column: int, into: Floats) -> None:
        number, own = divmod(int(self.out_tag[row, column]), self.shape[0])
        rows, columns = self.folds[number].into
        if rows.start + own < min(rows.stop, into.shape[0]) and columns.start + column < min(
            columns.stop, into.shape[1]
        ):
            into[rows.start + own, columns.start + column] += self.out[row, column]
        self.out_tag[row, column] = EMPTY
        self.left += 1


def product_cycles(
    m: int,
    n: int,
    k: int,
    stationary: Stays,
    rows: int,
    columns: int,
    timing: FoldRules,
    *,
    whole: bool = False,
    depth: int | None = None,
) -> float:
    """The cycles of a product in closed form: what step_product takes, without stepping."""
    return schedule(
        product_folds(m, n, k, stationary, rows, columns, whole=whole, depth=depth),
        timing,
        stationary,
    ).cycles
