"""How often a word is used each time it crosses the DRAM pins, ideal and achieved."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, color, rows_of, tips


@CHARTS.register("reuse")
class ReusePoints:
    place = 140
    title = "Reuse at DRAM"
    caption = (
        "Multiplications for each word that comes from DRAM. Hollow: every word once. "
        "Above that a cache still had some of the words."
    )
    tables = ("reuse",)
    scope: Scope = "run"

    def spec(self, shown: Shown) -> Spec:
        points = {
            "y": rows_of("layer"),
            "x": {
                "field": "uses",
                "type": "quantitative",
                "title": "uses of a word",
                "scale": {"type": "log", "padding": 14},
                "axis": {"format": "~s", "labelOverlap": True, "tickCount": 6},
            },
            "color": color("tensor"),
            "tooltip": tips(layer="layer", tensor="tensor", kind="kind", uses="uses:,.4~g"),
        }
        return {
            "height": {"step": 18},
            "layer": [
                {
                    "data": {"name": "reuse"},
                    "transform": [{"filter": f"datum.kind == '{kind}'"}],
                    "mark": {"type": "point", "filled": filled, "size": size, "opacity": 0.9},
                    "encoding": points,
                }
                for kind, filled, size in (("ideal", False, 90), ("achieved", True, 40))
            ],
        }
