"""Operations of every variant on one machine."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, color, rows_of, tips

KINDS = ["general multiplications", "multiplications by constants", "additions", "shifts"]


@CHARTS.register("operations")
class OperationBars:
    place = 110
    title = "Operations for one image"
    caption = (
        "General multiplications are data times data. A transform multiplies by constants, shifts "
        "and adds."
    )
    tables = ("operations",)
    scope: Scope = "machine"

    def spec(self, shown: Shown) -> Spec:
        return {
            "data": {"name": "operations"},
            "height": {"step": 20},
            "mark": "bar",
            "encoding": {
                "y": rows_of("variant", shown.variants),
                "x": {
                    "field": "count",
                    "type": "quantitative",
                    "title": "operations",
                    "axis": {"format": "~s", "tickCount": 6},
                },
                "color": color("kind", KINDS),
                "order": {"field": "place", "type": "quantitative"},
                "tooltip": tips(variant="variant", kind="kind", count="count:,"),
            },
        }
