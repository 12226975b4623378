"""A sweep as one page that opens offline: the charts, and the front as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from hwsim.report import vega
from hwsim.report.style import stylesheet
from hwsim.sweeps.charts import front_chart, sensitivity_chart
from hwsim.sweeps.result import SweepResult
from hwsim.sweeps.text import short, shown, summary


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
    paragraphs = "".join(f"<p>{escape(line)}</p>\n" for line in summary(result))
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
    head = [*map(short, result.sweep.names), *names]
    body = [
        [
            *point.values.values(),
            *(shown(point, name) for name in names),
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
