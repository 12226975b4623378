"""Results side by side: every algorithm on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.describe.machine import Machine
from hwsim.describe.workload import Workload
from hwsim.results.result import Result


@dataclass(frozen=True)
class Comparison:
    """Results of every algorithm on every machine."""

    workload: Workload
    machines: tuple[Machine, ...]
    algorithms: tuple[str, ...]
    results: tuple[Result, ...]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def table(self) -> str:
        """A plain-text table, at most 80 columns wide."""
        from hwsim.report.tables import comparison_table

        return comparison_table(self.results)

    def to_dict(self) -> dict[str, Any]:
        """The results as the JSON schema's documents."""
        from hwsim.results.document import comparison_document

        return comparison_document(self.results)

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained page."""
        from hwsim.report.html import write_html

        write_html(self, Path(path))

    def _repr_html_(self) -> str:
        from hwsim.report.tables import html_table

        return html_table(self.results)
