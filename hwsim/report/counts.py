"""The report's table of operations, and what its columns and those of all runs are sorted by."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.describe.units import si
from hwsim.results.result import Result

Value = Callable[[Result], float | str]
RUN_VALUES: list[Value] = [  # what COMPARE_HEAD's columns are sorted by
    lambda result: result.machine,
    lambda result: result.variant,
    lambda result: result.seconds,
    lambda result: result.utilization,
    lambda result: result.counts.multiplies,
    lambda result: result.counts.additions,
    lambda result: result.dram_bytes,
    lambda result: result.dram_ratio,
    lambda result: result.workspace_bytes,
    lambda result: sum(result.energy_pj.values()),
]
COUNTS_HEAD = ["machine", "variant", "multiplies", "constant", "shifts", "additions", "effectual"]
COUNT_VALUES: list[Value] = [
    lambda result: result.machine,
    lambda result: result.variant,
    lambda result: result.counts.multiplies,
    lambda result: result.counts.constant_multiplies,
    lambda result: result.counts.shifts,
    lambda result: result.counts.additions,
    lambda result: result.counts.effectual_multiplies,
]


def with_values(
    rows: list[list[str]], values: list[Value], results: tuple[Result, ...]
) -> list[list[tuple[str, float | str]]]:
    """Every cell with what it is sorted by."""
    return [
        [(cell, value(result)) for cell, value in zip(row, values, strict=True)]
        for row, result in zip(rows, results, strict=True)
    ]


def counts_row(result: Result) -> list[str]:
    """Cells of COUNTS_HEAD."""
    numbers = [value(result) for value in COUNT_VALUES[2:]]
    return [result.machine, result.variant, *(si(float(number)) for number in numbers)]
