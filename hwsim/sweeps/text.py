"""A sweep in the terminal and as JSON: the front, the best, what each axis does."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from hwsim.describe.units import seconds_text, size_text
from hwsim.report.tables import energy_text
from hwsim.report.text_table import WIDTH, text_table
from hwsim.results.schemas import SweepDocument, SweepPointDocument
from hwsim.sweeps.result import Point, Sensitivity, SweepResult
from hwsim.sweeps.rows import COLUMNS, value
from hwsim.sweeps.spec import OBJECTIVES

SHOWN: dict[str, Callable[[float], str]] = {
    "latency": seconds_text,
    "energy": energy_text,
    "edp": lambda number: f"{number:.3g} J s",
    "dram": size_text,
    "multipliers": lambda number: f"{number:g}",
    "memory": size_text,
    "area": lambda number: f"{number:.3g} mm2",
}
MOST_LINES = 20  # of a front in the terminal
PERFECT = 1.005  # a swing below this says nothing


def sweep_text(result: SweepResult) -> str:
    """What a user reads at the end: the best points, the front, what each axis does."""
    lines = [piece for line in summary(result) for piece in textwrap.wrap(line, WIDTH)]
    parts = ["\n".join(lines)]
    if len(result.sweep.objectives) > 1:
        parts.append(_front_text(result))
    swings = [one for one in result.sensitivities() if one.swing > PERFECT]
    if swings:
        parts += ["What each axis does (mean over the mean at its best value):", _swings(swings)]
    return "\n\n".join(parts)


def summary(result: SweepResult) -> Iterator[str]:
    """How many points ran, and the best by each objective, a line each."""
    sweep = result.sweep
    failed = f", {result.failed:,} could not: {result.first_error}" if result.failed else ""
    yield f"{sweep.name}: {len(result) - result.failed:,} points ran{failed}"
    if sweep.model == "bound":
        yield "Least times that arithmetic and traffic allow; nothing was simulated."
    if sweep.schedules == "quick":
        yield "Quick schedules: 'hwsim run' finds a point's best, which may be quicker."
    for objective in sweep.objectives:
        best = result.best(objective)[0]
        yield f"least {objective}: {shown(best, objective)} with {_values(best)}"


def _swings(swings: Sequence[Sensitivity]) -> str:
    return text_table(
        ["axis", "of", "worst at", "best at", "times"],
        [
            [
                short(one.axis),
                one.objective,
                one.values[one.means.index(max(one.means))],
                one.values[one.means.index(min(one.means))],
                f"{one.swing:.3g}",
            ]
            for one in swings
        ],
    )


def shown(point: Point, objective: str) -> str:
    """What an objective came to, with its unit."""
    return SHOWN[objective](value(point.row, OBJECTIVES[objective]))


def _front_text(result: SweepResult) -> str:
    best = result.pareto()
    names = result.sweep.objectives
    told = best[:MOST_LINES]
    changing = [axis for axis in result.sweep.axes if len(axis.values) > 1]
    table = text_table(
        [*map(short, (axis.title for axis in changing)), *names],
        [
            [
                *(point.values[axis.names[0]] for axis in changing),
                *(shown(point, name) for name in names),
            ]
            for point in told
        ],
    )
    more = f"\nand {len(best) - len(told)} more" if len(best) > len(told) else ""
    return f"Pareto front, {len(best)} of {len(result):,} points:\n\n{table}{more}"


def _values(point: Point) -> str:
    return ", ".join(f"{short(name)} {text}" for name, text in point.values.items())


def short(name: str) -> str:
    """array.rows of parts.array.rows; of several names rows, cols."""
    names = [part.strip() for part in name.split(",")]
    if len(names) > 1:
        return ", ".join(part.rpartition(".")[2] for part in names)
    return name.removeprefix("parts.")


def sweep_document(result: SweepResult) -> SweepDocument:
    """The answer as JSON: the best of each objective, the front, what each axis does.

    Every point is in the table.
    """
    return {
        "schema": "hwsim.sweep/1",
        "name": result.sweep.name,
        "points": len(result),
        "failed": result.failed,
        "best": {name: _point(result.best(name)[0]) for name in result.sweep.objectives},
        "pareto": [_point(point) for point in result.pareto()],
        "sensitivities": [
            {
                "axis": one.axis,
                "objective": one.objective,
                "values": list(one.values),
                "means": list(one.means),
            }
            for one in result.sensitivities()
        ],
    }


def _point(point: Point) -> SweepPointDocument:
    row = {column: value(point.row, column) for column in COLUMNS if column != "error"}
    found = {"point": point.number, "values": point.values, **row}
    return cast(SweepPointDocument, found)
