"""A sweep's rows: as a table, the points that no other beats, and what each axis does."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwsim.errors import HwsimError, UnknownName
from hwsim.sweeps.journal import Journal, chunks
from hwsim.sweeps.rows import COLUMNS, Row, value
from hwsim.sweeps.spec import OBJECTIVES, Sweep

if TYPE_CHECKING:
    import pandas

Floats = npt.NDArray[np.float64]
READ = 5000  # rows at a time


@dataclass(frozen=True)
class Point:
    """A point with its values by axis, and its row."""

    number: int
    values: dict[str, str]
    row: Row


@dataclass(frozen=True)
class Sensitivity:
    """An axis, and what an objective comes to on average at each of its values.

    The mean is geometric, over the points that ran with every value.
    """

    axis: str
    objective: str
    values: tuple[str, ...]
    means: tuple[float, ...]

    @property
    def swing(self) -> float:
        """The largest mean over the least."""
        return max(self.means) / min(self.means)


@dataclass(frozen=True)
class SweepResult:
    """The rows stay in the journal and are read as they are needed. numbers: of the points."""

    sweep: Sweep
    journal: Path
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def text(self) -> str:
        """The best points, the front, and what each axis does."""
        from hwsim.sweeps.text import sweep_text

        return sweep_text(self)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text())}</pre>"

    def points(self) -> Iterator[Point]:
        """Every point with its row, in the order of their numbers."""
        sweep = self.sweep
        with Journal(self.journal) as kept:
            for block in chunks(sorted(self.numbers), READ):
                keys = [sweep.key(number) for number in block]
                rows = kept.known(keys)
                for number, key in zip(block, keys, strict=True):
                    yield Point(number, sweep.values(number), rows[key])

    @cached_property
    def failed(self) -> int:
        """Points that could not run."""
        return int(np.isnan(self._objectives[:, 0]).sum())

    @cached_property
    def _objectives(self) -> Floats:
        """[points, objectives], not a number where a point did not run."""
        columns = [OBJECTIVES[name] for name in self.sweep.objectives]
        found = np.full((len(self.numbers), len(columns)), np.nan)
        for place, point in enumerate(self.points()):
            if point.row.ran:
                found[place] = [value(point.row, column) for column in columns]
        return found

    @cached_property
    def first_error(self) -> str:
        """Why the first of those that did not run did not."""
        return next((point.row.error for point in self.points() if not point.row.ran), "")

    def check(self) -> None:
        """Raises HwsimError where no point ran, with the first one's reason."""
        if self.failed == len(self):
            raise HwsimError(
                f"{self.sweep.name}: none of {len(self)} points ran: {self.first_error}"
            )

    def _of(self, places: npt.NDArray[np.int64]) -> list[Point]:
        """Points by their places in the order of numbers, in the order asked."""
        ordered = sorted(self.numbers)
        numbers = [ordered[place] for place in places.tolist()]
        keys = [self.sweep.key(number) for number in numbers]
        with Journal(self.journal) as kept:
            rows = kept.known(keys)
        return [
            Point(number, self.sweep.values(number), rows[key])
            for number, key in zip(numbers, keys, strict=True)
        ]

    def best(self, objective: str, most: int = 1) -> list[Point]:
        """The points of the least of an objective, best first; of equal ones by the others.

        Raises HwsimError for one that the sweep has not, and for fewer than one point.
        """
        if objective not in self.sweep.objectives:
            raise UnknownName("objective of this sweep", objective, self.sweep.objectives)
        if most < 1:
            raise HwsimError(f"the best {most} points; expected at least 1")
        asked = self.sweep.objectives.index(objective)
        others = [column for column in range(len(self.sweep.objectives)) if column != asked]
        keys = [self._objectives[:, column] for column in (asked, *others)]
        order = np.lexsort(keys[::-1])[: min(most, len(self) - self.failed)]
        return self._of(order)

    def pareto(self) -> list[Point]:
        """The points that no other beats in one objective without losing in another.

        They stand by the first objective; of equal points the first is taken.
        """
        return self._of(front(self._objectives))

    def sensitivities(self) -> list[Sensitivity]:
        """What each axis of several values does to each objective, the largest swing first."""
        table, places = self._objectives, self._places
        found = []
        for number, axis in enumerate(self.sweep.axes):
            if len(axis.values) < 2:
                continue
            for column, objective in enumerate(self.sweep.objectives):
                means = _means(places[:, number], table[:, column], places, number)
                if means is not None and len(means) == len(axis.values):
                    found.append(Sensitivity(axis.title, objective, axis.values, tuple(means)))
        return sorted(found, key=lambda one: -one.swing)

    @cached_property
    def _places(self) -> npt.NDArray[np.int64]:
        """[points, axes]: the place of each point's value on each axis."""
        numbers = np.array(sorted(self.numbers), np.int64)
        columns = []
        for axis in reversed(self.sweep.axes):
            numbers, place = np.divmod(numbers, len(axis.values))
            columns.append(place)
        return np.stack(columns[::-1], axis=1)

    def header(self) -> list[str]:
        """Of the table: every axis, then what came of it."""
        return ["point", *self.sweep.names, *COLUMNS]

    def records(self) -> Iterator[list[Any]]:
        """Of the table: a list for each point."""
        for point in self.points():
            yield [
                point.number,
                *point.values.values(),
                *(value(point.row, column) for column in COLUMNS),
            ]

    def csv(self) -> str:
        """The table as CSV, empty where a point has no number."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header())
        writer.writerows(self.records())
        return text.getvalue()

    def to_frame(self) -> pandas.DataFrame:
        """The table as a DataFrame of pandas. Raises HwsimError where that is not installed."""
        try:
            import pandas
        except ImportError:
            raise HwsimError("a DataFrame needs a package: pip install pandas") from None
        return pandas.DataFrame(list(self.records()), columns=self.header())

    def parquet(self) -> bytes:
        """The table as Parquet. Raises HwsimError where pyarrow is not installed."""
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise HwsimError("Parquet needs a package: pip install pyarrow") from None
        columns = list(zip(*self.records(), strict=True))
        table = pyarrow.table(dict(zip(self.header(), map(list, columns), strict=True)))
        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink)
        content: bytes = sink.getvalue().to_pybytes()
        return content


def front(table: Floats) -> npt.NDArray[np.int64]:
    """Rows of [points, objectives] that no other row beats, by the first column.

    To beat is to be no more in all, and less in one. Rows with a nan are left out.
    """
    fine = np.flatnonzero(~np.isnan(table).any(axis=1))
    order = fine[np.lexsort((fine, *table[fine].T[::-1]))]
    kept: list[int] = []
    if table.shape[1] <= 2:
        least = np.inf
        for place in order.tolist():
            if table[place, -1] < least or (table.shape[1] == 1 and not kept):
                kept.append(place)
                least = table[place, -1]
            if table.shape[1] == 1:
                break
        return np.array(kept, np.int64)
    for place in order.tolist():
        if not kept or not (table[kept] <= table[place]).all(axis=1).any():
            kept.append(place)
    return np.array(kept, np.int64)


def _means(
    own: npt.NDArray[np.int64],
    column: Floats,
    places: npt.NDArray[np.int64],
    number: int,
) -> list[float] | None:
    """Geometric means by the place on an axis.

    They are over those places of the other axes at which every value ran; None where there are
    none.
    """
    others = np.delete(places, number, axis=1)
    _, group = np.unique(others, axis=0, return_inverse=True)
    group = group.ravel()
    values = int(own.max()) + 1
    ran = ~np.isnan(column) & (column > 0)
    full = np.bincount(group[ran], minlength=int(group.max()) + 1) == values
    taken = ran & full[group]
    if not taken.any():
        return None
    sums = np.bincount(own[taken], np.log(column[taken]), minlength=values)
    counts = np.bincount(own[taken], minlength=values)
    means: list[float] = np.exp(sums / counts).tolist()
    return means
