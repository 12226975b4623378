"""The comparison report: one self-contained page, a Markdown twin, tables and plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.report import vega
from hwsim.report.answer import Answer, answer
from hwsim.report.charts import SCHEMA, Chart, Shown, charts, shown_of, with_data
from hwsim.report.counts import COUNT_VALUES, COUNTS_HEAD, RUN_VALUES, counts_row, with_values
from hwsim.report.csv_table import csv_text
from hwsim.report.files import write_file
from hwsim.report.markdown import markdown
from hwsim.report.rows import Row
from hwsim.report.style import stylesheet
from hwsim.report.tables import COMPARE_HEAD, comparison_rows, footnotes
from hwsim.results.document import comparison_document

if TYPE_CHECKING:
    from hwsim.results.comparison import Comparison


def report_files(comparison: Comparison, command: str) -> dict[str, str | bytes]:
    """{file name: content} of a report folder."""
    shown, found = shown_of(comparison), answer(comparison)
    drawn = charts(shown)
    page = render(comparison, shown, drawn, found, command)
    files: dict[str, str | bytes] = {"report.html": page}
    for name, chart in drawn.items():
        spec = with_data(chart, shown)
        text = vega.svg(spec)
        files[f"{name}.svg"] = '<?xml version="1.0" encoding="utf-8"?>\n' + text
        files[f"{name}.png"] = vega.png(text)
        files[f"{name}.vl.json"] = json.dumps(spec, separators=(",", ":")) + "\n"
    files["report.md"] = markdown(comparison, drawn, shown, found, command)
    files["results.csv"] = csv_text(comparison.results)
    files["results.json"] = json.dumps(comparison_document(comparison), indent=1) + "\n"
    return files


def write_html(comparison: Comparison, path: Path) -> None:
    """The page alone."""
    shown = shown_of(comparison)
    write_file(path, render(comparison, shown, charts(shown), answer(comparison), ""))


def render(
    comparison: Comparison,
    shown: Shown,
    drawn: Mapping[str, Chart],
    found: Answer,
    command: str,
) -> str:
    """Fill the page's template."""
    import jinja2

    here = Path(__file__).parent
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((here / "report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        comparison=comparison,
        answer=found,
        command=command,
        style=stylesheet(),
        charts=drawn,
        head=COMPARE_HEAD,
        rows=with_values(comparison_rows(comparison.results), RUN_VALUES, comparison.results),
        counts_head=COUNTS_HEAD,
        counts=with_values(
            [counts_row(result) for result in comparison.results], COUNT_VALUES, comparison.results
        ),
        footnotes=footnotes(comparison),
        library=vega.script(),
        data=page_data(shown, drawn),
        script=(here / "report.js").read_text(encoding="utf-8"),
    )


def page_data(shown: Shown, drawn: Mapping[str, Chart]) -> str:
    """The tables and the charts' specifications as JSON that may stand in a script element."""
    content = {
        "machines": shown.machines,
        "variants": shown.variants,
        "layers": shown.layers,
        "tables": {name: _columns(rows) for name, rows in shown.rows.items()},
        "charts": {
            name: {
                "title": chart.title,
                "scope": chart.scope,
                "tables": list(chart.tables),
                "spec": {"$schema": SCHEMA, **chart.spec(shown)},
            }
            for name, chart in drawn.items()
        },
    }
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _columns(rows: list[Row]) -> dict[str, dict[str, list[Any]]]:
    """A table as columns, each word written once."""
    found: dict[str, dict[str, list[Any]]] = {}
    for field in rows[0] if rows else ():
        values = [row[field] for row in rows]
        if all(isinstance(value, str) for value in values):
            words = list(dict.fromkeys(values))
            place = {word: number for number, word in enumerate(words)}
            found[field] = {"values": [place[value] for value in values], "words": words}
        else:
            found[field] = {"values": values}
    return found
