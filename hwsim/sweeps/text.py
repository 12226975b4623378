"""A sweep in the terminal and as files: the front, the best, what each axis does."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

from hwsim.describe.units import seconds_text, size_text
from hwsim.report import vega
from hwsim.report.style import stylesheet
from hwsim.report.tables import WIDTH, energy_text, text_table
from hwsim.sweeps.charts import front_chart, sensitivity_chart
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
}
MOST_LINES = 20  # of a front in the terminal
PERFECT = 1.005  # a swing below this says nothing


def sweep_text(result: SweepResult) -> str:
    """What a user reads at the end: the best points, the front, what each axis does."""
    lines = [piece for line in _summary(result) for piece in textwrap.wrap(line, WIDTH)]
    parts = ["\n".join(lines)]
    if len(result.sweep.objectives) > 1:
        parts.append(_front_text(result))
    swings = [one for one in result.sensitivities() if one.swing > PERFECT]
    if swings:
        parts += ["What each axis does (mean over the mean at its best value):", _swings(swings)]
    return "\n\n".join(parts)


def _summary(result: SweepResult) -> Iterator[str]:
    sweep = result.sweep
    failed = f", {result.failed:,} could not: {result.first_error}" if result.failed else ""
    yield f"{sweep.name}: {len(result) - result.failed:,} points ran{failed}"
    if sweep.model == "bound":
        yield "Least times that arithmetic and traffic allow; nothing was simulated."
    if sweep.schedules == "quick":
        yield "Quick schedules: 'hwsim run' finds a point's best, which may be quicker."
    for objective in sweep.objectives:
        best = result.best(objective)[0]
        yield f"least {objective}: {_shown(best, objective)} with {_values(best)}"


def _swings(swings: Sequence[Sensitivity]) -> str:
    return text_table(
        ["axis", "of", "worst at", "best at", "times"],
        [
            [
                _short(one.axis),
                one.objective,
                one.values[one.means.index(max(one.means))],
                one.values[one.means.index(min(one.means))],
                f"{one.swing:.3g}",
            ]
            for one in swings
        ],
    )


def _shown(point: Point, objective: str) -> str:
    return SHOWN[objective](value(point.row, OBJECTIVES[objective]))


def _front_text(result: SweepResult) -> str:
    best = result.pareto()
    names = result.sweep.objectives
    shown = best[:MOST_LINES]
    changing = [axis for axis in result.sweep.axes if len(axis.values) > 1]
    table = text_table(
        [*map(_short, (axis.title for axis in changing)), *names],
        [
            [
                *(point.values[axis.names[0]] for axis in changing),
                *(_shown(point, name) for name in names),
            ]
            for point in shown
        ],
    )
    more = f"\nand {len(best) - len(shown)} more" if len(best) > len(shown) else ""
    return f"Pareto front, {len(best)} of {len(result):,} points:\n\n{table}{more}"


def _values(point: Point) -> str:
    return ", ".join(f"{_short(name)} {text}" for name, text in point.values.items())


def _short(name: str) -> str:
    """array.rows of parts.array.rows; of several names rows, cols."""
    names = [part.strip() for part in name.split(",")]
    if len(names) > 1:
        return ", ".join(part.rpartition(".")[2] for part in names)
    return name.removeprefix("parts.")


def sweep_document(result: SweepResult) -> dict[str, Any]:
    """The answer as JSON: the best of each objective, the front, what each axis does. Every point
    is in the table."""
    return {
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


def _point(point: Point) -> dict[str, Any]:
    row = {column: value(point.row, column) for column in COLUMNS if column != "error"}
    return {"point": point.number, "values": point.values, **row}


def sweep_page(result: SweepResult, command: str) -> str:
    """One page, whole: the charts and the front as a table. It asks for nothing."""
    charts = [front_chart(result)]
    if result.sensitivities():
        charts.append(sensitivity_chart(result))
    figures = "\n".join(
        f'<figure><div class="chart scroll" id="chart{number}"></div></figure>'
        for number in range(len(charts))
    )
    data = json.dumps(charts).replace("</", "<\\/")
    config = json.dumps(vega.CONFIG)
    title = escape(result.sweep.name)
    paragraphs = "".join(f"<p>{escape(line)}</p>\n" for line in _summary(result))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title} - hwsim sweep</title>
<style>{stylesheet()}
.chart svg {{ background: #fff; border-radius: 4px; }}</style>
</head>
<body class="report">
<main>
<h1>{title}</h1>
<p class="sub">Made by <code>{escape(command)}</code></p>
{paragraphs}
{figures}
<h2>The points that no other beats</h2>
{_html_table(result)}
</main>
<script>{vega.script()}</script>
<script id="data" type="application/json">{data}</script>
<script>
JSON.parse(document.getElementById("data").textContent).forEach((spec, number) => {{
  const room = document.getElementById("chart" + number).clientWidth;
  if (spec.facet) spec.columns = Math.max(1, Math.floor(room / (spec.spec.width + 90)));
  else spec.width = Math.max(240, room - 90);
  vegaEmbed("#chart" + number, spec, {{ renderer: "svg", actions: false, config: {config} }});
}});
</script>
</body>
</html>
"""


POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)


def _html_table(result: SweepResult) -> str:
    names = result.sweep.objectives
    head = [*map(_short, result.sweep.names), *names]
    body = [
        [
            *point.values.values(),
            *(_shown(point, name) for name in names),
        ]
        for point in result.pareto()
    ]

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    lines = "\n".join(row(cells, "td") for cells in body)
    return (
        f'<div class="scroll"><table><thead>{row(head, "th")}</thead>\n<tbody>{lines}</tbody>'
        f"</table></div>"
    )
