"""Charts of the report, one a file, as Vega-Lite specifications.

These are data that can be read, tested and pasted into a paper or a notebook.

A chart names the tables it is drawn from (hwsim.report.rows) and for how many runs at a time: all
that are picked, one machine's, or one run. Its specification refers to the tables by name; the page
fills them in as the reader picks, `with_data` once and for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal, Protocol

from hwsim.registry import Registry
from hwsim.report.rows import Row, Tables, run_name, tables
from hwsim.results.comparison import Comparison

Spec = dict[str, Any]
Scope = Literal["all", "machine", "run"]
WIDEST_AXIS = 8.0  # a logarithmic axis spans this factor at least, so that it has ticks
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

# Okabe and Ito, "Color Universal Design", 2008: told apart by all; without its yellow and black
COLORS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"),
    *("#8a63d2", "#7a8699", "#a0522d", "#4caf50", "#c2185b", "#00838f"),
)


class Chart(Protocol):
    """A chart of the report.

    place: where in the report. title and caption: what it shows, and how to read it. tables: the
    rows it needs. scope: of how many runs. spec: the rest, for a comparison's runs.
    """

    @property
    def place(self) -> int: ...
    @property
    def title(self) -> str: ...
    @property
    def caption(self) -> str: ...
    @property
    def tables(self) -> Sequence[str]: ...
    @property
    def scope(self) -> Scope: ...
    def spec(self, shown: Shown) -> Spec: ...


CHARTS: Registry[type[Chart]] = Registry("chart", "hwsim.report.charts")


@dataclass(frozen=True)
class Shown:
    """What a report is about: names in their order, the run that is the answer, and the rows."""

    machines: Sequence[str]
    variants: Sequence[str]
    layers: Sequence[str]
    best: Mapping[str, str]
    rows: Tables

    def words(self, table: str, field: str) -> list[str]:
        """The values of a field, in the order in which they come."""
        return list(dict.fromkeys(row[field] for row in self.rows[table]))


def shown_of(comparison: Comparison) -> Shown:
    """What charts need to know of a comparison."""
    best = comparison.fastest()
    return Shown(
        [machine.name for machine in comparison.machines],
        list(dict.fromkeys(result.variant for result in comparison.results)),
        [layer.name for layer in best.layers],
        {"machine": best.machine, "variant": best.variant, "run": run_name(best)},
        tables(comparison),
    )


def charts(shown: Shown) -> dict[str, Chart]:
    """Those that have something to show, in their order."""
    found = {name: CHARTS[name]() for name in CHARTS}
    found = {
        name: chart
        for name, chart in found.items()
        if all(map(shown.rows.get, chart.tables))
        and (len(shown.variants) > 1 or not getattr(chart, "compares", False))
    }
    return dict(sorted(found.items(), key=lambda item: item[1].place))


def with_data(chart: Chart, shown: Shown) -> Spec:
    """A specification that stands alone: the rows of the best run, or of all, inside."""
    return {
        "$schema": SCHEMA,
        "title": title_of(chart, shown.best),
        "width": 560,
        **chart.spec(shown),
        "datasets": {
            table: picked(shown.rows[table], chart.scope, shown) for table in chart.tables
        },
    }


def title_of(chart: Chart, run: Mapping[str, str]) -> str:
    """With the run or machine that it is of."""
    names = {"all": "", "machine": f": {run['machine']}", "run": f": {run['run']}"}
    return chart.title + names[chart.scope]


def picked(rows: Sequence[Row], scope: Scope, shown: Shown) -> list[Row]:
    """Rows of the best run, of its machine, or all."""
    scopes: dict[Scope, tuple[str, ...]] = {
        "all": (),
        "machine": ("machine",),
        "run": ("machine", "variant"),
    }
    fields = scopes[scope]
    return [row for row in rows if all(row[field] == shown.best[field] for field in fields)]


def color(field: str, domain: Sequence[str] | None = None) -> Spec:
    """A colour for each word, and a legend below; words of a list keep theirs."""
    scale: Spec = {"range": list(COLORS)}
    if domain is not None:
        scale = {
            "domain": list(domain),
            "range": [COLORS[place % len(COLORS)] for place in range(len(domain))],
        }
    return {
        "field": field,
        "type": "nominal",
        "sort": None,
        "scale": scale,
        "legend": {"orient": "bottom", "title": None},
    }


def rows_of(field: str, order: Sequence[str] | None = None) -> Spec:
    """One line for each value, from top to bottom."""
    return {
        "field": field,
        "type": "nominal",
        "sort": None if order is None else list(order),
        "title": None,
        "axis": {"ticks": False},
    }


def tips(**fields: str) -> list[Spec]:
    """Tooltips: title=field, or title=field:format."""
    found = []
    for title, text in fields.items():
        field, _, form = text.partition(":")
        kind = {"type": "quantitative", "format": form} if form else {"type": "nominal"}
        found.append({"field": field, "title": title.replace("_", " "), **kind})
    return found


def dots(field: str, title: str, shown: Shown, tooltip: list[Spec]) -> Spec:
    """A dot for each run on a logarithmic scale, its value beside it, as the field's _text says."""
    values = [row[field] for row in shown.rows["runs"] if row[field] > 0] or [1.0]
    domain = [min(values) / 1.5, max(values) * 1.5]
    if domain[1] / domain[0] < WIDEST_AXIS:
        middle = sqrt(domain[0] * domain[1])
        domain = [middle / sqrt(WIDEST_AXIS), middle * sqrt(WIDEST_AXIS)]
    x = {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"type": "log", "nice": False, "padding": 40, "domain": domain},
        "axis": {"format": "~g", "labelOverlap": True, "tickCount": 6},
    }
    return {
        "data": {"name": "runs"},
        "height": {"step": 18},
        "encoding": {"y": rows_of("run"), "x": x, "tooltip": tooltip},
        "layer": [
            {
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {"color": {**color("variant", shown.variants), "legend": None}},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 8, "fontSize": 11},
                "encoding": {"text": {"field": f"{field}_text"}},
            },
        ],
    }


def stacks(table: str, field: str, by: str, title: str, tooltip: list[Spec]) -> Spec:
    """A bar for each layer, stacked by what makes it up."""
    return {
        "data": {"name": table},
        "height": {"step": 17},
        "mark": {"type": "bar"},
        "encoding": {
            "y": rows_of("layer"),
            "x": {
                "field": field,
                "type": "quantitative",
                "title": title,
                "axis": {"labelOverlap": True, "tickCount": 6},
            },
            "color": color(by),
            "order": {"field": "place", "type": "quantitative"},
            "tooltip": tooltip,
        },
    }
