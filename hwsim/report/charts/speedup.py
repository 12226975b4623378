"""Every run against the first of its machine."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, color, rows_of, tips


@CHARTS.register("speedup")
class SpeedUp:
    place = 20
    title = "Speed-up against the first algorithm"
    caption = "On the same machine. 1 is as fast as the first algorithm named."
    tables = ("runs",)
    scope: Scope = "all"
    compares = True  # of one variant there is nothing to say

    def spec(self, shown: Shown) -> Spec:
        bar = {
            "mark": "bar",
            "encoding": {"color": {**color("variant", shown.variants), "legend": None}},
        }
        value = {
            "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 11},
            "encoding": {"text": {"field": "speedup", "type": "quantitative", "format": ".3~g"}},
        }
        one = {
            "mark": {"type": "rule", "strokeDash": [4, 3], "color": "#7a8699"},
            "encoding": {"x": {"datum": 1}, "y": None, "tooltip": None},
        }
        return {
            "data": {"name": "runs"},
            "height": {"step": 18},
            "encoding": {
                "y": rows_of("run"),
                "x": {
                    "field": "speedup",
                    "type": "quantitative",
                    "title": "times as fast",
                    "scale": {"zero": True},
                    "axis": {"tickCount": 6},
                },
                "tooltip": tips(run="run", times_as_fast="speedup:.4~g", time_ms="ms:.4~g"),
            },
            "layer": [bar, value, one],
        }
