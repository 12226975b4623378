"""Footprint against DRAM accesses of tiled products: the front that no tile beats, as Vega-Lite."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.report.charts import COLORS, SCHEMA, Spec


def sweep_chart(
    footprints: Sequence[int],
    accesses: Sequence[int],
    front: Sequence[tuple[int, int]],
    title: str,
    budget: tuple[str, int] | None = None,
) -> Spec:
    """A point for every tile tried; budget: a memory's name and its words, drawn as a line."""
    x, y = _axis("footprint", "footprint, words"), _axis("accesses", "DRAM accesses, words")
    tried = [
        {"footprint": a, "accesses": b, "what": "tiles tried"}
        for a, b in zip(footprints, accesses, strict=True)
    ]
    best = [{"footprint": a, "accesses": b, "what": "Pareto front"} for a, b in front]
    words = ["tiles tried", "Pareto front"]
    lines = []
    if budget is not None:
        name, capacity = budget
        words.append(f"{name}, {capacity:,} words")
        lines = [
            {
                "data": {"values": [{"footprint": capacity, "what": words[-1]}]},
                "mark": {"type": "rule", "strokeDash": [5, 4]},
                "encoding": {"x": x},
            }
        ]
    colors = ["#b8c4d6", COLORS[0], COLORS[1]][: len(words)]
    return {
        "$schema": SCHEMA,
        "title": title,
        "width": 560,
        "height": 300,
        "encoding": {
            "color": {
                "field": "what",
                "type": "nominal",
                "scale": {"domain": words, "range": colors},
                "legend": {"orient": "bottom", "title": None, "labelLimit": 400},
            }
        },
        "layer": [
            {
                "data": {"values": tried},
                "mark": {"type": "point", "filled": True, "size": 14, "opacity": 0.8},
                "encoding": {"x": x, "y": y},
            },
            {
                "data": {"values": best},
                "mark": {"type": "line", "interpolate": "step-after", "point": {"size": 20}},
                "encoding": {"x": x, "y": y},
            },
            *lines,
        ],
    }


def _axis(field: str, title: str) -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"type": "log"},
        "axis": {"format": "~s", "labelOverlap": True, "tickCount": 6},
    }
