"""DRAM traffic of the whole network, run by run."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, dots, tips


@CHARTS.register("dram")
class DramDots:
    place = 60
    title = "DRAM traffic for one image"
    caption = (
        "A tick marks the least possible: every input, weight and output once, layer by layer, but "
        "for maps that stay on the chip."
    )
    tables = ("runs",)
    scope: Scope = "all"

    def spec(self, shown: Shown) -> Spec:
        tooltip = tips(run="run", DRAM_MiB="dram_mib:.4~g", least_MiB="least_mib:.4~g")
        spec = dots("dram_mib", "MiB", shown, tooltip)
        least = {
            "mark": {"type": "tick", "thickness": 2, "size": 14, "color": "#7a8699"},
            "encoding": {"x": {"field": "least_mib", "type": "quantitative"}},
        }
        return {**spec, "layer": [*spec["layer"], least]}
