"""A sweep's charts as Vega-Lite: every point and the front that none beats; what each axis does."""

from __future__ import annotations

from itertools import islice
from random import Random

from hwsim.report.charts import COLORS, SCHEMA, Spec
from hwsim.sweeps.result import Point, SweepResult
from hwsim.sweeps.rows import value
from hwsim.sweeps.spec import OBJECTIVES

MOST_DRAWN = 3000  # points; of more, so many drawn at random
TITLES = {
    "latency": "time of an image, ms",
    "energy": "energy of an image, mJ",
    "edp": "energy x delay of an image, J s",
    "dram": "DRAM bytes of an image",
    "multipliers": "multiply-accumulates a cycle",
    "memory": "on-chip memory, bytes",
    "area": "area of arithmetic and memories, mm2",
}
IN_UNITS = {"latency": 1e3, "energy": 1e-9}  # of the titles, for the columns' seconds and pJ
TRIED, FRONT = "points", "Pareto front"


def front_chart(result: SweepResult) -> Spec:
    """The first two objectives of every point; of one objective, beside the multipliers."""
    objectives = result.sweep.objectives
    down = objectives[0]
    across = objectives[1] if len(objectives) > 1 else "multipliers"
    best = result.pareto()
    on_front = {point.number for point in best}
    others = [point for point in _some(result) if point.number not in on_front]
    x, y = (_axis(OBJECTIVES[name], TITLES[name]) for name in (across, down))
    tooltip = [
        *({"field": name.replace(".", " "), "type": "nominal"} for name in result.sweep.names),
        {"field": OBJECTIVES["latency"], "format": ".4~g", "title": "ms an image"},
        {"field": OBJECTIVES["energy"], "format": ".4~g", "title": "mJ an image"},
    ]
    line = {"type": "line", "interpolate": "step-after", "point": {"size": 45, "filled": True}}
    return {
        "$schema": SCHEMA,
        "title": _title(result, len(others) + len(best)),
        "width": 640,
        "height": 340,
        "encoding": {
            "x": x,
            "y": y,
            "tooltip": tooltip,
            "color": {
                "field": "what",
                "type": "nominal",
                "scale": {"domain": [TRIED, FRONT], "range": ["#9db0c9", COLORS[1]]},
                "legend": {"orient": "bottom", "title": None},
            },
        },
        "layer": [
            {
                "data": {"values": [_record(point, TRIED) for point in others]},
                "mark": {"type": "point", "filled": True, "size": 24, "opacity": 0.7},
            },
            {"data": {"values": [_record(point, FRONT) for point in best]}, "mark": line},
        ],
    }


def sensitivity_chart(result: SweepResult) -> Spec:
    """For every axis and objective, the mean at each value over the mean at the best value."""
    rows = [
        {
            "axis": one.axis,
            "objective": TITLES[one.objective].partition(",")[0],
            "value": text,
            "place": place,
            "times": mean / min(one.means),
        }
        for one in result.sensitivities()
        for place, (text, mean) in enumerate(zip(one.values, one.means, strict=True))
    ]
    return {
        "$schema": SCHEMA,
        "title": ["What each axis does:", "mean over the mean at its best value"],
        "data": {"values": rows},
        "facet": {"field": "axis", "type": "nominal", "title": None, "sort": None},
        "columns": 2,
        "resolve": {"scale": {"x": "independent"}},
        "spec": {
            "width": 270,
            "height": 150,
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {
                    "field": "value",
                    "type": "nominal",
                    "title": None,
                    "sort": {"field": "place"},
                    "axis": {"labelOverlap": True, "labelAngle": 0},
                },
                "y": {
                    "field": "times",
                    "type": "quantitative",
                    "title": "times the best",
                    "scale": {"type": "log", "nice": False, "padding": 8},
                    "axis": {"tickCount": 4, "format": "~g"},
                },
                "color": {
                    "field": "objective",
                    "type": "nominal",
                    "scale": {"range": list(COLORS)},
                    "legend": {"orient": "bottom", "title": None},
                },
                "tooltip": [
                    {"field": "value", "type": "nominal"},
                    {"field": "objective", "type": "nominal"},
                    {"field": "times", "format": ".3f"},
                ],
            },
        },
    }


def _some(result: SweepResult) -> list[Point]:
    """The points that ran, or so many of them at random."""
    draw, kept = Random(0), list[Point]()
    ran = (point for point in result.points() if point.row.ran)
    kept.extend(islice(ran, MOST_DRAWN))
    for seen, point in enumerate(ran, MOST_DRAWN + 1):
        place = draw.randrange(seen)
        if place < MOST_DRAWN:
            kept[place] = point
    return kept


def _title(result: SweepResult, drawn: int) -> str:
    ran = len(result) - result.failed
    some = "" if drawn >= ran else f", {drawn:,} of them drawn"
    return f"{result.sweep.name}: {ran:,} points{some}"


def _record(point: Point, what: str) -> dict[str, object]:
    """Dots in a field's name would mean something to Vega-Lite."""
    values = {name.replace(".", " "): text for name, text in point.values.items()}
    columns = {
        column: value(point.row, column) * IN_UNITS.get(objective, 1.0)
        for objective, column in OBJECTIVES.items()
    }
    return {**values, **columns, "what": what}


def _axis(field: str, title: str) -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"type": "log", "nice": False, "padding": 12},
        "axis": {"format": "~s" if "byte" in title else "~g", "labelOverlap": True, "tickCount": 6},
    }
