"""A comparison's layers as CSV, one line a layer."""

from __future__ import annotations

import csv
import io

from hwsim.results.result import Result

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


def csv_text(results: tuple[Result, ...]) -> str:
    """One line a layer."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for result in results:
        for layer in result.layers:
            counts = layer.operations
            words = [
                result.machine,
                result.workload,
                result.algorithm,
                result.dtype,
                layer.name,
                layer.algorithm,
            ]
            numbers = [
                round(layer.cycles.total, 3),
                f"{layer.seconds:.9g}",
                counts.multiplies,
                counts.constant_multiplies,
                counts.shifts,
                counts.additions,
                counts.effectual_multiplies,
                layer.dram_read_bytes,
                layer.dram_write_bytes,
                layer.compulsory_bytes,
                f"{layer.utilization:.6g}",
                f"{sum(layer.energy_pj.values()):.9g}",
            ]
            writer.writerow(
                [*(_cell(word) for word in words), *numbers, _cell("; ".join(layer.notes))]
            )
    return buffer.getvalue()
