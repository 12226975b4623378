"""A chart of a stranger: multiplications for each byte of DRAM traffic, run by run."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, rows_of, tips


@CHARTS.register("intensity")
class Intensity:
    place = 1000
    title = "Multiplications for each byte"
    caption = "More is better where DRAM is what a machine waits for."
    tables = ("runs",)
    scope: Scope = "all"

    def spec(self, shown: Shown) -> Spec:
        return {
            "data": {"name": "runs"},
            "transform": [
                {"calculate": "datum.multiplies / datum.dram_mib / 1048576", "as": "intensity"}
            ],
            "mark": "bar",
            "encoding": {
                "y": rows_of("run"),
                "x": {"field": "intensity", "type": "quantitative"},
                "tooltip": tips(run="run", a_byte="intensity:.3~g"),
            },
        }
