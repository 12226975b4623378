"""Results side by side: every algorithm on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.results.result import Result

if TYPE_CHECKING:
    import pandas

    from hwsim.report.plot import ChartView
    from hwsim.results.schemas import ComparisonDocument


@dataclass(frozen=True)
class WhatIf:
    """The fastest run of a machine, again with one resource better.

    change: what is better, in words. seconds: it takes then. gain: how many times as fast that is.
    """

    machine: str
    variant: str
    change: str
    seconds: float
    gain: float


@dataclass(frozen=True)
class Comparison:
    """Results of every algorithm on every machine.

    what_if: the fastest run of each machine with one resource doubled after the other, where that
    was asked for. left_out: what was asked for and does not apply, in words.
    """

    workload: Workload
    machines: tuple[Machine, ...]
    algorithms: tuple[str, ...]
    results: tuple[Result, ...]
    what_if: tuple[WhatIf, ...] = ()
    left_out: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def table(self) -> str:
        """A plain-text table, at most 80 columns wide."""
        from hwsim.report.tables import comparison_table

        return comparison_table(self)

    def to_frame(self) -> pandas.DataFrame:
        """Layers of all results as a DataFrame of pandas, the columns of the CSV.

        Raises HwsimError where it is not installed.
        """
        from hwsim.report.csv_table import frame

        return frame(self.results)

    def to_dict(self) -> ComparisonDocument:
        """The results as the JSON schema's documents."""
        from hwsim.results.document import comparison_document

        return comparison_document(self)

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained page."""
        from hwsim.report.html import write_html

        write_html(self, Path(path))

    def chart(self, name: str) -> ChartView:
        """One of the report's charts, which a notebook draws; name: time, roofline, causes ...

        Raises UnknownName, or HwsimError where it has nothing to show.
        """
        from hwsim.report.plot import ChartView, specification

        return ChartView(specification(self, name))

    def fastest(self, machine: str | None = None) -> Result:
        """The fastest run of a machine, or of all."""
        own = [result for result in self.results if machine in (None, result.machine)]
        return min(own, key=lambda result: result.seconds_an_image)

    def _repr_html_(self) -> str:
        from hwsim.report.tables import html_table

        return html_table(self.results)
