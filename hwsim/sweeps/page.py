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
    title = escape(result.sweep.name)
    paragraphs = "".join(f"<p>{escape(line)}</p>\n" for line in summary(result))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title} - hwsim sweep</title>
<style>{stylesheet()}</style>
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
{DRAW}
</script>
</body>
</html>
"""


DRAW = """
const SPECS = JSON.parse(document.getElementById("data").textContent);
function config() {
  const style = getComputedStyle(document.documentElement);
  const color = name => style.getPropertyValue(name).trim();
  const soft = { labelColor: color("--soft"), titleColor: color("--soft") };
  return {
    background: "transparent", font: "system-ui, 'DejaVu Sans', sans-serif", view: { stroke: null },
    title: { anchor: "start", fontSize: 14, offset: 10, color: color("--ink") },
    header: { labelColor: color("--ink") },
    axis: { ...soft, titleFontWeight: "normal", domain: false, gridColor: color("--line"),
      tickColor: color("--line") },
    legend: { labelColor: color("--ink"), labelLimit: 180, columns: 3 },
  };
}
function fitted(spec, room) {
  if (!spec.facet) return { ...spec, width: Math.max(220, room - 90) };
  const axes = new Set(spec.data.values.map(row => row.axis)).size;
  const columns = Math.max(1, Math.min(axes, Math.floor(room / 340)));
  const width = Math.max(180, Math.floor(room / columns) - 80);
  return { ...spec, columns, spec: { ...spec.spec, width } };
}
function draw() {
  SPECS.forEach((spec, number) => {
    const place = document.getElementById("chart" + number);
    const how = { renderer: "svg", actions: false, config: config() };
    vegaEmbed(place, fitted(spec, place.clientWidth), how);
  });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
addEventListener("resize", draw);
draw();
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
        '<div class="scroll" tabindex="0" role="region" aria-label="The best points">'
        f"<table><thead>{row(head, 'th')}</thead>\n<tbody>{lines}</tbody>"
        f"</table></div>"
    )
