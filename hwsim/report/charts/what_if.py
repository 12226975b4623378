"""What doubling each resource brings to the fastest run of each machine."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, color, rows_of, tips


@CHARTS.register("what-if")
class WhatIfBars:
    place = 30
    title = "What to build next"
    caption = (
        "The fastest run of each machine, scheduled and simulated again with one resource twice as "
        "good. "
        "Twice the multipliers are twice the arrays, columns of PEs, cores or SMs."
    )
    tables = ("what_if",)
    scope: Scope = "all"

    def spec(self, shown: Shown) -> Spec:
        changes = shown.words("what_if", "change")
        bar = {
            "mark": {"type": "bar"},
            "encoding": {"x2": {"datum": 1}, "color": color("change", changes)},
        }
        value = {
            "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 10},
            "encoding": {"text": {"field": "gain", "type": "quantitative", "format": ".3f"}},
        }
        return {
            "data": {"name": "what_if"},
            "height": {"step": 14},
            "encoding": {
                "y": rows_of("run"),
                "yOffset": {"field": "change", "type": "nominal", "sort": changes},
                "x": {
                    "field": "gain",
                    "type": "quantitative",
                    "title": "times as fast",
                    "scale": {"zero": False, "nice": False, "padding": 40},
                    "axis": {"tickCount": 6},
                },
                "tooltip": tips(run="run", change="change", times_as_fast="gain:.4~g"),
            },
            "layer": [bar, value],
        }
