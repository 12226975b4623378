"""Images a second against the watts they take."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, color, tips


@CHARTS.register("power")
class Power:
    place = 90
    title = "Images a second, and average power"
    caption = (
        "Up and to the left is better. A run's power stays under its machine's where that is known."
    )
    tables = ("runs",)
    scope: Scope = "all"

    def spec(self, shown: Shown) -> Spec:
        def axis(field: str, title: str) -> Spec:
            return {
                "field": field,
                "type": "quantitative",
                "title": title,
                "scale": {"type": "log", "padding": 12},
                "axis": {"format": "~s", "labelOverlap": True, "tickCount": 5},
            }

        return {
            "data": {"name": "runs"},
            "height": 260,
            "mark": {"type": "point", "filled": True, "size": 80, "opacity": 0.9},
            "encoding": {
                "x": axis("watts", "watts"),
                "y": axis("images", "images a second"),
                "color": color("machine", shown.machines),
                "shape": {
                    "field": "variant",
                    "type": "nominal",
                    "sort": None,
                    "legend": {"orient": "bottom", "title": None},
                },
                "tooltip": tips(run="run", images_a_second="images:.4~g", average_W="watts:.4~g"),
            },
        }
