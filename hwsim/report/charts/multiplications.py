"""General multiplications of every layer, variants side by side."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, color, rows_of, tips


@CHARTS.register("multiplications")
class LayerMultiplications:
    place = 130
    title = "General multiplications by layer"
    caption = (
        "Fast algorithms share products between outputs. Where a map is no multiple of the tile, "
        "edge tiles are computed whole."
    )
    tables = ("layers",)
    scope: Scope = "machine"

    def spec(self, shown: Shown) -> Spec:
        return {
            "data": {"name": "layers"},
            "transform": [{"filter": "datum.multiplies > 0"}],
            "height": {"step": 18},
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.85},
            "encoding": {
                "y": rows_of("layer"),
                "x": {
                    "field": "multiplies",
                    "type": "quantitative",
                    "title": "multiplications",
                    "axis": {"format": "~s", "tickCount": 6},
                },
                "color": color("variant", shown.variants),
                "tooltip": tips(layer="layer", variant="variant", multiplications="multiplies:,"),
            },
        }
