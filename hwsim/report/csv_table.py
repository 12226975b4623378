"""Results' layers as one table: CSV, or a DataFrame of pandas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hwsim.errors import HwsimError
from hwsim.results.result import Result

if TYPE_CHECKING:
    import pandas

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _cell(value: object) -> object:
    """A csv's cell that no spreadsheet takes for a formula; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


CSV_HEAD = [
    "machine",
    "workload",
    "algorithm",
    "dtype",
    "layer",
    "used_algorithm",
    "cycles",
    "seconds",
    "multiplies",
    "constant_multiplies",
    "shifts",
    "additions",
    "effectual_multiplies",
    "dram_read_bytes",
    "dram_write_bytes",
    "compulsory_bytes",
    "utilization",
    "energy_pj",
    "notes",
]
SHORTENED = {"seconds": 9, "utilization": 6, "energy_pj": 9}  # digits of a cell in CSV


def layer_rows(results: Iterable[Result]) -> Iterator[list[str | int | float]]:
    """The columns of CSV_HEAD, a row a layer."""
    for result in results:
        for layer in result.layers:
            counts = layer.operations
            yield [
                result.machine,
                result.workload,
                result.algorithm,
                result.dtype,
                layer.name,
                layer.algorithm,
                layer.cycles.total,
                layer.seconds,
                counts.multiplies,
                counts.constant_multiplies,
                counts.shifts,
                counts.additions,
                counts.effectual_multiplies,
                layer.dram_read_bytes,
                layer.dram_write_bytes,
                layer.compulsory_bytes,
                layer.utilization,
                sum(layer.energy_pj.values()),
                "; ".join(map(str, layer.notes)),
            ]


def csv_text(results: tuple[Result, ...]) -> str:
    """One line a layer."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for row in layer_rows(results):
        cells = dict(zip(CSV_HEAD, row, strict=True))
        cells["cycles"] = round(float(cells["cycles"]), 3)
        for name, digits in SHORTENED.items():
            cells[name] = f"{cells[name]:.{digits}g}"
        writer.writerow(map(_cell, cells.values()))
    return buffer.getvalue()


LINES_HEAD = [
    "machine",
    "layer",
    "stage",
    "level",
    "array",
    "reads",
    "writes",
    "misses",
    "cold",
    "capacity",
    "conflict",
    "written_back",
    "fetched_ahead",
]


def lines_csv(result: Result) -> str:
    """One line for each array at each cache that was simulated line by line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(LINES_HEAD)
    for layer in result.layers:
        for stage in layer.online:
            for level, arrays in stage.lines.items():
                for name, lines in arrays.items():
                    counts = (getattr(lines, column) for column in LINES_HEAD[5:])
                    names = (result.machine, layer.name, stage.name, level, name)
                    writer.writerow([*map(_cell, names), *counts])
    return buffer.getvalue()


def frame(results: Iterable[Result]) -> pandas.DataFrame:
    """A row a layer, numbers as they are. Raises HwsimError where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise HwsimError("a DataFrame needs a package: pip install pandas") from None
    return pandas.DataFrame(list(layer_rows(results)), columns=CSV_HEAD)
