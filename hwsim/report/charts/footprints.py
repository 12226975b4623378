"""How full each memory on the chip gets."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, color, rows_of, tips


@CHARTS.register("footprints")
class FootprintDots:
    place = 120
    title = "Footprint against capacity"
    caption = (
        "One instance of each explicit memory, in the layer that needs most, buffers included."
    )
    tables = ("footprints",)
    scope: Scope = "machine"

    def spec(self, shown: Shown) -> Spec:
        return {
            "data": {"name": "footprints"},
            "height": {"step": 34},
            "mark": {"type": "point", "filled": True, "size": 80, "opacity": 0.85},
            "encoding": {
                "y": rows_of("part"),
                "yOffset": {"field": "variant", "type": "nominal", "sort": list(shown.variants)},
                "x": {
                    "field": "share",
                    "type": "quantitative",
                    "title": "% of capacity",
                    "scale": {"domain": [0, 100]},
                    "axis": {"tickCount": 6},
                },
                "color": color("variant", shown.variants),
                "tooltip": tips(
                    part="part",
                    variant="variant",
                    layer="layer",
                    KiB="kib:,.4~g",
                    of_KiB="of_kib:,.6~g",
                    percent="share:.3~g",
                ),
            },
        }
